"""Few-shot evaluation by a protocol: a fixed number of episodes to adapt, then a fixed number that are scored."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing
from dataclasses import replace

from robometa.data import Rollout
from robometa.evaluation.protocols import Protocol
from robometa.learners.protocol import Adaptation, Learner
from robometa.noise import Noise
from robometa.reports.scores import Scores, joined, scores_of
from robometa.sim.engine import Engine
from robometa.suites.suite import Task
from robometa.trials.trial import collect

Make = Callable[[int], Engine]
"""From a number of worlds to an engine for the tasks."""


def follow(
    protocol: Protocol,
    learner: Learner,
    make: Make,
    tasks: tuple[Task, ...],
    noise: Noise,
    advance: Callable[[], None] = lambda: None,
) -> tuple[Scores, Scores]:
    """Scores acting without noise and exploring, each before the adaptation and after it. `[2, task, episode]`

    A learner that adapts to each world by itself sees the episodes of the adaptation one after the other; one that
    pools the worlds of a task sees them side by side. Every scored episode goes out from the same adaptation, and
    nothing is learned from it.
    """
    before = after = learner.begin(len(tasks), noise.worlds, noise.fork("begin"))
    previous: Rollout | None = None
    diverged = 0
    with closing(make(noise.worlds)) as engine:
        engine.assign(tasks)
        for shot in range(protocol.adaptation // engine.worlds):
            previous, after = collect(engine, learner, after, noise.fork("rollout", shot), previous=previous)
            after = learner.adapt(after, previous, noise.fork("adapt", shot))
            diverged += int(previous.diverged.sum())
            advance()
    count = protocol.evaluation if learner.pools_worlds else 1
    with closing(make(count)) as engine:
        engine.assign(tasks)
        found = {}
        for explore in (False, True):
            shots = [
                episodes(engine, learner, adaptation, protocol.evaluation, source, seen, explore, advance)
                for source, adaptation, seen in (
                    (noise.fork("before"), before, None),
                    (noise.fork("after"), after, previous),
                )
            ]
            found[explore] = joined(shots, axis=0)
    return found[False], replace(found[True], diverged=found[True].diverged + diverged)


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
    """The scores of so many episodes of each task, all from the same adaptation. `[1, task, episode]`"""
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


def rollouts(protocol: Protocol, learner: Learner) -> int:
    """How many rollouts a piece takes, random actions included, for a progress bar."""
    scored = 1 if learner.pools_worlds else protocol.evaluation
    return protocol.adaptation // worlds(protocol, learner) + 4 * scored + protocol.evaluation


def worlds(protocol: Protocol, learner: Learner) -> int:
    """Worlds of each task while it is adapted to."""
    return protocol.adaptation if learner.pools_worlds else 1
