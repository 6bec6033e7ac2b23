"""Tasks of a suite as Gymnasium environments: one world."""

from __future__ import annotations

import copy
import inspect
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

import gymnasium
import numpy as np
import torch
from gymnasium.envs.registration import EnvSpec

from robometa import suites
from robometa.errors import UserError, unknown
from robometa.noise import Noise
from robometa.sim.divergence_charge import charged_step
from robometa.sim.engine import Engine, Outcome, TrialPlace
from robometa.sim.locomotion.reader import MAXIMUM
from robometa.sim.select import engine_of
from robometa.suites.suite import Suite
from robometa.suites.task import Task


class SuiteEnv(gymnasium.Env[np.ndarray, np.ndarray]):  # type: ignore[misc] # Gymnasium is not checked
    """A task of a suite in one world. Truncates at the suite's horizon by itself.

    A copy or a pickle holds the simulation's full state and continues exactly.
    """

    metadata: ClassVar[dict[str, Any]] = {"render_modes": []}

    def __init__(self, suite: str | Path | None = None, split: str = "train", task: int = 0) -> None:
        """Loads the suite and starts an engine of one world.

        Args:
            suite: A shipped suite's name or the path of a suite's file.
            split: `train` or `test`.
            task: Index of the task in that split; `reset(options={"task": 5})` changes it.

        Raises:
            UserError: Naming what is allowed, if there is no such suite, split or task.
        """
        self.suite, self.split = suites.load(named(suite)), split
        self._begin(chosen_task(self.suite, split, task))

    def _begin(self, task: Task) -> None:
        """Starts the engine for a task."""
        self._task, self._spec, self._running, self._place, self._closed = task, None, False, None, False
        self._engine = engine_of(self.suite, tasks=1, worlds=1, threads=1)
        self._engine.assign([task])
        self.observation_space, self.action_space = spaces_of(self._engine)

    @property
    def task(self) -> Task:
        """The task, with the numbers that are in force now where it changes along a trial."""
        return self._engine.in_force[0] if self.suite.change is not None and self._running else self._task

    @property
    def spec(self) -> EnvSpec | None:
        """Gymnasium's specification, with the suite's horizon."""
        return self._spec

    @spec.setter
    def spec(self, spec: EnvSpec | None) -> None:
        self._spec = with_horizon(spec, self.suite)

    _place: TrialPlace | None
    """Place of the running episode in a trial, for tasks that change along it."""

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[np.ndarray, dict[str, Any]]:
        """Starts an episode. `[obs]`, and nothing else.

        A task that changes goes on along its trial, which begins with a seed or a task.

        Args:
            seed: Seed of this episode and those after it.
            options: `{"task": 5}` changes the task.

        Raises:
            UserError: If there is no such option or task, or the environment is closed.
        """
        require_open(self._closed)
        super().reset(seed=seed)
        require_options(options, ("task",))
        if options is not None and "task" in options:
            self._task = chosen_task(self.suite, self.split, options["task"])
            self._engine.assign([self._task])
        noise = _noise(self.np_random, tasks=1)
        if self._place is None or seed is not None or options:
            self._place = TrialPlace(noise.fork("change"))
        else:
            self._place = replace(self._place, shot=self._place.shot + 1)
        self._running = True
        return self._engine.reset(noise, self._place)[0, 0].numpy(), {}

    def step(self, action: np.ndarray) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
        """One control step under an action in -1..1. `[action]`.

        Raises:
            UserError: If the action has another shape, there was no reset, or the environment is closed.
        """
        require_open(self._closed)
        if not self._running:
            raise UserError("step needs a reset before it")
        outcome = self._engine.step(checked_action(action, self.action_space.shape, self.suite))
        return (
            outcome.next_obs[0, 0].numpy(),
            reward_of(self._engine, outcome).item(),
            bool(outcome.terminated),
            bool(outcome.truncated),
            {"success": bool(outcome.success), "diverged": bool(outcome.diverged)},
        )

    def close(self) -> None:
        """Frees the engine; the environment is of no further use."""
        self._closed, self._running = True, False
        self._engine.close()

    def __getstate__(self) -> dict[str, Any]:
        """Everything but what runs: the engine's state in place of the engine."""
        kept = {name: value for name, value in vars(self).items() if name not in ("_engine", *self.UNKEPT)}
        return kept | {"state": self._engine.state() if self._running else None}

    UNKEPT: ClassVar[tuple[str, ...]] = ()
    """Attributes that a copy makes anew."""

    def __setstate__(self, kept: dict[str, Any]) -> None:
        """Starts an engine in the state of the copied one."""
        state, spec, place = kept.pop("state"), kept["_spec"], kept["_place"]
        self.__dict__.update(kept)
        closed = self._closed
        self._begin(self._task)
        self._spec, self._place, self._running = spec, place, state is not None
        if closed:
            self.close()
        if state is not None:
            self._engine.reset(state.noise)
            self._engine.restore(state)

    def __deepcopy__(self, memo: dict[int, Any]) -> SuiteEnv:
        """A copy that continues from the same state, on its own."""
        made = type(self).__new__(type(self))
        memo[id(self)] = made
        made.__setstate__(copy.deepcopy(self.__getstate__(), memo))
        return made


