"""A file of JSON lines that is only added to: whole lines, or none."""

from __future__ import annotations

import contextlib
import json
from pathlib import Path
from typing import Any

from robometa.errors import UserError
from robometa.storage.atomic import flush, replace_file


class Lines:
    """A table to which lines are added; one that cannot be written waits in memory for the next time."""

    def __init__(self, path: Path) -> None:
        """The table in a file, which need not be there."""
        self.path = path
        self._waiting: list[str] = []

    def append(self, row: dict[str, Any]) -> None:
        """Adds a line, and those that still wait before it.

        Raises:
            OSError: If the disk does not take them; the file is as it was.
        """
        self._waiting.append(json.dumps(row, allow_nan=False) + "\n")
        self.write()

    def write(self) -> None:
        """Writes the lines that wait, if any.

        Raises:
            OSError: If the disk does not take them; the file is as it was.
        """
        if not self._waiting:
            return
        rest = memoryview("".join(self._waiting).encode())
        with self.path.open("ab", buffering=0) as file:
            size = file.seek(0, 2)
            try:
                while rest:
                    rest = rest[file.write(rest) :]
            except OSError:
                with contextlib.suppress(OSError):
                    file.truncate(size)  # or the next line would go on where half of this one ends
                raise
        self._waiting.clear()

    def flush(self) -> None:
        """Writes what waits and asks the system to put the file on the disk now."""
        self.write()
        if self.path.exists():
            flush(self.path)

    def rows(self) -> list[dict[str, Any]]:
        """The whole lines; a last one that was cut short is passed over.

        Raises:
            UserError: If one of them is no table.
        """
        return [row for _, row in self._read()]

    def cut(self, iterations: int) -> None:
        """Takes back the lines of iterations from this one on, and half a line at the end; others keep every byte."""
        kept = [line + "\n" for line, row in self._read() if row["iteration"] < iterations]
        replace_file(self.path, "".join(kept).encode())

    def _read(self) -> list[tuple[str, dict[str, Any]]]:
        """The whole lines, and what they say."""
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
