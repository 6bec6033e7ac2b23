"""Results of a learner on a suite, over its seeds."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from robometa import registry, suites
from robometa.reports import reference_returns, statistics
from robometa.reports.gap import BY_INTERQUARTILE_MEANS, REFERENCES, Sample, words_of_gap
from robometa.reports.report import MAX_DIVERGED
from robometa.reports.statistics import interquartile_mean, words_of_gain
from study import controls, plan, samples, tried

Interval = tuple[float, float, float]


@dataclass(frozen=True)
class Row:
    """Results of a learner on a suite."""

    learner: str
    seeds: tuple[int, ...]
    wanted: int
    """Number of seeds in the plan."""
    tasks: int
    """Number of held-out tasks that were evaluated."""
    episodes_seen: tuple[float, ...]
    """`[shot]`"""
    mean_action: tuple[Interval, ...]
    """Interquartile mean and its interval. `[shot]`"""
    mean: tuple[float, ...]
    """Mean over tasks and seeds. `[shot]`"""
    exploring: tuple[Interval, ...]
    """`[shot]`"""
    first_episode: bool
    """It adapts within an episode, so that its first one is not before adaptation."""
    quarters: tuple[float, float] | None
    """Mean returns of the first and last quarter of the first episode; None if not recorded."""
    success: tuple[float, float] | None
    """Success of mean actions after the last shot, by the end of an episode and at any step; None if not recorded."""
    gap: tuple[dict[str, float | None], ...]
    """Gap closed by mean actions, as `Reference.gap_closed` describes it; empty if none is reported. `[shot]`"""
    gain: dict[str, float | None] | None
    """Mean return after one shot minus the control's, with its interval; None if it was not measured."""
    gain_of_policy: bool
    """It was measured for the published policy, not for every seed."""
    environment_steps: float
    """Of a training, mean over seeds."""
    gradient_samples: float | None
    """Transitions that the gradient steps of a training used, mean over seeds; None if not recorded."""
    tried: int | None
    """Configurations of the learner on the suite of which there are records; None if there are none."""
    wall_minutes: float
    core_minutes: float
    random: Interval
    """Of random actions on the same tasks."""
    diverged: float
    """Largest share of diverged episodes in a report."""


def row_of(cells: list[plan.Cell], tasks: int | None = None) -> Row | None:
    """Joins the records of a learner's cells; None if there are none.

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
        mean=tuple(np.array([record[acting] for record in records])[..., :tasks].mean(axis=(0, 2)).tolist()),
        exploring=pooled("exploring"),
        first_episode=_adapts_within_episode(records[0]["learner"]),
        quarters=_pair(records, "first_episode_quarters"),
        success=_pair(records, "success"),
        gap=_gaps(records, acting, tasks),
        **_gain(cells[0], records, acting, tasks),
        environment_steps=mean("environment_steps"),
        gradient_samples=samples.of(records),
        tried=tried.configurations(cells[0].suite, records[0]["learner"]),
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
    """True if it was measured on all of the suite's held-out tasks."""
    return row.tasks == len(suites.load(suite).test)


def on_how_many(row: Row, suite: str) -> str:
    """Suffix of a learner's name: the number of tasks on which it was measured, if not all."""
    return "" if on_all(row, suite) else f" ({row.tasks} of {len(suites.load(suite).test)} tasks)"


def gap_closed(row: Row, way: str = BY_INTERQUARTILE_MEANS) -> str:
    """Formats the gap closed after the first shot and the last, each with its interval; empty if none is reported.

    A dash where too many episodes diverged.

    Args:
        row: The row.
        way: Key of the gap, such as `gap.BY_TASK`.
    """
    if not row.gap or len(row.gap) < 2:
        return ""
    if row.diverged > MAX_DIVERGED:
        return "\N{EN DASH}"
    return "; ".join(words_of_gap(row.gap[shot], way) for shot in (1, -1))


def _gaps(records: list[dict[str, Any]], acting: str, tasks: int | None) -> tuple[dict[str, float | None], ...]:
    """Gap closed at each shot; empty without a reference, on part of the tasks, and for the references themselves."""
    known = reference_returns.find(records[0]["suite_hash"])
    count = len(records[0]["random"][:tasks])
    if known is None or known.tasks != count or records[0]["learner"] in REFERENCES or known.obstacle() is not None:
        return ()
    values = np.array([record[acting] for record in records])  # [seed, shot, task]
    shots = range(values.shape[1])
    return tuple(known.gap_closed(Sample(list(values[:, shot].T), together=True)) for shot in shots)


def gain(row: Row) -> str:
    """Formats what one shot adds to the control's return; a dash where that was not measured."""
    if row.gain is None:
        return "\N{EN DASH}"
    return words_of_gain(row.gain) + (" (one policy)" if row.gain_of_policy else "")


def _gain(cell: plan.Cell, records: list[dict[str, Any]], acting: str, tasks: int | None) -> dict[str, Any]:
    """Return after one shot minus the control's, of all seeds or of the published policy, as entries of a row.

    That of a published policy counts if it was trained as the row was: a longer training adapts to more.
    """
    if all(record.get("control") for record in records) and len(records[0]["control"]) > 1:
        after, control = (np.array([record[key] for record in records])[:, 1, :tasks] for key in (acting, "control"))
        seeds = (after - control).mean(axis=1)  # [seed]
        ends = [None if np.isnan(end) else end for end in statistics.mean([seeds])]
        return {"gain": dict(zip(("mean", "low", "high"), ends, strict=True)), "gain_of_policy": False}
    name = f"{cell.learner}-long" if cell.long else cell.learner
    known = controls.read(cell.suite).get(name)
    fits = (
        known is not None
        and known["tasks"] == len(records[0]["random"][:tasks])
        and plan.trained_so(controls.POLICIES / f"{cell.suite}-{name}", cell.suite, cell.plain_options())
    )
    return {"gain": known["after_minus_control"] if known and fits else None, "gain_of_policy": fits}


def _pair(records: list[dict[str, Any]], key: str) -> tuple[float, float] | None:
    """Means of two numbers over the records; None if one of them lacks these."""
    pairs = [record.get(key) for record in records]
    if any(pair is None or None in pair for pair in pairs):
        return None
    first, second = np.mean(np.array(pairs, dtype=float), axis=0)
    return float(first), float(second)


def _adapts_within_episode(learner: str) -> bool:
    return learner not in plan.UNTRAINED and registry.find(learner).load().adapts_within_episode
