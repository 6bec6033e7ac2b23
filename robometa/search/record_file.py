"""Record of a search, `search.jsonl`: one line for each generation, each of its rungs, and the finals.

The record is what counts; the journal of Optuna beside it is written anew from it when a search is resumed. A line is
appended once everything it tells of is on the disk, so a search that is killed does again what has no line yet.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, suppress
from pathlib import Path
from typing import Any

from robometa.errors import UserError
from robometa.search.record import State
from robometa.search.settings import Settings
from robometa.storage.open_folder import OpenFolder
from robometa.storage.paths import is_own_file
from robometa.storage.sealed_folder import MAX_MANIFEST_BYTES
from robometa.storage.table import Table

RECORD, JOURNAL = "search.jsonl", "journal.log"
"""Files of the record, and of Optuna's journal with a study for each learner, below a search's folder."""
MAX_BYTES = 1 << 28
"""Largest record that is read, bytes."""


class Record:
    """The file of the record, and the state that its lines add up to."""

    def __init__(
        self, path: Path, folder: Callable[[], AbstractContextManager[OpenFolder]], settings: Settings
    ) -> None:
        """Reads the lines; a last one that was cut short is removed by the next `append`.

        Args:
            path: The file, which need not exist.
            folder: Opens the folder that holds it, before each write.
            settings: Settings of the search.

        Raises:
            UserError: If a line is damaged.
        """
        self.path, self._folder, self._settings, self.state = path, folder, settings, State()
        self._size = 0
        for line, end in lines(path):
            self.state.take(line, settings)
            self._size = end

    def append(self, line: Mapping[str, Any]) -> None:
        """Appends a line, flushed to the disk, and takes it in.

        Raises:
            OSError: If it cannot be written; the record is as it was.
        """
        content = (json.dumps(line, allow_nan=False, sort_keys=True) + "\n").encode()
        taken = Table(json.loads(content), str(self.path))
        with self._folder() as folder:
            self._size = append_at(folder, self.path.name, self._size, content)
        self.state.take(taken, self._settings)


def append_at(folder: OpenFolder, name: str, size: int, content: bytes) -> int:
    """Appends whole lines where the last whole one of a file ends, flushed to the disk; what is beyond it is removed.

    Returns:
        Where they end.

    Raises:
        OSError: If they cannot be written; the whole lines are as they were.
    """
    with folder.file(name, "ab", buffering=0) as file:
        size = min(size, file.seek(0, 2))
        file.truncate(size)
        rest = memoryview(content)
        try:
            while rest:
                rest = rest[file.write(rest) :]
            os.fsync(file.fileno())
        except OSError:
            with suppress(OSError):
                file.truncate(size)
            raise
    return size + len(content)


def read_state(path: Path, settings: Settings) -> State:
    """The state of a search with these settings, from its record.

    Raises:
        UserError: If a line is damaged.
    """
    state = State()
    for line, _ in lines(path):
        state.take(line, settings)
    return state


def lines(path: Path) -> Iterator[tuple[Table, int]]:
    """The whole lines of a record, and where each ends."""
    if not os.path.lexists(path):
        return
    if not is_own_file(path.parent, path.name) or path.stat().st_size > MAX_BYTES:
        raise UserError(f"{path} is damaged: it is no file, is a link, or has more than {MAX_BYTES} bytes")
    end = 0
    for number, line in enumerate(path.read_bytes().split(b"\n")[:-1], start=1):
        end += len(line) + 1
        where = f"line {number} of {path}"
        try:
            content = json.loads(line.decode()) if len(line) <= MAX_MANIFEST_BYTES else None
        except (ValueError, RecursionError) as error:
            raise UserError(f"{where} is damaged: {str(error)[:200]}") from None
        yield Table(content, where), end
