"""The engines' protocol: steps all tasks and worlds at once, and hands its full state in and out."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol

import numpy as np
import torch
from torch import Tensor

from robometa.data import Spaces
from robometa.noise import Noise
from robometa.suites.task import Task


class Outcome(NamedTuple):
    """Result of a step of all worlds."""

    obs: Tensor
    """Observation to act on next: after a reset where an episode ended. `[task, world, obs]`"""
    next_obs: Tensor
    """Observation that the action led to, before any reset. `[task, world, obs]`"""
    reward: Tensor
    """0 where the simulation diverged. `[task, world]`, float32"""
    terminated: Tensor
    """`[task, world]`, bool"""
    truncated: Tensor
    """`[task, world]`, bool"""
    success: Tensor
    """`[task, world]`, bool"""
    diverged: Tensor
    """`[task, world]`, bool"""


@dataclass(frozen=True)
class TrialPlace:
    """Place of a rollout in its trial, which the changes of a task depend on."""

    noise: Noise
    """Source of the trial's changes, the same for all its rollouts."""
    shot: int = 0
    """Rollouts of the trial before this one."""


@dataclass(frozen=True)
class Divergence:
    """A simulation that blew up, with all that repeats its last step."""

    task: Task
    """Task with the model and the objective."""
    world: int
    """Index among the worlds of the task."""
    step: int
    """Control steps of its episode before this one."""
    physics: Tensor
    """State before the step. `[state]`"""
    sensors: Tensor
    """Sensor readings before the step. `[sensor]`"""
    action: Tensor
    """Action as the learner emitted it. `[action]`"""
    memory: Tensor = field(default_factory=lambda: torch.zeros(0, dtype=torch.float64))
    """Memory of the wires between policy and robot before the step; empty if there are none. `[number]`"""
    in_force: Task | None = None
    """Task as it was at the step, if it changes along a trial."""


@dataclass(frozen=True)
class SimulatorState:
    """The full state of every world."""

    physics: np.ndarray
    """MuJoCo's full physics state: time, positions, velocities, activations. `[task, world, state]`"""
    sensors: np.ndarray
    """Sensor readings. `[task, world, sensor]`"""
    steps: np.ndarray
    """Control steps since each world's episode began. `[task, world]`"""
    episodes: np.ndarray
    """Episodes that each world has begun since `reset`. `[task, world]`"""
    obs: Tensor
    """`[task, world, obs]`"""
    noise: Noise
    memory: np.ndarray | None = None
    """Memory of the wires between policy and robot; None if there are none. `[task, world, number]`"""
    clock: np.ndarray | None = None
    """Control steps of each task since its trial began; None if tasks do not change. `[task]`"""
    changes: Noise | None = None
    """Source of the trial's changes."""


class Engine(Protocol):
    """Steps all tasks and worlds at once."""

    spaces: Spaces
    horizon: int
    tasks: int
    worlds: int
    threads: int
    """Threads that step the simulation."""
    device: torch.device
    """Device of its tensors."""
    on_divergence: Callable[[Divergence], None] | None
    """Called with a world that blew up: with the first of a step, or of a horizon of steps on a GPU. None at first."""

    @property
    def worst_reward(self) -> Tensor:
        """Lower bound on an honest step's reward, below 0, by which a divergence is charged. `[task]`, float32."""

    @property
    def in_force(self) -> tuple[Task, ...]:
        """Tasks as they are now; another tuple after each change of one. `[task]`."""

    def assign(self, tasks: Sequence[Task]) -> None:
        """Gives each task of the batch its parameters and model."""

    def reset(self, noise: Noise, place: TrialPlace | None = None) -> Tensor:
        """Starts an episode in every world; later resets draw from `noise` too. `[task, world, obs]`.

        Args:
            noise: Source of the beginnings of episodes.
            place: Place of the rollout that begins in its trial; None for a trial of its own.
        """

    def step(self, action: Tensor) -> Outcome:
        """Steps every world by one action in -1..1. `[task, world, action]`."""

    def state(self) -> SimulatorState:
        """The simulator's full state, from which `restore` continues exactly."""

    def restore(self, state: SimulatorState) -> None:
        """Puts every world into a state that `state` returned."""

    def close(self) -> None:
        """Frees what steps the simulation; the engine is of no further use."""
