"""Hidden parameters read from the adaptation by regressions, along trials of tasks that they were not fitted on."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass
from typing import cast

import numpy as np
import torch
from torch import Tensor
from torch.utils._pytree import tree_leaves

from robometa.compute.hardware import ALL_PROCESSORS, Hardware
from robometa.data import Step
from robometa.errors import UserError
from robometa.evaluation.evaluate import SIMULATIONS_AT_ONCE, WORLDS_AT_ONCE
from robometa.evaluation.readers import readable
from robometa.learners.protocol import Adaptation, Learner
from robometa.noise import Noise
from robometa.progress import progress
from robometa.reports.probed import Probed
from robometa.reports.statistics import Array
from robometa.sim.engine import Engine
from robometa.sim.oracle import HiddenNumbers
from robometa.suites.suite import Suite
from robometa.suites.task import Task
from robometa.trials import make
from robometa.trials.trial import collect, trial_loop

TASKS, WORLDS, SHOTS = 100, 4, 2
"""Default numbers of tasks, of trials of each, and of adaptations between rollouts."""
LEAST_TASKS, MAX_TASKS, MAX_WORLDS, MAX_SHOTS = 10, 10_000, 1000, 50
LOOKS = (1, 2, 5)
"""First digits of the steps of the first episode after which a memory is read."""
MAX_FEATURES, BUCKETS = 4096, 1024
"""Numbers of an adaptation beyond which they are summed up, with random signs, in so many buckets."""
PROBED_FROM = -2
"""Seed that tasks are drawn by for a probe of seed 0, and down from there: no run has a negative one, and -1 draws what
is scored during a training."""
ROWS_AT_ONCE = 16
"""Rows that are summed up together: a learned model has hundreds of thousands of parameters."""


def measure_probe(
    learner: Learner,
    suite: Suite,
    *,
    name: str,
    tasks: int = TASKS,
    worlds: int | None = None,
    shots: int = SHOTS,
    seed: int = 0,
    hardware: Hardware = ALL_PROCESSORS,
) -> Probed:
    """Reads the hidden parameters from a learner's adaptation, and from that of an untrained one.

    Args:
        learner: Acts, exploring as in training, and adapts; it is not changed.
        suite: Suite whose distributions the tasks are drawn from; the listed ones of a suite that has none.
        name: The learner's name in the result.
        tasks: Number of tasks.
        worlds: Trials of each task; the learner's own number where an adaptation pools them, else 4 if None.
        shots: Adaptations between rollouts.
        seed: Seed of tasks, resets and exploration, and of the untrained learner's weights.
        hardware: The engine and its threads.

    Raises:
        UserError: If the learner keeps nothing of a task, the suite hides no numbers, or a number is out of its range.
    """
    if learner.sees_parameters:
        raise UserError(f"{name} is shown what its task hides: there is nothing to find out")
    if suite.change is not None:
        raise UserError(f"a task of {suite.name} changes along a trial: there is no one number to read")
    worlds = worlds or (learner.config.worlds if learner.pools_worlds else WORLDS)
    ranges = (
        ("tasks", tasks, LEAST_TASKS, MAX_TASKS),
        ("worlds", worlds, 1, MAX_WORLDS),
        ("shots", shots, 0, MAX_SHOTS),
    )
    for label, value, low, high in ranges:
        if not low <= value <= high:
            raise UserError(f"{label} must be from {low} to {high}, not {value}")
    hidden = HiddenNumbers(suite)
    chosen = drawn_tasks(suite, tasks, seed)
    if not hidden.names:
        raise UserError(f"suite {suite.name} hides no number that differs from task to task")
    targets = torch.stack([hidden(task) for task in chosen]).double().numpy()
    trials = _Trials(suite, chosen, worlds, shots, seed, hardware)
    fresh = type(learner)(learner.config, make.spaces_of(suite, learner), seed, learner.device)
    rows = 1 if learner.pools_worlds else worlds
    # Tasks with the same hidden numbers are one task: no fold may be fitted on what another one reads.
    _, first, same = np.unique(targets, axis=0, return_index=True, return_inverse=True)
    same = np.unique(first[same.reshape(-1)], return_inverse=True)[1]  # by first appearance
    if (distinct := int(same.max()) + 1) < LEAST_TASKS:
        raise UserError(f"the tasks drawn from {suite.name} are {distinct} different ones; a probe needs {LEAST_TASKS}")
    numbers, groups = np.repeat(np.arange(len(chosen)), rows), np.repeat(same, rows)
    readings: list[dict[str, Array]] = []
    steps: tuple[int, ...] = ()
    with progress() as bar:
        for label, one in ((name, learner), ("untrained", fresh)):
            counter = bar.add_task(f"{label}: trials", total=trials.rollouts)
            seen = trials.features(one, lambda counter=counter: bar.advance(counter))  # type: ignore[misc]
            if not seen:
                raise UserError(f"{name} keeps nothing of a task: there is nothing to read")
            counter = bar.add_task(f"{label}: reading", total=len(seen))
            scores = []
            for features in seen.values():
                scores.append(readable(features, targets[numbers], groups))
                bar.advance(counter)
            readings.append({reader: np.stack([point[reader] for point in scores]) for reader in scores[0]})
            steps = tuple(seen)
    return Probed(
        suite=suite.name,
        suite_hash=suite.content_hash,
        learner=name,
        seed=seed,
        tasks=distinct,
        worlds=rows,
        names=hidden.names,
        steps=steps,
        trained=readings[0],
        untrained=readings[1],
    )


def drawn_tasks(suite: Suite, count: int, seed: int) -> tuple[Task, ...]:
    """Draws tasks from the suite's distributions; takes those that it lists, held-out ones first, if it has none.

    A run, or a dataset, may have drawn its training tasks by the same seed: these are others.
    """
    if suite.endless:
        return tuple(suite.drawn(PROBED_FROM - seed, index) for index in range(count))
    listed = tuple(dict.fromkeys((*suite.test, *suite.train)))
    if len(listed) < LEAST_TASKS:
        raise UserError(f"suite {suite.name} has {len(listed)} tasks, and a probe needs {LEAST_TASKS}")
    return listed[:count]


@dataclass(frozen=True)
class _Trials:
    """Trials that adaptations are read from."""

    suite: Suite
    tasks: tuple[Task, ...]
    worlds: int
    shots: int
    seed: int
    hardware: Hardware

    @property
    def pieces(self) -> list[tuple[Task, ...]]:
        """Tasks, cut so that no more worlds are stepped together than in an evaluation."""
        most = SIMULATIONS_AT_ONCE if self.suite.family.one_simulation_per_world else WORLDS_AT_ONCE
        size = max(1, most // self.worlds)
        return [self.tasks[start : start + size] for start in range(0, len(self.tasks), size)]

    @property
    def rollouts(self) -> int:
        """Rollouts of all pieces."""
        return len(self.pieces) * max(self.shots, 1)

    def features(self, learner: Learner, advance: Callable[[], None]) -> dict[int, Array]:
        """Adaptations along the trials, by the environment steps of the task seen. `[row, feature]` each."""
        parts: list[dict[int, Array]] = []
        for index, tasks in enumerate(self.pieces):
            noise = Noise(self.seed, ("probe", index), len(tasks), self.worlds)
            with closing(make.engine_for(learner, self.suite, len(tasks), self.worlds, self.hardware)) as engine:
                engine.assign(tasks)
                parts.append(self._along(engine, learner, noise, advance))
        return {step: np.concatenate([part[step] for part in parts]) for step in parts[0]}

    def _along(self, engine: Engine, learner: Learner, noise: Noise, advance: Callable[[], None]) -> dict[int, Array]:
        """Adaptations along the trials of a piece."""
        features_at: dict[int, Array] = {}
        each = self.worlds if learner.pools_worlds else 1
        for shot in trial_loop(learner, noise, max(self.shots, 1)):
            if not learner.adapts_within_episode:
                _keep(features_at, shot.number * engine.horizon * each, shot.adaptation, noise, learner.pools_worlds)
            if shot.number == max(self.shots, 1):
                break
            looks = looks_of(engine.horizon) if shot.number == 0 else (engine.horizon - 1,)
            watched = _Watched(learner, looks if learner.adapts_within_episode else ())
            rollout, after = collect(
                engine, cast(Learner, watched), shot.adaptation, shot.noise, previous=shot.previous, place=shot.place
            )
            for time, adaptation in watched.seen.items():
                _keep(features_at, shot.number * engine.horizon + time, adaptation, noise, learner.pools_worlds)
            shot.complete(rollout, after)
            advance()
        return features_at


def looks_of(horizon: int) -> tuple[int, ...]:
    """Steps of the first episode after which a memory is read: 0, 1, 2, 5, 10, 20, ... and the last."""
    chosen = {0, horizon - 1} | {digit * 10**power for power in range(len(str(horizon))) for digit in LOOKS}
    return tuple(sorted(step for step in chosen if step < horizon))


class _Watched:
    """Acts as a learner does, and notes the adaptation after some steps."""

    def __init__(self, learner: Learner, looks: Sequence[int]) -> None:
        self._learner, self._looks, self._time = learner, looks, 0
        self.device = learner.device
        self.seen: dict[int, Adaptation] = {}
        """Adaptation after the step at which so many transitions of the rollout had been seen."""

    def act(self, adaptation: Adaptation, step: Step, noise: Tensor) -> tuple[Tensor, Adaptation]:
        """Acts, and notes the adaptation."""
        action, after = self._learner.act(adaptation, step, noise)
        if self._time in self._looks:
            self.seen[self._time] = after
        self._time += 1
        return action, after


def _keep(features_at: dict[int, Array], step: int, adaptation: Adaptation, noise: Noise, pooled: bool) -> None:
    """Notes an adaptation as features; nothing if it holds no numbers of its tasks."""
    features = features_of(adaptation, noise.tasks, noise.worlds, pooled)
    if features is not None:
        features_at[step] = features


def features_of(adaptation: Adaptation, tasks: int, worlds: int, pooled: bool) -> Array | None:
    """Numbers of an adaptation, a row for each task, or for each world of each; None if it holds none.

    A large adaptation is summed up in fewer numbers, with random signs, which keeps products of rows on average
    (Weinberger et al. 2009, https://arxiv.org/abs/0902.2206).
    """
    lead = (tasks,) if pooled else (tasks, worlds)
    leaves = [leaf for leaf in tree_leaves(adaptation) if isinstance(leaf, Tensor) and leaf.is_floating_point()]
    rows = [leaf.flatten(0, len(lead) - 1).flatten(1) for leaf in leaves if leaf.shape[: len(lead)] == lead]
    rows = [row for row in rows if row.shape[1]]
    if not rows:
        return None
    size = sum(row.shape[1] for row in rows)
    if size <= MAX_FEATURES:
        return torch.cat(rows, dim=1).double().cpu().numpy()
    source = torch.Generator().manual_seed(0)
    buckets = torch.randint(BUCKETS, (size,), generator=source)
    signs = torch.randint(2, (size,), generator=source).double() * 2 - 1
    summed = torch.zeros(len(rows[0]), BUCKETS, dtype=torch.float64)
    for start in range(0, len(summed), ROWS_AT_ONCE):
        some = torch.cat([row[start : start + ROWS_AT_ONCE].double().cpu() for row in rows], dim=1)
        summed[start : start + ROWS_AT_ONCE].index_add_(1, buckets, some * signs)
    return summed.numpy()
