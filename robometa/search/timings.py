"""Processor times of a search, `timings.jsonl`: of the trainings, and of the work beside them.

They are beside the record and not in it, because a search by steps repeats its record to the same bytes. Work that a
kill loses has no line.
"""

from __future__ import annotations

from dataclasses import astuple, dataclass
from pathlib import Path
from typing import NamedTuple

from robometa.search.record import Result
from robometa.search.record_file import lines

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
    """The process that suggests and records."""

    def __add__(self, other: Times) -> Times:
        return Times(*(one + two for one, two in zip(astuple(self), astuple(other), strict=True)))

    def words(self) -> str:
        """One sentence; empty if nothing was trained."""
        if not self.training:
            return ""
        beside, driver = (f"{100 * one / self.training:.2g} %" for one in (self.beside, self.driver))
        return (
            f"Processor time: trainings {self.training / 60:.3g} min; on top of it scoring and starting {beside}, "
            f"suggesting and recording {driver}."
        )


def read_times(folder: Path) -> Times:
    """Processor times of the search in a folder; zeros if it has none.

    Raises:
        UserError: If the file is damaged.
    """
    total = Times()
    for line, _ in lines(folder / TIMINGS):
        total += Times(*(line.number(name, 0) for name in ("training", "beside", "driver")))
    return total
