"""Report of an evaluation: returns of every shot, task and world, their summary, and its files."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from robometa.escape import counted, printable
from robometa.reports import csv_tables, reference_returns
from robometa.reports.gap import KEYS, Reference, Sample, obstacle_for
from robometa.reports.scores import Scores, or_none, pace_of, quarters_of
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
    """Hidden parameters of each task, in words and with all numbers. `[task]`"""
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
    adapts_within_episode: bool = False
    """The learner adapts within an episode: its first episode is not before adaptation."""
    control: Scores | None = None
    """Scores of acting without noise from the beginning of the trial, with nothing adapted to; None if not measured."""
    measured_reference: Reference | None = None
    """Reference that was measured beside it; that of the suite if None."""

    def __repr__(self) -> str:
        """Learner, suite and sizes."""
        worlds = self.exploring.returns.shape[2]
        sizes = f"{counted(len(self.tasks), 'task')}, {counted(worlds, 'episode')} each"
        shots = f"shots: {len(self.episodes_seen) - 1}"
        return f"<report of {printable(self.learner)} on {printable(self.suite)} ({self.split}): {shots}, {sizes}>"

    def _repr_html_(self) -> str:
        """Results for a notebook: a row per shot."""
        from robometa.reports.notebook import html_of

        return html_of(self)

    def to_frame(self) -> pandas.DataFrame:
        """A pandas table with a row per episode: the columns of `tasks.csv`, and those that distinguish reports.

        Raises:
            UserError: If pandas is not installed.
        """
        from robometa.reports.notebook import frame_of

        return frame_of(self, csv_tables.episodes(self))

    def summary(self) -> list[dict[str, Any]]:
        """A row per shot: episodes and steps seen, interquartile means and means with their intervals, success.

        On all held-out tasks of a suite with a reference, also the gap closed by the mean actions, between no
        adaptation, 0, and the oracle, 1; None where it is not reported, which `gap_obstacle` explains.
        """
        known = self.reference()
        rows: list[dict[str, Any]] = []
        for shot, (episodes, steps) in enumerate(zip(self.episodes_seen, self.steps_seen, strict=True)):
            row: dict[str, Any] = {"shot": shot, "label": self.label(shot)}
            row |= {"episodes_seen": episodes, "steps_seen": steps}
            for name, scores in (("mean_action", self.mean_action), ("exploring", self.exploring)):
                row[name] = self.measures(scores, shot)
            if self.control is not None:
                row |= {"control": self.measures(self.control, shot), "after_minus_control": self.gain(shot)}
            if known is not None:
                is_reported = self.gap_obstacle() is None and self.diverged_share(shot) <= MAX_DIVERGED
                row |= known.gap_closed(self.sample(shot)) if is_reported else dict.fromkeys(KEYS)
            rows.append(row)
        return rows

    def gain(self, shot: int) -> dict[str, float | None] | None:
        """Mean return with mean actions after a shot minus the control's, in the same resets; None without one."""
        if self.control is None or not shot:
            return None
        triple = mean(self._strata(self.mean_action.returns[shot] - self.control.returns[shot]))
        return dict(zip(("mean", "low", "high"), map(or_none, triple), strict=True))

    def label(self, shot: int) -> str:
        """Name of a shot in a table: shot 0 is "before", unless the learner adapts within an episode."""
        return str(shot) if shot else "first episode" if self.adapts_within_episode else "before"

    def sample(self, shot: int) -> Sample:
        """Returns of the mean actions after a shot, to be resampled."""
        return Sample(self._strata(self.mean_action.returns[shot]))

    def reference(self) -> Reference | None:
        """The reference to compare with, if all of its held-out tasks were measured."""
        known = self.measured_reference
        if known is None and self.split == "test":
            known = reference_returns.find(self.suite_hash)
        return None if known is not None and known.tasks != len(self.tasks) else known

    def gap_obstacle(self) -> str | None:
        """Reason why no gap is reported although there is a reference; None if it is reported."""
        known = self.reference()
        return None if known is None else obstacle_for(self.learner, known, float(self.random.returns.mean()))

    def diverged_share(self, shot: int) -> float:
        """Share of diverged episodes: after a shot with mean actions, or of all that were scored if that is larger."""
        scored = np.concatenate([scores.spoilt for _, scores in self.kinds()])
        return max(float(self.mean_action.spoilt[shot].mean()), float(scored.mean()))

    def warnings(self) -> list[str]:
        """Sentences about what diverged, and about a gap that is not reported."""
        steps = self.mean_action.diverged + self.exploring.diverged
        kinds = (("with mean actions", self.mean_action), ("exploring", self.exploring), ("of random", self.random))
        counts = [(kind, int(scores.spoilt.sum()), scores.spoilt.size) for kind, scores in kinds]
        episodes = [f"{count} of {all_} {kind}" for kind, count, all_ in counts if count]
        sentences = [f"{counted(steps, 'simulation step')} diverged."] if steps else []
        if episodes:
            rule = "each is scored as the worst return of random actions on its task, and is no success"
            sentences.append(f"Diverged episodes, {', '.join(episodes)}: {rule}.")
        shares = [self.diverged_share(shot) for shot in range(len(self.episodes_seen))]
        obstacle = self.gap_obstacle()
        if obstacle is not None:
            sentences.append(f"No gap is reported: {obstacle}.")
        elif self.reference() is not None and max(shares) > MAX_DIVERGED:
            sentences.append(f"No gap is reported where more than {MAX_DIVERGED:.0%} of the episodes diverged.")
        return sentences

    def interval(self, scores: Scores, shot: int) -> dict[str, float | None]:
        """Interquartile mean of the returns after a shot, and its interval; None for no interval, as JSON needs."""
        triple = interquartile_mean(self._strata(scores.returns[shot]))
        return dict(zip(("interquartile_mean", "low", "high"), map(or_none, triple), strict=True))

    def measures(self, scores: Scores, shot: int) -> dict[str, Any]:
        """All numbers of a shot: returns, successes, diverged episodes and, of the first episode, its course."""
        returns = scores.returns[shot]
        spread = mean(self._strata(returns))
        row: dict[str, Any] = self.interval(scores, shot)
        row |= dict(zip(("mean", "mean_low", "mean_high"), map(or_none, spread), strict=True))
        row |= self.successes(scores, shot) | {"diverged_episodes": int(scores.spoilt[shot].sum())}
        row |= self._course(scores, shot)
        if shot == 0 and self.adapts_within_episode and scores.quarters is not None:
            row |= dict(zip(("first_quarter", "last_quarter"), quarters_of(scores.quarters[0]), strict=True))
        if shot == 0 and self.adapts_within_episode and scores.pace is not None:
            row |= {"pace": pace_of(scores.pace[0]), "steps": scores.steps}
        return row

    def _course(self, scores: Scores, shot: int) -> dict[str, float | None]:
        """Share of episodes that lasted to the time limit, and of steps at the target, each with its interval."""
        shares = (("lasted", scores.lasted), ("on_target", scores.on_target if self.has_success else None))
        return self._shares([(key, values[shot]) for key, values in shares if values is not None])

    def pace(self) -> tuple[list[float], list[float | None]] | None:
        """Middle step and mean reward of each stretch of the first episode, with mean actions; None if not measured."""
        stretches = self.mean_action.pace
        if stretches is None:
            return None
        rewards = pace_of(stretches[0])
        long = self.mean_action.steps / len(rewards)
        return [long * (place + 0.5) for place in range(len(rewards))], rewards

    def since_change(self) -> dict[str, Any] | None:
        """Rewards around the changes of tasks, and the time to recover; None if tasks do not change."""
        measured, chance = self.mean_action.since_change, self.random.mean_pace()
        if measured is None or chance is None or not measured.changes:
            return None
        known = self.reference()
        return measured.described(chance, None if known is None else known.oracle_pace)

    def by_name(self) -> list[dict[str, Any]]:
        """A row per task with several goals: their number, and the means over them after each shot."""
        rows = []
        for name in dict.fromkeys(self.names):
            where = self.goals_of(name)
            shots = [
                {kind: csv_tables.means(scores, shot, where) for kind, scores in self.kinds()}
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
        described = self.described()
        texts = {"report.json": json.dumps(described, indent=2) + "\n", "tasks.csv": csv_tables.episodes(self)}
        if self.names:
            texts |= {"goals.csv": csv_tables.goals(self), "names.csv": csv_tables.names(self)}
        sealed_folder.put(folder, texts | ({} if card is None else {"README.md": card}), tensors=tensors)
        return [folder / name for name in texts]

    def described(self) -> dict[str, Any]:
        """Content of `report.json`."""
        resampled, known = "goals" if self.names else "worlds", self.reference()
        described: dict[str, Any] = {
            "suite": self.suite,
            "suite_hash": self.suite_hash,
            "split": self.split,
            "protocol": self.protocol or None,
            "learner": self.learner,
            "adapts_within_episode": self.adapts_within_episode,
            "policy": without_root(self.policy),
            "seed": self.seed,
            "tasks": len(self.tasks),
            "has_success": self.has_success,
            "worlds": self.exploring.returns.shape[2],
            "interval": f"{CONFIDENCE:.0%} stratified bootstrap over the {resampled} of each task",
            "random": self.measures(self.random, 0),
            "references": None if known is None else known.described(self.gap_obstacle()),
            "diverged": self.mean_action.diverged + self.exploring.diverged,
            "diverged_episodes": sum(int(scores.spoilt.sum()) for _, scores in self.kinds()),
            "episodes": sum(scores.spoilt.size for _, scores in self.kinds()),
            "warnings": self.warnings(),
            "shots": self.summary(),
        }
        if (change := self.since_change()) is not None:
            described["since_change"] = change
        if self.names:
            described["by_name"] = self.by_name()
        plain: dict[str, Any] = json.loads(json.dumps(described), parse_constant=lambda _: None)  # JSON has no NaN
        return plain

    def kinds(self) -> tuple[tuple[str, Scores], ...]:
        """Scores by the way of acting."""
        kinds = (("mean_action", self.mean_action), ("exploring", self.exploring))
        return kinds if self.control is None else (*kinds, ("control", self.control))

    def goals_of(self, name: str) -> list[int]:
        """Numbers of the tasks that are goals of a named task."""
        return [task for task, other in enumerate(self.names) if other == name]

    def _strata(self, values: Array) -> list[Array]:
        """Strata of the bootstrap: the worlds of each task, or the goals of a task with several. `[task, world]`."""
        if not self.names:
            return list(values)
        each = values.mean(axis=1)
        return [each[self.goals_of(name)] for name in dict.fromkeys(self.names)]

    def successes(self, scores: Scores, shot: int) -> dict[str, float | None]:
        """Share of episodes that succeeded by their end, and at any step, each with its interval."""
        shares = (("success", scores.success[shot]), ("success_any_step", scores.success_any_step[shot]))
        return self._shares(
            [(key, values if self.has_success else np.full_like(values, np.nan)) for key, values in shares]
        )

    def _shares(self, shares: list[tuple[str, Array]]) -> dict[str, float | None]:
        """Means and intervals of shares of episodes, by name; None where they are not numbers. `[task, world]` each."""
        row: dict[str, float | None] = {}
        for key, values in shares:
            triple = mean(self._strata(values.astype(float)))
            row |= dict(zip((key, f"{key}_low", f"{key}_high"), map(or_none, triple), strict=True))
        return row


def without_root(policy: str) -> str:
    """A policy's path as others may see it: the last two parts of an absolute one."""
    return "/".join(Path(policy).parts[-2:]) if Path(policy).is_absolute() else policy
