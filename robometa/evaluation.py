"""Few-shot evaluation on held-out tasks: as many episodes for every task, before adaptation and after each shot."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from robometa import card, checkpoint, learners, sealed
from robometa.data import Rollout
from robometa.errors import UserError
from robometa.learners.protocol import Learner
from robometa.learners.random import Config as RandomConfig
from robometa.learners.random import Random
from robometa.noise import Noise
from robometa.report import Array, Report, Scores
from robometa.screen import progress
from robometa.sim.objectives import OBJECTIVES
from robometa.sim.protocol import Engine
from robometa.suites import Suite, Task
from robometa.trial import collect

WORLDS_AT_ONCE = 1000
"""Worlds that are stepped together; tasks are cut into the same pieces on every machine."""


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
    sealed.put(policy, {"README.md": text})


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
