"""An append-only file of JSON lines; a line is written whole or not at all."""

from __future__ import annotations

import itertools
import json
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, suppress
from pathlib import Path
from typing import Any

from robometa.errors import UserError
from robometa.storage import atomic
from robometa.storage.open_folder import OpenFolder, opened
from robometa.storage.paths import is_own_file
from robometa.storage.table import MAX_WHOLE, is_finite, shown

MAX_LINE_BYTES = 1 << 20
"""Longest line, bytes."""
MAX_LISTED_BYTES = 1 << 27
"""Longest file of somebody else's that is read into memory as a whole, bytes: some 300,000 iterations."""


class Lines:
    """An append-only table of JSON lines; lines that cannot be written stay in memory until the next write."""

    def __init__(self, path: Path, folder: Callable[[], AbstractContextManager[OpenFolder]] | None = None) -> None:
        """Opens the table of a file, which need not exist.

        Args:
            path: The file.
            folder: Opens the folder that holds it, before each write; the one at its path if None.
        """
        self.path = path
        self._folder = folder or (lambda: opened(path.parent))
        self._waiting: list[str] = []

    def append(self, row: dict[str, Any]) -> None:
        """Appends a line, after any that are still in memory.

        Raises:
            OSError: If writing fails; the file stays as it was.
        """
        self._waiting.append(json.dumps(row, allow_nan=False) + "\n")
        self.write()

    def write(self) -> None:
        """Writes the lines in memory, if any.

        Raises:
            OSError: If writing fails; the file stays as it was.
        """
        if not self._waiting:
            return
        rest = memoryview("".join(self._waiting).encode())
        with self._folder() as folder, folder.file(self.path.name, "ab", buffering=0) as file:
            size = file.seek(0, 2)
            try:
                while rest:
                    rest = rest[file.write(rest) :]
            except OSError:
                with suppress(OSError):
                    file.truncate(size)  # or the next line would follow a part of this one
                raise
        self._waiting.clear()

    def flush(self) -> None:
        """Writes the lines in memory and flushes the file to the disk."""
        self.write()
        with self._folder() as folder, suppress(FileNotFoundError), folder.file(self.path.name, "rb") as file:
            os.fsync(file.fileno())

    def rows(self) -> Iterator[dict[str, float]]:
        """Reads the whole lines one by one; skips a truncated last one.

        Raises:
            UserError: If a line is no table of finite numbers, or its iteration does not follow the one before.
        """
        return (row for row, _ in self._read())

    def listed(self) -> list[dict[str, float]]:
        """Reads the whole lines of a file that may be somebody else's into memory.

        Raises:
            UserError: If a line is damaged, or the file has more than `MAX_LISTED_BYTES`.
        """
        if is_own_file(self.path.parent, self.path.name) and self.path.stat().st_size > MAX_LISTED_BYTES:
            raise UserError(f"{self.path} is too long to be read as a whole: it has more than {MAX_LISTED_BYTES} bytes")
        return list(self.rows())

    def cut(self, iterations: int, needs: Sequence[str] = ()) -> int:
        """Removes the lines from this iteration on and a truncated last line; the others keep every byte.

        Args:
            iterations: The first iteration to remove.
            needs: Numbers that every line must have.

        Returns:
            The number of lines that stay.

        Raises:
            UserError: If a line is damaged; the file stays as it was.
        """
        lines, size = 0, 0
        for row, end in self._read(needs):
            if row["iteration"] < iterations:
                lines, size = lines + 1, end
        with self._folder() as folder:
            kept = b""
            if size:
                with folder.file(self.path.name, "rb") as file:
                    kept = file.read(size)
            atomic.replace(folder, self.path.name, kept)
        return lines

    def _read(self, needs: Sequence[str] = ()) -> Iterator[tuple[dict[str, float], int]]:
        """Reads the whole lines, each with the place in the file where it ends."""
        if not os.path.lexists(self.path):
            return
        if not is_own_file(self.path.parent, self.path.name):
            raise UserError(f"{self.path} is damaged: it is no file, or a link")
        last, end = -1, 0
        with self.path.open("rb") as file:
            for number in itertools.count(1):
                line = file.readline(MAX_LINE_BYTES)
                if not line.endswith(b"\n"):
                    if len(line) == MAX_LINE_BYTES:
                        raise UserError(f"{self.path} is damaged in line {number}: no line has {MAX_LINE_BYTES} bytes")
                    return
                row = _row(line, f"{self.path} is damaged in line {number}", needs)
                if row["iteration"] <= last:
                    raise UserError(f"{self.path} is damaged in line {number}: an iteration must follow {last}")
                last, end = int(row["iteration"]), end + len(line)
                yield row, end


def _row(line: bytes, fault: str, needs: Sequence[str]) -> dict[str, float]:
    """Reads one line.

    Raises:
        UserError: If it is no table of finite numbers, or one is missing.
    """
    try:
        row = json.loads(line.decode())
    except (ValueError, RecursionError) as error:
        raise UserError(f"{fault}: {str(error)[:200]}") from None
    if not isinstance(row, dict):
        raise UserError(f"{fault}: it holds no table")
    for name in ("iteration", *needs):
        if name not in row:
            raise UserError(f"{fault}: it lacks {name}")
    for name, value in row.items():
        if not is_finite(value):
            raise UserError(f"{fault}: {name[:100]} must be a finite number, not {shown(value)}")
    iteration = row["iteration"]
    if type(iteration) is not int or not 0 <= iteration <= MAX_WHOLE:
        raise UserError(f"{fault}: iteration must be a whole number from 0 to {MAX_WHOLE}, not {shown(iteration)}")
    return row
