"""Few-shot evaluation on held-out tasks: as many episodes for every task, before adaptation and after each shot."""

from __future__ import annotations

import csv
import json
import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from robometa import card, checkpoint, learners, reference
from robometa.data import Rollout
from robometa.errors import UserError
from robometa.learners.protocol import Learner
from robometa.learners.random import Config as RandomConfig
from robometa.learners.random import Random
from robometa.noise import Noise
from robometa.screen import progress
from robometa.sim.objectives import OBJECTIVES
from robometa.sim.protocol import Engine
from robometa.suites import Suite, Task
from robometa.trial import collect

WORLDS_AT_ONCE = 1000
"""Worlds that are stepped together; tasks are cut into the same pieces on every machine."""
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

        On held-out tasks of a suite whose oracle was measured, also the gap closed: how far the mean actions are from
        not adapting, 0, to the oracle, 1.
        """
        known = reference.find(self.suite_hash) if self.split == "test" else None
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
        """Writes `report.json` and `tasks.csv`, the latter with a row per task, shot and world."""
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
        aside = folder / ".report.json.writing"
        aside.write_text(json.dumps(described, indent=2) + "\n", encoding="utf-8")
        aside.rename(folder / "report.json")
        with (folder / "tasks.csv").open("w", newline="", encoding="utf-8") as file:
            writer = csv.writer(file)
            writer.writerow(("acting", "shot", "task", "parameters", "world", "return", "success"))
            for name, scores in (("mean action", self.mean_action), ("exploring", self.exploring)):
                for place in np.ndindex(scores.returns.shape):
                    shot, task, world = place
                    success = int(scores.success[place]) if self.has_success else ""
                    writer.writerow((name, shot, task, self.tasks[task], world, scores.returns[place], success))


def evaluate(
    policy: str | Path,
    *,
    suite: Suite | None = None,
    split: str = "test",
    shots: int = 2,
    worlds: int | None = None,
    seed: int = 0,
    threads: int | None = None,
    learner: str | None = None,
    tasks: int | None = None,
) -> Report:
    """Measures how a trained policy adapts to the held-out tasks of a suite.

    Args:
        policy: Its folder.
        suite: Another suite than the one it was trained on, with the same observation and action.
        split: `test` for held-out tasks, `train` for those it was trained on.
        shots: Adaptations.
        worlds: Episodes of each task at each shot; 20 if None. Where an adaptation pools worlds this is also how many
            it learns from, and None stands for as many as in training.
        seed: Of resets and exploration.
        threads: Threads that step the simulation.
        learner: `FILE.py:CLASS`, for a policy whose learner is one of your own.
        tasks: Only so many of the split's tasks, from the first; all if None.
    Raises: UserError: If the policy, its sizes or a number asked for is wrong.
    """
    trained, suite, manifest = checkpoint.load_policy(Path(policy), suite, learner=learner)
    return measure(
        trained,
        suite,
        split=split,
        shots=shots,
        worlds=worlds,
        seed=seed,
        threads=threads,
        name=learners.label(manifest["learner"]),
        policy=str(policy),
        tasks=tasks,
    )


def measure(
    learner: Learner,
    suite: Suite,
    *,
    split: str = "test",
    shots: int = 2,
    worlds: int | None = None,
    seed: int = 0,
    threads: int | None = None,
    name: str = "",
    policy: str = "",
    tasks: int | None = None,
    for_tasks: Callable[[tuple[Task, ...]], Learner] | None = None,
) -> Report:
    """The same for a learner in memory, which is not changed; `for_tasks` may give tasks a learner of their own."""
    if shots < 0 or shots > 1000:
        raise UserError(f"shots must be from 0 to 1000, not {shots}")
    if worlds is None:
        worlds = int(learner.config.worlds) if learner.pools_worlds else 20
    if not 1 <= worlds <= 100_000:
        raise UserError(f"worlds must be from 1 to 100000, not {worlds}")
    chosen = suite.tasks(split)
    if tasks is not None and not 1 <= tasks <= len(chosen):
        raise UserError(f"tasks must be from 1 to {len(chosen)}, not {tasks}")
    chosen = chosen[:tasks]
    piece = max(1, WORLDS_AT_ONCE // worlds)
    pieces = [chosen[start : start + piece] for start in range(0, len(chosen), piece)]
    nothing = Random(RandomConfig(), checkpoint.spaces_of(suite), seed)
    parts = []
    with progress() as bar:
        shown = bar.add_task("evaluating", total=len(pieces) * (2 * shots + 3))
        for index, some in enumerate(pieces):
            engine = checkpoint.engine_for(learner, suite, len(some), worlds, threads)
            noise = Noise(seed, ("evaluate", split, index), len(some), worlds)
            advance = lambda: bar.advance(shown)  # noqa: E731
            parts.append(
                (
                    *score(engine, for_tasks(some) if for_tasks else learner, some, shots, noise, advance),
                    score(engine, nothing, some, 0, noise, advance)[1],
                )
            )
    mean_action, exploring, chance = (_joined(scores) for scores in zip(*parts, strict=True))
    each = worlds if learner.pools_worlds else 1
    return Report(
        suite=suite.name,
        suite_hash=suite.content_hash,
        split=split,
        learner=name,
        policy=policy,
        seed=seed,
        tasks=tuple(task.describe() for task in chosen),
        episodes_seen=episodes_seen(exploring.episodes, learner.pools_worlds),
        steps_seen=tuple(shot * each * suite.horizon for shot in range(shots + 1)),
        mean_action=mean_action,
        exploring=exploring,
        random=chance,
        has_success=OBJECTIVES[suite.objective].has_success,
    )


def write_card(policy: Path, report: Report, learner: str | None = None) -> None:
    """Writes a policy's card anew, with what was measured."""
    trained, suite, manifest = checkpoint.load_policy(policy, learner=learner)
    text = card.text(manifest["learner"], trained, suite, manifest["training"], report)
    aside = policy / ".README.md.writing"
    aside.write_text(text, encoding="utf-8")
    aside.rename(policy / "README.md")


