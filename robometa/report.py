"""What the evaluator found: returns of every shot, task and world, their summary, and the files that keep it."""

from __future__ import annotations

import csv
import io
import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from robometa import reference, sealed

RESAMPLES = 2000
CONFIDENCE = 0.95
Array = NDArray[np.float64]


@dataclass(frozen=True)
class Scores:
    """One episode of every task in every world after every shot."""

    returns: Array
    """`[shot, task, world]`"""
    success: Array
    """1 where the success condition held at any step of the episode. `[shot, task, world]`"""
    episodes: Array
    """Episodes that each world began in the rollout: more than one where they end early. `[shot, task, world]`"""
    diverged: int
    """Simulation steps that blew up; they were paid nothing."""

    def interquartile_mean(self, shot: int) -> tuple[float, float, float]:
        """Interquartile mean of the returns after a shot, and its stratified bootstrap interval."""
        return interquartile_mean(self.returns[shot])

    def interval(self, shot: int) -> dict[str, float | None]:
        """The same by name, for JSON: no interval is None."""
        ends = zip(("interquartile_mean", "low", "high"), self.interquartile_mean(shot), strict=True)
        return {name: None if math.isnan(value) else value for name, value in ends}


@dataclass(frozen=True)
class Report:
    """What the evaluator found."""

    suite: str
    suite_hash: str
    split: str
    learner: str
    policy: str
    seed: int
    tasks: tuple[str, ...]
    """Each task's hidden numbers in words."""
    episodes_seen: tuple[float, ...]
    """Episodes of a task that the adaptation has seen at each shot, mean over tasks. `[shot]`"""
    steps_seen: tuple[int, ...]
    """Environment steps of a task that the adaptation has seen at each shot. `[shot]`"""
    mean_action: Scores
    """Acting without noise."""
    exploring: Scores
    """Acting as in training."""
    random: Scores
    """Random actions on the same tasks; there is one shot. `[1, task, world]`"""
    has_success: bool
    """Whether the suite's objective has a success condition."""

    def summary(self) -> list[dict[str, Any]]:
        """A row per shot: episodes and steps seen, interquartile means with their intervals, success.

        On all held-out tasks of a suite whose oracle was measured, also the gap closed: how far the mean actions are
        from not adapting, 0, to the oracle, 1.
        """
        known = reference.find(self.suite_hash) if self.split == "test" else None
        if known is not None and known.tasks != len(self.tasks):
            known = None
        rows = []
        for shot, (episodes, steps) in enumerate(zip(self.episodes_seen, self.steps_seen, strict=True)):
            row: dict[str, Any] = {"shot": shot, "episodes_seen": episodes, "steps_seen": steps}
            for name, scores in (("mean_action", self.mean_action), ("exploring", self.exploring)):
                row[name] = {
                    **scores.interval(shot),
                    "mean": float(scores.returns[shot].mean()),
                    "success": float(scores.success[shot].mean()) if self.has_success else None,
                }
            if known is not None:
                row["gap_closed"] = known.gap_closed(row["mean_action"]["interquartile_mean"])
            rows.append(row)
        return rows

    def save(self, folder: Path) -> None:
        """Writes `report.json` and `tasks.csv`, the latter with a row per task, shot and world.

        A policy's manifest lists them from then on.
        """
        folder.mkdir(parents=True, exist_ok=True)
        described = {
            "suite": self.suite,
            "suite_hash": self.suite_hash,
            "split": self.split,
            "learner": self.learner,
            "policy": self.policy,
            "seed": self.seed,
            "tasks": len(self.tasks),
            "worlds": self.exploring.returns.shape[2],
            "interval": f"{CONFIDENCE:.0%} stratified bootstrap over the worlds of each task",
            "random": self.random.interval(0),
            "diverged": self.mean_action.diverged + self.exploring.diverged,
            "shots": self.summary(),
        }
        described = json.loads(json.dumps(described), parse_constant=lambda _: None)  # JSON has no NaN
        sealed.put(folder, {"report.json": json.dumps(described, indent=2) + "\n", "tasks.csv": self._table()})

    def _table(self) -> str:
        """A row per task, shot and world, as comma-separated values."""
        table = io.StringIO(newline="")
        writer = csv.writer(table)
        writer.writerow(("acting", "shot", "task", "parameters", "world", "return", "success"))
        for name, scores in (("mean action", self.mean_action), ("exploring", self.exploring)):
            for place in np.ndindex(scores.returns.shape):
                shot, task, world = place
                success = int(scores.success[place]) if self.has_success else ""
                writer.writerow((name, shot, task, self.tasks[task], world, scores.returns[place], success))
        return table.getvalue()


def interquartile_mean(values: Array, *, together: bool = False) -> tuple[float, float, float]:
    """Interquartile mean over all entries, and its stratified bootstrap interval: worlds resampled within each task.

    Args:
        values: `[task, world]`
        together: Resample the same worlds for all tasks: for columns that are one draw each, as a training seed is.
    Returns: The mean of the middle half, and the interval's ends; both NaN where there is but one world.
    Source: Agarwal et al. 2021, https://arxiv.org/abs/2108.13264.
    """
    from scipy import stats  # takes more than a second to load

    def middle(*tasks: Array, axis: int = -1) -> Any:
        return stats.trim_mean(np.concatenate(tasks, axis=axis), 0.25, axis=axis)

    if values.shape[1] < 2:
        return float(middle(*values)), float("nan"), float("nan")
    if np.ptp(values, axis=1).max() == 0:  # nothing to resample
        return float(middle(*values)), float(middle(*values)), float(middle(*values))
    found = stats.bootstrap(
        tuple(values),
        middle,
        n_resamples=RESAMPLES,
        batch=200,
        confidence_level=CONFIDENCE,
        paired=together,
        method="percentile",
        rng=np.random.default_rng(0),
    )
    return float(middle(*values)), float(found.confidence_interval.low), float(found.confidence_interval.high)
