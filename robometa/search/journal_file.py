"""Optuna's journal, written in the open folder of its search; a link at its name is replaced, never followed."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager
from typing import Any

from optuna.storages.journal import BaseJournalBackend

from robometa.search.record_file import JOURNAL
from robometa.storage import atomic
from robometa.storage.open_folder import OpenFolder

Opens = Callable[[], AbstractContextManager[OpenFolder]]
"""Opens the folder of a search, which its process has locked."""


class JournalFile(BaseJournalBackend):
    """Entries of a journal, in memory and in a file that Optuna's dashboard reads."""

    def __init__(self, folder: Opens) -> None:
        """Empties the file.

        Args:
            folder: Opens the folder that holds it, before each write.
        """
        self._folder, self._entries = folder, list[dict[str, Any]]()
        with folder() as held:
            held.remove(JOURNAL)
            atomic.write(held, JOURNAL, b"")

    def read_logs(self, log_number_from: int) -> Iterable[dict[str, Any]]:
        """Returns the entries from a number on."""
        return self._entries[log_number_from:]

    def append_logs(self, logs: list[dict[str, Any]]) -> None:
        """Appends entries, flushed to the disk."""
        lines = [json.dumps(entry, separators=(",", ":")) + "\n" for entry in logs]
        with self._folder() as held, held.file(JOURNAL, "ab") as file:
            file.write("".join(lines).encode())
            file.flush()
            os.fsync(file.fileno())
        self._entries += [json.loads(line) for line in lines]