def score(
    engine: Engine, learner: Learner, tasks: tuple[Task, ...], shots: int, noise: Noise, advance: Any = lambda: None
) -> tuple[Scores, Scores]:
    """A trial whose every shot is scored, acting without noise and exploring.

    The episodes without noise are rolled out from the same adaptation and not learned from.
    """
    engine.assign(tasks)
    adaptation = learner.begin(engine.tasks, engine.worlds, noise.fork("begin"))
    quiet: list[Rollout] = []
    exploring: list[Rollout] = []
    for shot in range(shots + 1):
        previous = exploring[-1] if exploring else None
        rollout, _ = collect(engine, learner, adaptation, noise.fork("quiet", shot), explore=False, previous=previous)
        quiet.append(rollout)
        advance()
        rollout, adaptation = collect(engine, learner, adaptation, noise.fork("rollout", shot), previous=previous)
        exploring.append(rollout)
        advance()
        if shot < shots:
            adaptation = learner.adapt(adaptation, rollout, noise.fork("adapt", shot))
    return _scores(quiet), _scores(exploring)


def episodes_seen(episodes: Array, pooled: bool) -> tuple[float, ...]:
    """Episodes that an adaptation has seen at each shot, mean over tasks, and over worlds that are trials of their own.

    Args:
        episodes: Episodes of each rollout. `[shot, task, world]`
        pooled: An adaptation learns from all worlds of its task.
    """
    each = episodes.sum(axis=2).mean(axis=1) if pooled else episodes.mean(axis=(1, 2))  # [shot]
    return tuple(float(seen) for seen in (0.0, *np.cumsum(each)[:-1]))


def interquartile_mean(values: Array) -> tuple[float, float, float]:
    """Interquartile mean over all entries, and its stratified bootstrap interval: worlds resampled within each task.

    Args:
        values: `[task, world]`
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
        method="percentile",
        rng=np.random.default_rng(0),
    )
    return float(middle(*values)), float(found.confidence_interval.low), float(found.confidence_interval.high)


def _scores(rollouts: list[Rollout]) -> Scores:
    return Scores(
        returns=np.stack([rollout.episode_return().double().cpu().numpy() for rollout in rollouts]),
        success=np.stack([rollout.episode_success().double().cpu().numpy() for rollout in rollouts]),
        episodes=np.stack([rollout.done.sum(dim=-1).double().cpu().numpy() for rollout in rollouts]),
        diverged=sum(int(rollout.diverged.sum()) for rollout in rollouts),
    )


def _joined(parts: tuple[Scores, ...]) -> Scores:
    return Scores(
        returns=np.concatenate([part.returns for part in parts], axis=1),
        success=np.concatenate([part.success for part in parts], axis=1),
        episodes=np.concatenate([part.episodes for part in parts], axis=1),
        diverged=sum(part.diverged for part in parts),
    )
