"""Processor times of a search, `timings.jsonl`: of the trainings, and of the work beside them.

They are beside the record and not in it, because a search by steps repeats its record to the same bytes. Work that a
kill loses has no line.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import asdict, astuple, dataclass
from pathlib import Path
from typing import NamedTuple

from robometa.errors import UserError
from robometa.search.budget import SECONDS, Budget
from robometa.search.record import Result
from robometa.search.record_file import append_at, lines
from robometa.storage.open_folder import OpenFolder

TIMINGS = "timings.jsonl"
"""File of the processor times, below a search's folder."""


class Outcome(NamedTuple):
    """Result of an order, with its processor times."""

    result: Result
    training: float
    """Processor time of the iterations, s."""
    beside: float
    """Processor time of the process beside them since the order before, s: sizing, scoring, building, starting."""


@dataclass(frozen=True)
class Times:
    """Processor times, s."""

    training: float = 0.0
    """Iterations of all trainings."""
    beside: float = 0.0
    """The other work of the processes that train: sizing, scoring, building, starting."""
    driver: float = 0.0
    """The process that suggests and records, from where it opens the search: without its start and the report."""

    def __add__(self, other: Times) -> Times:
        return Times(*(one + two for one, two in zip(astuple(self), astuple(other), strict=True)))

    def words(self) -> str:
        """One sentence; empty if nothing was trained."""
        if not self.training:
            return ""
        beside, driver = (_percent(one / self.training) for one in (self.beside, self.driver))
        return (
            f"Processor time: trainings {Budget(self.training, SECONDS).words()}; on top of it sizing, scoring and "
            f"starting {beside}, suggesting and recording {driver}."
        )


class Timings:
    """The file of the processor times, and the clock of the process that suggests and records."""

    def __init__(self, path: Path, folder: Callable[[], AbstractContextManager[OpenFolder]]) -> None:
        """Reads the lines; a last one that was cut short is removed by the next `append`. Starts the clock.

        Args:
            path: The file, which need not exist.
            folder: Opens the folder that holds it, before each write.

        Raises:
            UserError: If a line is damaged.
        """
        self._path, self._folder, self._clock = path, folder, time.process_time()
        _, self._size = _read(path)

    def append(self, times: Times) -> None:
        """Appends the times of some work, with those of this process since the line before, flushed to the disk.

        Raises:
            OSError: If they cannot be written; the file is as it was.
        """
        now = time.process_time()
        line = asdict(times + Times(driver=now - self._clock))
        with self._folder() as folder:
            self._size = append_at(folder, self._path.name, self._size, (json.dumps(line) + "\n").encode())
        self._clock = now


def read_times(folder: Path) -> Times:
    """Processor times of the search in a folder; zeros if it has none.

    Raises:
        UserError: If the file is damaged.
    """
    return _read(folder / TIMINGS)[0]


def _read(path: Path) -> tuple[Times, int]:
    """Sum of the whole lines, and where the last one ends."""
    total, size = Times(), 0
    try:
        for line, end in lines(path):
            total, size = total + Times(*(line.number(name, 0) for name in ("training", "beside", "driver"))), end
    except UserError as error:
        raise UserError(f"{error}; it holds processor times alone: remove it, and the search does without") from None
    return total, size


def _percent(share: float) -> str:
    """A share in words, such as `0.6 %`."""
    return f"{100 * share:.0f} %" if share >= 0.1 else f"{100 * share:.2g} %"
