"""Report of an evaluation: returns of every shot, task and world, their summary, and its files."""

from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from robometa.escape import printable
from robometa.reports import reference_returns
from robometa.reports.scores import Scores
from robometa.reports.statistics import CONFIDENCE, Array, interquartile_mean, mean
from robometa.storage import sealed_folder

if TYPE_CHECKING:
    import pandas

MAX_DIVERGED = 0.01
"""Largest share of diverged episodes with which a gap is reported."""


@dataclass(frozen=True)
class Report:
    """Results of an evaluation."""

    suite: str
    suite_hash: str
    split: str
    learner: str
    policy: str
    seed: int
    tasks: tuple[str, ...]
    """Hidden parameters of each task, in words. `[task]`"""
    episodes_seen: tuple[float, ...]
    """Episodes of a task that the adaptation has seen at each shot, mean over tasks. `[shot]`"""
    steps_seen: tuple[int, ...]
    """Environment steps of a task that the adaptation has seen at each shot. `[shot]`"""
    mean_action: Scores
    """Scores of acting without noise."""
    exploring: Scores
    """Scores of acting with the noise of training."""
    random: Scores
    """Scores of random actions on the same tasks, as one shot. `[1, task, world]`"""
    has_success: bool
    """True if the suite's objective has a success condition."""
    names: tuple[str, ...] = ()
    """Name of the task that each goal belongs to, in a suite with several goals per task. `[task]`"""
    protocol: str = ""
    """Versioned name of the protocol; empty if shots and worlds were chosen freely."""

    def __repr__(self) -> str:
        """Learner, suite and sizes."""
        sizes = f"{len(self.tasks)} tasks, {self.exploring.returns.shape[2]} episodes each"
        shots = f"shots: {len(self.episodes_seen) - 1}"
        return f"<report of {printable(self.learner)} on {printable(self.suite)} ({self.split}): {shots}, {sizes}>"

    def _repr_html_(self) -> str:
        """Results for a notebook: a row per shot."""
        from robometa.reports.notebook import html_of

        return html_of(self)

    def to_frame(self) -> pandas.DataFrame:
        """A pandas table with a row per episode: the columns of `tasks.csv`, and those that tell reports apart.

        Raises:
            UserError: If pandas is not installed.
        """
        from robometa.reports.notebook import frame_of

        return frame_of(self, self._episodes_table())

    def summary(self) -> list[dict[str, Any]]:
        """A row per shot: episodes and steps seen, interquartile means with their intervals, success.

        On all held-out tasks of a suite with a reference, also the gap closed: the position of the mean actions between
        no adaptation, 0, and the oracle, 1; None where more than `MAX_DIVERGED` of the episodes diverged.
        """
        known = self._known()
        rows: list[dict[str, Any]] = []
        for shot, (episodes, steps) in enumerate(zip(self.episodes_seen, self.steps_seen, strict=True)):
            row: dict[str, Any] = {"shot": shot, "episodes_seen": episodes, "steps_seen": steps}
            for name, scores in (("mean_action", self.mean_action), ("exploring", self.exploring)):
                row[name] = self.interval(scores, shot) | {"mean": float(scores.returns[shot].mean())}
                row[name] |= self.successes(scores, shot) | {"diverged_episodes": int(scores.spoilt[shot].sum())}
            if known is not None:
                gap = known.gap_closed(row["mean_action"]["interquartile_mean"])
                row["gap_closed"] = gap if self.diverged_share(shot) <= MAX_DIVERGED else None
            rows.append(row)
        return rows

    def _known(self) -> reference_returns.Reference | None:
        """The suite's reference, if all of its held-out tasks were measured."""
        known = reference_returns.find(self.suite_hash) if self.split == "test" else None
        return None if known is not None and known.tasks != len(self.tasks) else known

    def diverged_share(self, shot: int) -> float:
        """Share of diverged episodes: after a shot with mean actions, or of all that were scored if that is larger."""
        scored = np.concatenate([scores.spoilt for _, scores in self._kinds()])
        return max(float(self.mean_action.spoilt[shot].mean()), float(scored.mean()))

    def warnings(self) -> list[str]:
        """Sentences about what diverged; none if nothing did."""
        steps = self.mean_action.diverged + self.exploring.diverged
        kinds = (("with mean actions", self.mean_action), ("exploring", self.exploring), ("of random", self.random))
        counts = [(kind, int(scores.spoilt.sum()), scores.spoilt.size) for kind, scores in kinds]
        episodes = [f"{count} of {all_} {kind}" for kind, count, all_ in counts if count]
        told = [f"{steps} simulation {'step' if steps == 1 else 'steps'} diverged."] if steps else []
        if episodes:
            rule = "each is scored as the worst return of random actions on its task, and is no success"
            told.append(f"Diverged episodes, {', '.join(episodes)}: {rule}.")
        shares = [self.diverged_share(shot) for shot in range(len(self.episodes_seen))]
        if self._known() is not None and max(shares) > MAX_DIVERGED:
            told.append(f"No gap is reported where more than {MAX_DIVERGED:.0%} of the episodes diverged.")
        return told

    def interval(self, scores: Scores, shot: int) -> dict[str, float | None]:
        """Interquartile mean of the returns after a shot, and its interval; None for no interval, as JSON needs."""
        found = interquartile_mean(self._strata(scores.returns[shot]))
        return dict(zip(("interquartile_mean", "low", "high"), map(_told, found), strict=True))

    def by_name(self) -> list[dict[str, Any]]:
        """A row per task with several goals: their number, and the means over them after each shot."""
        rows = []
        for name in dict.fromkeys(self.names):
            where = self._goals_of(name)
            shots = [
                {kind: _means(scores, shot, where) for kind, scores in self._kinds()}
                for shot in range(len(self.episodes_seen))
            ]
            rows.append({"task": name, "goals": len(where), "shots": shots})
        return rows

    def save(self, folder: Path, card: str | None = None, tensors: str | None = None) -> list[Path]:
        """Writes `report.json` and `tasks.csv`, the latter with a row per task, shot and world; returns their paths.

        If tasks have several goals, also writes `goals.csv` and `names.csv`, with means over the episodes of each goal
        and over the goals of each task. A policy's manifest lists all of these files.

        Args:
            folder: Folder to write into.
            card: A policy's card with these results, written along with them.
            tensors: SHA-256 of the tensors of the policy that was measured.

        Raises:
            UserError: If the folder holds other tensors by now, or another process writes to it for too long.
        """
        folder.mkdir(parents=True, exist_ok=True)
        resampled = "goals" if self.names else "worlds"
        described = {
            "suite": self.suite,
            "suite_hash": self.suite_hash,
            "split": self.split,
            "protocol": self.protocol or None,
            "learner": self.learner,
            "policy": _without_root(self.policy),
            "seed": self.seed,
            "tasks": len(self.tasks),
            "worlds": self.exploring.returns.shape[2],
            "interval": f"{CONFIDENCE:.0%} stratified bootstrap over the {resampled} of each task",
            "random": self.interval(self.random, 0)
            | self.successes(self.random, 0)
            | {"diverged_episodes": int(self.random.spoilt.sum())},
            "diverged": self.mean_action.diverged + self.exploring.diverged,
            "diverged_episodes": sum(int(scores.spoilt.sum()) for _, scores in self._kinds()),
            "episodes": sum(scores.spoilt.size for _, scores in self._kinds()),
            "warnings": self.warnings(),
            "shots": self.summary(),
        }
        if self.names:
            described["by_name"] = self.by_name()
        described = json.loads(json.dumps(described), parse_constant=lambda _: None)  # JSON has no NaN
        texts = {"report.json": json.dumps(described, indent=2) + "\n", "tasks.csv": self._episodes_table()}
        if self.names:
            texts |= {"goals.csv": self._goals_table(), "names.csv": self._names_table()}
        sealed_folder.put(folder, texts | ({} if card is None else {"README.md": card}), tensors=tensors)
        return [folder / name for name in texts]

    def _kinds(self) -> tuple[tuple[str, Scores], ...]:
        return (("mean_action", self.mean_action), ("exploring", self.exploring))

    def _goals_of(self, name: str) -> list[int]:
        return [task for task, other in enumerate(self.names) if other == name]

    def _strata(self, values: Array) -> list[Array]:
        """Strata of the bootstrap: the worlds of each task, or the goals of a task with several. `[task, world]`."""
        if not self.names:
            return list(values)
        each = values.mean(axis=1)
        return [each[self._goals_of(name)] for name in dict.fromkeys(self.names)]

    def successes(self, scores: Scores, shot: int) -> dict[str, float | None]:
        """Share of episodes that succeeded at any step, its interval, and the share at the last step."""
        keys = ("success", "success_low", "success_high", "success_at_end")
        if not self.has_success:
            return dict.fromkeys(keys)
        found = mean(self._strata(scores.success[shot]))
        return dict(zip(keys, map(_told, (*found, float(scores.success_at_end[shot].mean()))), strict=True))

    def _episodes_table(self) -> str:
        """A row per task, shot and world, as comma-separated values."""
        rows = []
        for name, scores in self._kinds():
            for place in np.ndindex(scores.returns.shape):
                shot, task, world = place
                won = (int(scores.success[place]), int(scores.success_at_end[place])) if self.has_success else ("", "")
                measured = (scores.returns[place], *won, int(scores.spoilt[place]))
                rows.append((name.replace("_", " "), shot, task, self.tasks[task], world, *measured))
        return _lines("acting,shot,task,parameters,world,return,success,success_at_end,diverged", rows)

    def _goals_table(self) -> str:
        """A row per shot and goal: means over its episodes."""
        goal = [self._goals_of(name).index(task) for task, name in enumerate(self.names)]
        rows = [
            (kind.replace("_", " "), shot, name, goal[task], *_means(scores, shot, [task]).values())
            for kind, scores in self._kinds()
            for shot in range(len(scores.returns))
            for task, name in enumerate(self.names)
        ]
        return _lines("acting,shot,name,goal,return,success,success_at_end", rows)

    def _names_table(self) -> str:
        """A row per shot and task: means over its goals."""
        rows = [
            (kind.replace("_", " "), shot, row["task"], row["goals"], *found[kind].values())
            for row in self.by_name()
            for shot, found in enumerate(row["shots"])
            for kind in found
        ]
        return _lines("acting,shot,name,goals,return,success,success_at_end", rows)


def _means(scores: Scores, shot: int, tasks: list[int]) -> dict[str, float]:
    return {
        "return": float(scores.returns[shot, tasks].mean()),
        "success": float(scores.success[shot, tasks].mean()),
        "success_at_end": float(scores.success_at_end[shot, tasks].mean()),
    }


def _lines(header: str, rows: Sequence[Sequence[Any]]) -> str:
    """Comma-separated values."""
    table = io.StringIO(newline="")
    csv.writer(table).writerows((header.split(","), *rows))
    return table.getvalue()


def _without_root(policy: str) -> str:
    """A policy's path as others may see it: the last two parts of an absolute one."""
    return "/".join(Path(policy).parts[-2:]) if Path(policy).is_absolute() else policy


def _told(value: float) -> float | None:
    return None if math.isnan(value) else value
