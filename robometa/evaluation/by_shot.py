"""A trial whose every shot is scored, and the episodes that an adaptation has seen."""

from __future__ import annotations

from typing import Any

import numpy as np

from robometa.data import Rollout
from robometa.learners.protocol import Learner
from robometa.noise import Noise
from robometa.reports.scores import Scores, scores_of
from robometa.reports.statistics import Array
from robometa.sim.engine import Engine
from robometa.suites.suite import Task
from robometa.trials.trial import collect


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
    return scores_of(quiet), scores_of(exploring)


def episodes_seen(episodes: Array, pooled: bool) -> tuple[float, ...]:
    """Episodes that an adaptation has seen at each shot, mean over tasks, and over worlds that are trials of their own.

    Args:
        episodes: Episodes of each rollout. `[shot, task, world]`
        pooled: An adaptation learns from all worlds of its task.
    """
    each = episodes.sum(axis=2).mean(axis=1) if pooled else episodes.mean(axis=(1, 2))  # [shot]
    return tuple(float(seen) for seen in (0.0, *np.cumsum(each)[:-1]))
