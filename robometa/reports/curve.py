"""Learning curves, read from the tables of a run."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from robometa.reports.measured import MAX_RETURN
from robometa.reports.statistics import Array
from robometa.storage.json_lines import Lines

TIMINGS = "timings.jsonl"
RETURN = re.compile(r"return_(\d{1,4})")
"""Name of the mean return of a shot in the metrics."""
HELD_OUT = re.compile(r"held_out_return_(\d{1,4})")
"""Name of the mean return of a shot on held-out tasks, in the metrics of some iterations."""


@dataclass(frozen=True, eq=False)
class Curve:
    """Return of the last shot along a training."""

    steps: Array
    """Environment steps so far. `[iteration]`"""
    returns: Array
    """`[iteration]`"""
    core_minutes: Array | None = None
    """Processor time so far; None if it was not recorded, or a GPU computed too. `[iteration]`"""


@dataclass(frozen=True, eq=False)
class Times:
    """Times of a run's iterations."""

    wall_minutes: float | None
    """Sampling and updates; None without any."""
    core_minutes: Mapping[int, float]
    """Processor time up to the end of each iteration; empty unless it was recorded from the first one to the last."""

    @property
    def all_core_minutes(self) -> float | None:
        """Processor time of the whole run; None if it was not recorded."""
        return max(self.core_minutes.values(), default=None)


def read_times(run: Path) -> Times:
    """Reads the times of a run, as far as there are any."""
    rows = Lines(run / TIMINGS).listed()
    wall = sum(row.get("sampling", 0.0) + row.get("update", 0.0) for row in rows) / 60 if rows else None
    spent = [row.get("processor", 0.0) for row in rows]
    is_whole = bool(rows) and rows[0].get("iteration") == 0 and min(spent) > 0
    minutes = (np.cumsum(spent) / 60).tolist() if is_whole else []
    return Times(wall, {int(row["iteration"]): so_far for row, so_far in zip(rows, minutes, strict=False)})


def curve_of(
    rows: Sequence[Mapping[str, float]], named: re.Pattern[str], core_minutes: Mapping[int, float]
) -> Curve | None:
    """Returns of the last shot in a run's metrics; None if they have none of this name.

    Args:
        rows: The metrics.
        named: Names of the returns of each shot.
        core_minutes: Processor time up to the end of each iteration; no axis of it if one that is drawn is missing.
    """
    matches = [match for name in {name for row in rows for name in row} if (match := named.fullmatch(name))]
    if not matches:
        return None
    key = max(matches, key=lambda match: int(match[1])).string
    whole = [row for row in rows if all(abs(row.get(name, np.inf)) <= MAX_RETURN for name in (key, "steps"))]
    if not whole:
        return None
    minutes = [core_minutes.get(int(row.get("iteration", -1))) for row in whole]
    known = [one for one in minutes if one is not None]
    return Curve(
        np.array([row["steps"] for row in whole]),
        np.array([row[key] for row in whole]),
        np.array(known) if len(known) == len(whole) else None,
    )
