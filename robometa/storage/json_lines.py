"""An append-only file of JSON lines; a line is written whole or not at all."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from contextlib import AbstractContextManager, suppress
from pathlib import Path
from typing import Any

from robometa.errors import UserError
from robometa.storage import atomic
from robometa.storage.open_folder import OpenFolder, opened


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

    def rows(self) -> list[dict[str, Any]]:
        """Reads the whole lines; skips a truncated last one.

        Raises:
            UserError: If a line is not a JSON object.
        """
        return [row for _, row in self._read()]

    def cut(self, iterations: int) -> None:
        """Removes the lines from this iteration on and a truncated last line; the others keep every byte."""
        kept = [line + "\n" for line, row in self._read() if row["iteration"] < iterations]
        with self._folder() as folder:
            atomic.replace(folder, self.path.name, "".join(kept).encode())

    def _read(self) -> list[tuple[str, dict[str, Any]]]:
        """Reads the whole lines and their contents."""
        read = []
        content = self.path.read_bytes() if self.path.exists() else b""
        for number, line in enumerate(content.split(b"\n")[:-1], start=1):
            try:
                text = line.decode()
                row = json.loads(text)
                read.append((text, row | {"iteration": int(row["iteration"])}))
            except (ValueError, TypeError, KeyError, RecursionError) as error:
                raise UserError(f"{self.path} is damaged in line {number}: {error!r}") from None
        return read
