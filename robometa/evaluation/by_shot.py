"""Few-shot evaluation by shot: a trial with a score for every shot."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from robometa.data import Rollout, Spaces
from robometa.evaluation.readaptation import since_change_of
from robometa.learners.protocol import Learner
from robometa.learners.random import Config as RandomConfig
from robometa.learners.random import Random
from robometa.noise import Noise
from robometa.reports.scores import Scores, scores_of
from robometa.reports.statistics import Array
from robometa.sim.engine import Engine, TrialPlace
from robometa.suites.task import Task
from robometa.trials.trial import collect, trial_loop


def score(
    engine: Engine,
    learner: Learner,
    tasks: tuple[Task, ...],
    shots: int,
    noise: Noise,
    advance: Callable[[], None] = lambda: None,
    *,
    control: bool = False,
) -> tuple[Scores, ...]:
    """Scores every shot of a trial, acting without noise and exploring, and a control if asked.

    Both start from the same adaptation. Only the exploring rollout is adapted to. The control begins every rollout as
    the trial began, with nothing adapted to, in the resets of the rollout without noise.

    Args:
        engine: Steps the worlds.
        learner: Acts and adapts; it is not changed.
        tasks: The tasks to adapt to.
        shots: Adaptations; one more shot than these is scored.
        noise: Source of all random numbers.
        advance: Called after each rollout, for a progress bar.
        control: Score the control too.

    Returns:
        The scores without noise, those exploring, and the control's. `[shot, task, world]`
    """
    engine.assign(tasks)
    quiet: list[Rollout] = []
    exploring: list[Rollout] = []
    forgetful: list[Rollout] = []
    places: list[TrialPlace] = []
    for shot in trial_loop(learner, noise, shots):
        source = noise.fork("quiet", shot.number)
        rollout, _ = collect(
            engine, learner, shot.adaptation, source, explore=False, previous=shot.previous, place=shot.place
        )
        quiet.append(rollout)
        places.append(shot.place)
        advance()
        if control and not shot.number:
            forgetful.append(rollout)  # nothing is adapted to yet
        elif control:
            begun = learner.begin(noise.tasks, noise.worlds, noise.fork("control", shot.number))
            forgetful.append(collect(engine, learner, begun, source, explore=False, place=shot.place)[0])
            advance()
        rollout, adaptation = collect(
            engine, learner, shot.adaptation, shot.noise, previous=shot.previous, place=shot.place
        )
        shot.complete(rollout, adaptation)
        exploring.append(rollout)
        advance()
    scores = replace(scores_of(quiet), since_change=since_change_of(tasks, quiet, places)), scores_of(exploring)
    return (*scores, scores_of(forgetful)) if control else scores


def score_beside_chance(
    engine: Engine,
    learner: Learner,
    tasks: tuple[Task, ...],
    shots: int,
    noise: Noise,
    advance: Callable[[], None],
    control: bool,
) -> tuple[Scores, ...]:
    """Scores a learner by `score`, and random actions in one rollout."""
    scores = score(engine, learner, tasks, shots, noise, advance, control=control)
    _, chance = score(engine, random_actions(noise.seed), tasks, 0, noise, advance)
    return (*scores, chance)


def random_actions(seed: int) -> Random:
    """Makes a learner of random actions for an engine."""
    return Random(RandomConfig(), Spaces(1, 1), seed)


def episodes_seen(episodes: Array, pooled: bool) -> tuple[float, ...]:
    """Counts the episodes that an adaptation has learned from at each shot.

    Args:
        episodes: Episodes of each rollout. `[shot, task, world]`
        pooled: An adaptation learns from all worlds of its task.

    Returns:
        The mean over tasks and, unless pooled, over worlds. `[shot]`
    """
    each = episodes.sum(axis=2).mean(axis=1) if pooled else episodes.mean(axis=(1, 2))  # [shot]
    return tuple(float(seen) for seen in (0.0, *np.cumsum(each)[:-1]))
