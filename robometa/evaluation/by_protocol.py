"""Few-shot evaluation by a protocol: a fixed number of episodes to adapt, then a fixed number that are scored."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from functools import partial

from robometa.data import Rollout
from robometa.evaluation.by_shot import random_actions
from robometa.evaluation.protocols import Protocol
from robometa.learners.protocol import Adaptation, Learner
from robometa.noise import Noise
from robometa.reports.scores import Scores, joined, scores_of
from robometa.sim.engine import Engine
from robometa.suites.task import Task
from robometa.trials.trial import collect, trial_loop

Make = Callable[[int], Engine]
"""Makes an engine for the tasks, with a number of worlds of each."""


def follow(
    protocol: Protocol,
    learner: Learner,
    make: Make,
    tasks: tuple[Task, ...],
    noise: Noise,
    advance: Callable[[], None] = lambda: None,
    *,
    control: bool = False,
) -> tuple[Scores, ...]:
    """Scores a learner before and after the protocol's adaptation, acting without noise and exploring.

    A learner that adapts to each world by itself has one world, and sees the episodes of the adaptation one after the
    other; one that pools the worlds of a task sees them side by side. Every scored episode starts from the same
    adaptation, and none is adapted to. The control begins the last episodes as the trial began, in their resets.

    Args:
        protocol: Fixes the numbers of episodes.
        learner: Acts and adapts; it is not changed.
        make: Makes an engine for a number of worlds.
        tasks: The tasks to adapt to.
        noise: Source of all random numbers, for the worlds of the adaptation.
        advance: Called after each rollout, for a progress bar.
        control: Score the control too.

    Returns:
        The scores without noise, those exploring, and the control's. `[2, task, episode]`
    """
    adaptations = protocol.adaptation // noise.worlds
    diverged = 0
    with closing(make(noise.worlds)) as engine:
        engine.assign(tasks)
        for shot in trial_loop(learner, noise, adaptations):
            if shot.number == 0:
                before = shot.adaptation
            if shot.number < adaptations:
                rollout, adaptation = collect(
                    engine, learner, shot.adaptation, shot.noise, previous=shot.previous, place=shot.place
                )
                shot.complete(rollout, adaptation)
                diverged += int(rollout.diverged.sum())
                advance()
    starts = ((noise.fork("before"), before, None), (noise.fork("after"), shot.adaptation, shot.previous))
    with closing(make(protocol.evaluation if learner.pools_worlds else 1)) as engine:
        engine.assign(tasks)
        of = partial(episodes, engine, learner, count=protocol.evaluation, advance=advance)
        (first, last), exploring = (
            [
                of(adaptation, noise=source, previous=previous, explore=explore)
                for source, adaptation, previous in starts
            ]
            for explore in (False, True)
        )
        scores = [joined((first, last), axis=0), joined(exploring, axis=0)]
        if control:
            begun = learner.begin(noise.tasks, noise.worlds, noise.fork("control"))
            scores.append(joined((first, of(begun, noise=noise.fork("after"), explore=False)), axis=0))
    scores[1] = replace(scores[1], diverged=scores[1].diverged + diverged)
    return tuple(scores)


def follow_beside_chance(
    protocol: Protocol,
    learner: Learner,
    make: Make,
    tasks: tuple[Task, ...],
    noise: Noise,
    advance: Callable[[], None],
    control: bool,
) -> tuple[Scores, ...]:
    """Scores a learner by `follow`, and random actions in as many episodes."""
    scores = follow(protocol, learner, make, tasks, noise, advance, control=control)
    with closing(make(1)) as engine:
        engine.assign(tasks)
        chance = episodes(
            engine, random_actions(noise.seed), None, protocol.evaluation, noise.fork("random"), advance=advance
        )
    return (*scores, chance)


def episodes(
    engine: Engine,
    learner: Learner,
    adaptation: Adaptation,
    count: int,
    noise: Noise,
    previous: Rollout | None = None,
    explore: bool = True,
    advance: Callable[[], None] = lambda: None,
) -> Scores:
    """Scores a number of episodes of each task, all from the same adaptation.

    Args:
        engine: Steps the worlds; its tasks are already assigned.
        learner: Acts.
        adaptation: The adaptation that every episode starts from.
        count: Episodes of each task, a multiple of the engine's worlds.
        noise: Source of all random numbers, for as many tasks.
        previous: The rollout before; the learner still sees its last step.
        explore: Act with noise; without, take the mean action.
        advance: Called after each rollout, for a progress bar.

    Returns:
        The scores. `[1, task, episode]`
    """
    source = replace(noise, worlds=engine.worlds).fork("quiet" if not explore else "exploring")
    if previous is not None:
        previous = Rollout(**{name: tensor[:, : engine.worlds] for name, tensor in vars(previous).items()})
    parts = []
    for episode in range(count // engine.worlds):
        rollout, _ = collect(
            engine, learner, adaptation, source.fork("episode", episode), explore=explore, previous=previous
        )
        parts.append(scores_of([rollout]))
        advance()
    return joined(parts, axis=2)


def rollouts(protocol: Protocol, learner: Learner, control: bool) -> int:
    """Counts the rollouts of a batch of tasks, random actions included, for a progress bar."""
    scored = 1 if learner.pools_worlds else protocol.evaluation
    return protocol.adaptation // worlds(protocol, learner) + (4 + control) * scored + protocol.evaluation


def worlds(protocol: Protocol, learner: Learner) -> int:
    """Returns the worlds of each task during the adaptation."""
    return protocol.adaptation if learner.pools_worlds else 1
