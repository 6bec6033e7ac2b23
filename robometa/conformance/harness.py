"""Tools for the check of a learner: a small engine, calls that describe exceptions, and exact comparisons."""

from __future__ import annotations

import inspect
import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, fields, is_dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from robometa.compute.hardware import Hardware
from robometa.data import Rollout, Step, Trial
from robometa.learners.protocol import Learner
from robometa.noise import Noise
from robometa.registry import user_file
from robometa.sim.engine import Engine
from robometa.suites.suite import Suite
from robometa.trials import make
from robometa.trials.trial import run_trial

RELATIVE_TOLERANCE, ABSOLUTE_TOLERANCE = 1e-3, 1e-4
"""Tolerances on a task's numbers in another batch: products of other sizes differ in their last bits."""


class BrokenError(Exception):
    """A sentence about something that is broken so that nothing behind it can be checked."""


@dataclass
class Bench:
    """A learner's class, its options, and a small suite to check it on."""

    kind: Any
    config: Any
    suite: Suite

    def call(self, what: str, function: Callable[..., Any], *arguments: Any) -> Any:
        """Calls a method.

        Raises:
            BrokenError: If it raises anything.
        """
        try:
            return function(*arguments)
        except Exception as error:
            line = user_file.error_line(error, inspect.getfile(self.kind))
            raise BrokenError(f"{what} raises {line}.") from error

    def engine(self, tasks: int, worlds: int, *, training: bool = False) -> Engine:
        """An engine with the first training tasks."""
        engine = make.engine_for(self.kind, self.suite, tasks, worlds, Hardware(threads=1), training=training)
        engine.assign([self.suite.train[index % len(self.suite.train)] for index in range(tasks)])
        return engine

    def made(self, seed: int = 0) -> Learner:
        """An untrained learner."""
        spaces = make.spaces_of(self.suite, self.kind)
        learner: Learner = self.call(
            "__init__(config, spaces, seed, device)", self.kind, self.config, spaces, seed, "cpu"
        )
        return learner

    def noise(self, *purpose: str | int, tasks: int | None = None, worlds: int | None = None) -> Noise:
        """A source of random numbers."""
        return Noise(0, ("check", *purpose), tasks or self.config.tasks, worlds or self.config.worlds)

    def trial(self) -> Trial:
        """A training iteration's trial by an untrained learner; the same at every call."""
        tasks = [index % len(self.suite.train) for index in range(self.config.tasks)]
        engine = self.engine(self.config.tasks, self.config.worlds, training=True)
        return run_trial(engine, self.made(), self.suite.train, tasks, self.config.shots, self.noise("trial"))

    def updated(self, trial: Trial, learner: Learner | None = None) -> tuple[Learner, Any]:
        """A learner that has learned from a trial, and the result of its update."""
        learner = self.made() if learner is None else learner
        with torch.enable_grad():
            logged = self.call("update", learner.update, trial)
        return learner, logged

    def acted(self, learner: Learner, rollout: Rollout, tasks: int, worlds: int) -> list[Tensor]:
        """Actions of a learner before and after it adapts to the first tasks and worlds of a rollout, all at once."""
        noise = self.noise("acted", tasks=tasks, worlds=worlds)
        part = Rollout(**{name: values[:tasks, :worlds] for name, values in vars(rollout).items()})
        adaptation = self.call("begin", learner.begin, tasks, worlds, noise.fork("begin"))
        actions = []
        for shot in range(2):
            draws = noise.fork("action", shot).normal(2, part.action.shape[-1])
            for time in range(2):
                action, adaptation = self.call("act", learner.act, adaptation, step_of(part, time), draws[:, :, time])
                actions.append(action)
            if shot == 0:
                with torch.enable_grad():
                    adaptation = self.call("adapt", learner.adapt, adaptation, part, noise.fork("adapt"))
        return actions


def first_step(engine: Engine, noise: Noise) -> Step:
    """First step of a trial."""
    obs = engine.reset(noise.fork("reset"))
    nothing = obs.new_zeros(obs.shape[:2])
    return Step(obs, obs.new_zeros(*nothing.shape, engine.spaces.action), nothing, nothing.bool())


def step_of(rollout: Rollout, time: int) -> Step:
    """Step before the action of this time; at 0, as if the rollout began its trial."""
    if time == 0:
        nothing = torch.zeros_like(rollout.reward[:, :, 0])
        return Step(rollout.obs[:, :, 0], torch.zeros_like(rollout.action[:, :, 0]), nothing, nothing.bool())
    last = time - 1
    return Step(
        rollout.obs[:, :, time],
        rollout.action[:, :, last],
        rollout.observed_reward()[:, :, last],
        rollout.done[:, :, last],
    )


def leaves(value: Any) -> list[Tensor]:
    """Every tensor and number of a nested value, in order."""
    if isinstance(value, Tensor):
        return [value.detach()]
    if isinstance(value, bool | int | float):
        return [torch.tensor(float(value), dtype=torch.float64)]
    if isinstance(value, np.ndarray):
        return [torch.from_numpy(value)]
    if isinstance(value, dict):
        return [leaf for name in sorted(value, key=str) for leaf in leaves(value[name])]
    if isinstance(value, list | tuple):
        return [leaf for part in value for leaf in leaves(part)]
    if is_dataclass(value):
        return [leaf for field in fields(value) for leaf in leaves(getattr(value, field.name))]
    return leaves(vars(value)) if hasattr(value, "__dict__") and not isinstance(value, type) else []


def copied(value: Any) -> list[Tensor]:
    """Copies of every tensor and number of a nested value, in order."""
    return [leaf.clone() for leaf in leaves(value)]


def same(first: list[Tensor], second: list[Tensor]) -> bool:
    """True if two lists of tensors are equal; NaN equals NaN."""
    return len(first) == len(second) and all(
        one.shape == other.shape and bool(((one == other) | (one.isnan() & other.isnan())).all())
        for one, other in zip(first, second, strict=True)
    )


def near(first: Tensor, second: Tensor) -> bool:
    """True if two tensors agree up to the rounding of sums in another order."""
    return torch.allclose(first, second, rtol=RELATIVE_TOLERANCE, atol=ABSOLUTE_TOLERANCE)


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    """The global random generators at a seed for as long as the block, and then as they were."""
    kept = torch.random.get_rng_state(), np.random.get_state(), random.getstate()  # noqa: NPY002
    torch.manual_seed(seed)
    np.random.seed(seed)  # noqa: NPY002
    random.seed(seed)
    try:
        yield
    finally:
        torch.random.set_rng_state(kept[0])
        np.random.set_state(kept[1])  # noqa: NPY002
        random.setstate(kept[2])