def named(suite: str | Path | None) -> str | Path:
    """The suite that an environment is of.

    Raises:
        UserError: If none is named.
    """
    if suite is None:
        raise UserError('robometa/suite-v0 needs a suite: gymnasium.make("robometa/suite-v0", suite="mine.toml")')
    return suite


def with_horizon(spec: EnvSpec | None, suite: Suite) -> EnvSpec | None:
    """Returns a specification that has the suite's horizon, if it has no other."""
    if spec is not None and spec.max_episode_steps is None:
        spec.max_episode_steps = suite.horizon
    return spec


NUMBERS = "fiubO"
"""Kinds of numpy's dtypes that an action may have: no complex numbers, dates or texts."""


def require_open(closed: bool) -> None:
    """Checks that an environment is not closed.

    Raises:
        UserError: If it is.
    """
    if closed:
        raise UserError("the environment is closed: make another one")


def require_options(options: dict[str, Any] | None, known: tuple[str, ...]) -> None:
    """Checks the names of a reset's options.

    Raises:
        UserError: If one is unknown, or they are no dictionary.
    """
    if not isinstance(options, Mapping | None):
        raise UserError(f"options must be a dictionary, such as {{{known[-1]!r}: 5}}, not {options!r:.40}")
    for name in options or {}:
        if name not in known:
            raise UserError(unknown("option", name, known, "reset"))


def require_arguments(made: type, others: Mapping[str, Any]) -> None:
    """Checks that an environment is made without arguments that it does not have.

    Raises:
        UserError: Naming the first of `others`, and the arguments that it has.
    """
    known = [name for name in inspect.signature(made).parameters if name != "others"]
    for name in others:
        raise UserError(unknown("argument", name, known, "gymnasium.make"))


def checked_action(action: np.ndarray, shape: tuple[int, ...], suite: Suite) -> torch.Tensor:
    """Copies actions for the engine; a caller's array may be read-only.

    Raises:
        UserError: If they have another shape, or are no numbers.
    """
    try:
        given = np.ma.filled(action, np.nan)
        text = given.dtype == object and any(isinstance(one, str | bytes) for one in given.flat)
        if given.dtype.kind not in NUMBERS or text:
            raise UserError(f"an action must be an array of numbers, not of {given.dtype}")
        with np.errstate(over="ignore"):
            numbers = np.array(given, dtype=np.float32)
    except (TypeError, ValueError, OverflowError) as error:
        raise UserError(f"an action must be an array of numbers: {error}") from None
    if numbers.shape != shape:
        raise UserError(f"actions of {suite.name} have the shape {shape}, not {numbers.shape}")
    return torch.from_numpy(numbers)


def chosen_task(suite: Suite, split: str, index: int) -> Task:
    """The task of this index in a split.

    Raises:
        UserError: If there is no such split or index, naming the allowed ones.
    """
    tasks = suite.tasks(split)
    if isinstance(index, bool) or not isinstance(index, int | np.integer) or not 0 <= index < len(tasks):
        raise UserError(f"no task {index!r} among the {split} tasks of {suite.name}: 0 to {len(tasks) - 1}")
    return tasks[index]


def spaces_of(engine: Engine) -> tuple[gymnasium.spaces.Box, gymnasium.spaces.Box]:
    """Observation and action space. A state beyond `MAXIMUM` has diverged and is never shown."""
    see, act = engine.spaces.observation, engine.spaces.action
    return (
        gymnasium.spaces.Box(-MAXIMUM, MAXIMUM, (see,), np.float32),
        gymnasium.spaces.Box(-1.0, 1.0, (act,), np.float32),
    )


def reward_of(engine: Engine, outcome: Outcome) -> torch.Tensor:
    """Rewards of a step, with the charge where the simulation diverged. `[task, world]`."""
    return charged_step(outcome.reward, outcome.diverged, engine.worst_reward, engine.horizon)


def _noise(source: np.random.Generator, tasks: int) -> Noise:
    return Noise(int(source.integers(2**62)), ("gymnasium",), tasks, worlds=1)
