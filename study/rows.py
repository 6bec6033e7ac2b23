"""What is known of a learner on a suite, over the seeds that there are."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from robometa import suites
from robometa.reports import reference_returns
from robometa.reports.report import MAX_DIVERGED
from robometa.reports.statistics import interquartile_mean
from study import plan

Interval = tuple[float, float, float]


@dataclass(frozen=True)
class Row:
    """What is known of a learner on a suite."""

    learner: str
    seeds: tuple[int, ...]
    wanted: int
    """How many seeds the plan asks for."""
    tasks: int
    """How many held-out tasks were evaluated."""
    episodes_seen: tuple[float, ...]
    """`[shot]`"""
    mean_action: tuple[Interval, ...]
    """Interquartile mean and its interval. `[shot]`"""
    exploring: tuple[Interval, ...]
    """`[shot]`"""
    environment_steps: float
    """Of a training, mean over seeds."""
    wall_minutes: float
    core_minutes: float
    random: Interval
    """Of random actions on the same tasks."""
    diverged: float
    """Largest share of diverged episodes in a report."""


def row_of(cells: list[plan.Cell], tasks: int | None = None) -> Row | None:
    """What the records of a learner's cells say together, or None if there are none.

    Args:
        cells: A learner's.
        tasks: Of the first so many held-out tasks alone; of all that were evaluated if None.
    """
    records = [cell.result() for cell in cells if cell.done()]
    if not records:
        return None

    def pooled(key: str) -> tuple[Interval, ...]:
        values = np.array([record[key] for record in records])[..., :tasks]  # [seed, shot, task]
        return tuple(interquartile_mean(values[:, shot].T, together=True) for shot in range(values.shape[1]))

    # Random actions have no mean action: theirs is to do nothing.
    acting = "exploring" if records[0]["learner"] == "random" else "mean_action"

    def mean(key: str) -> float:
        return float(np.mean([record[key] for record in records]))

    return Row(
        learner=records[0]["learner"],
        seeds=tuple(record["seed"] for record in records),
        wanted=len(cells),
        tasks=len(records[0]["random"][:tasks]),
        episodes_seen=tuple(np.mean([record["episodes_seen"] for record in records], axis=0).tolist()),
        mean_action=pooled(acting),
        exploring=pooled("exploring"),
        environment_steps=mean("environment_steps"),
        wall_minutes=mean("wall_seconds") / 60,
        core_minutes=mean("processor_seconds") / 60,
        random=interquartile_mean(np.array([record["random"][:tasks] for record in records]).T, together=True),
        diverged=max(record.get("diverged_share", 0.0) for record in records),
    )


def words(interval: Interval) -> str:
    """An interquartile mean and its interval in words."""
    middle, low, high = interval
    return f"{middle:.1f}" if np.isnan(low) else f"{middle:.1f} [{low:.1f}, {high:.1f}]"


def on_all(row: Row, suite: str) -> bool:
    """Whether it was measured on all of the suite's held-out tasks."""
    return row.tasks == len(suites.load(suite).test)


def on_how_many(row: Row, suite: str) -> str:
    """What follows a learner's name: on how many tasks it was measured, if not on all."""
    return "" if on_all(row, suite) else f" ({row.tasks} of {len(suites.load(suite).test)} tasks)"


def gap_closed(row: Row, suite: str) -> str:
    """How much of the gap it closes after the first shot and the last; nothing where there is none to compare with.

    A dash where too many episodes diverged.
    """
    known = reference_returns.find(suites.load(suite).content_hash)
    if known is None or known.tasks != row.tasks or len(row.mean_action) < 2:
        return ""
    if row.diverged > MAX_DIVERGED:
        return "\N{EN DASH}"
    fractions = [known.gap_closed(row.mean_action[shot][0]) for shot in (1, -1)]
    return ", ".join(f"{round(fraction, 2) + 0.0:.0%}" for fraction in fractions)  # and no -0%
