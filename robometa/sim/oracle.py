"""An oracle's engine: observations end with the hidden parameters of the task."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace

import torch
from torch import Tensor

from robometa.errors import UserError
from robometa.noise import Noise
from robometa.sim.engine import Divergence, Engine, Outcome, SimulatorState, TrialPlace
from robometa.suites.suite import Suite
from robometa.suites.task import Task

ANGLE = "angle"
"""The parameter that is a direction, rad."""


class HiddenNumbers:
    """The hidden parameters of a suite's tasks as numbers, in the units of its file.

    A number that is the same in all training tasks is left out, unless it changes along a trial. A parameter with one
    value for all of its parts, such as the friction of every geom, is one number. An angle becomes its cosine and sine,
    because the angles of two neighbouring directions may differ by a whole turn.
    """

    def __init__(self, suite: Suite) -> None:
        """Finds the numbers that differ among the suite's training tasks.

        Raises:
            UserError: If the suite's tasks differ in more than numbers.
        """
        if len({task.objective for task in (*suite.train, *suite.test)}) > 1:
            raise UserError(
                f"no policy can observe what suite {suite.name} hides: which task it is, and that is no number"
            )
        self.suite = suite
        self._sizes = [(name, len(value)) for name, value in suite.train[0].parameters]
        changing = () if suite.change is None else suite.change.names
        several = {name for name, size in self._sizes if size > 1 and name not in changing}
        differ = {name for task in suite.train for name, value in set(task.parameters) - set(suite.train[0].parameters)}
        self._shared = frozenset(several & differ).intersection(*map(_shared, suite.train))
        numbers = torch.stack([self._numbers(task) for task in suite.train])
        self._varies = (numbers != numbers[0]).any(dim=0)
        words = [(name, part) for name, size in self._sizes for part in _names(name, self._told(name, size))]
        self._varies |= torch.tensor([name in changing for name, _ in words], dtype=torch.bool)
        every = [part for _, part in words]
        self.names = tuple(name for name, varies in zip(every, self._varies.tolist(), strict=True) if varies)
        """Name of each number."""

    def __call__(self, task: Task) -> Tensor:
        """Returns a task's numbers. `[name]`, float32.

        Raises:
            UserError: If the task hides other parameters than the suite's training tasks, or several values of one
                that has a single value in each of them.
        """
        return self._numbers(task)[self._varies].float()

    def _numbers(self, task: Task) -> Tensor:
        if [(name, len(value)) for name, value in task.parameters] != self._sizes:
            known = ", ".join(name for name, _ in self._sizes) or "nothing"
            raise UserError(
                f"a task with {task.describe()} cannot be shown to an oracle: the training tasks hide {known}"
            )
        numbers: list[float] = []
        several = sorted(self._shared - _shared(task))
        if several:
            raise UserError(
                f"a task with several values of {several[0]} cannot be shown to an oracle: every training task has one"
            )
        for name, value in task.parameters:
            if name == ANGLE:
                numbers += [math.cos(value[0]), math.sin(value[0])]
            else:
                numbers += value[:1] if name in self._shared else value
        return torch.tensor(numbers, dtype=torch.float64)

    def _told(self, name: str, size: int) -> int:
        return 1 if name in self._shared else size


def _shared(task: Task) -> frozenset[str]:
    """Names of the parameters whose parts all have the same value."""
    return frozenset(name for name, value in task.parameters if len(set(value)) == 1)


def _names(name: str, size: int) -> list[str]:
    if name == ANGLE:
        return [f"cos {name}", f"sin {name}"]
    return [name] if size == 1 else [f"{name} {place}" for place in range(size)]


class RevealingEngine:
    """Delegates to an engine, and appends the hidden parameters of its task to each observation."""

    def __init__(self, engine: Engine, hidden: HiddenNumbers) -> None:
        """Wraps an engine.

        Args:
            engine: Engine that steps the simulations, on any device.
            hidden: Hidden parameters of the suite's tasks.
        """
        self._engine, self._hidden = engine, hidden
        self.horizon, self.tasks, self.worlds = engine.horizon, engine.tasks, engine.worlds
        self.threads, self.device = engine.threads, engine.device
        observation = engine.spaces.observation + len(hidden.names)
        self.spaces = replace(engine.spaces, observation=observation, revealed=hidden.names)
        suite = hidden.suite
        self._reveal([suite.train[index % len(suite.train)] for index in range(self.tasks)])

    @property
    def on_divergence(self) -> Callable[[Divergence], None] | None:
        """The engine's callback for a simulation that diverges."""
        return self._engine.on_divergence

    @on_divergence.setter
    def on_divergence(self, call: Callable[[Divergence], None] | None) -> None:
        self._engine.on_divergence = call

    @property
    def in_force(self) -> tuple[Task, ...]:
        """The engine's tasks as they are now. `[task]`."""
        return self._engine.in_force

    @property
    def worst_reward(self) -> Tensor:
        """The engine's lower bound on an honest step's reward. `[task]`, float32."""
        return self._engine.worst_reward

    def assign(self, tasks: Sequence[Task]) -> None:
        """Gives each task of the batch its parameters and model, and reveals the parameters from now on."""
        self._engine.assign(tasks)
        self._reveal(tasks)

    def reset(self, noise: Noise, place: TrialPlace | None = None) -> Tensor:
        """Starts an episode in every world; later resets draw from `noise` too. `[task, world, obs]`.

        Args:
            noise: Source of the beginnings of episodes.
            place: Place of the rollout that begins in its trial; None for a trial of its own.
        """
        return self._appended(self._engine.reset(noise, place))

    def step(self, action: Tensor) -> Outcome:
        """Steps every world by one action in -1..1. `[task, world, action]`."""
        outcome = self._engine.step(action)
        return outcome._replace(obs=self._appended(outcome.obs), next_obs=self._appended(outcome.next_obs))

    def state(self) -> SimulatorState:
        """The simulator's full state, from which `restore` continues exactly."""
        state = self._engine.state()
        return replace(state, obs=self._appended(state.obs))

    def restore(self, state: SimulatorState) -> None:
        """Puts every world into a state that `state` returned."""
        self._engine.restore(state)

    def close(self) -> None:
        """Closes the engine."""
        self._engine.close()

    def _reveal(self, tasks: Sequence[Task]) -> None:
        self._revealed = tuple(tasks)
        numbers = torch.stack([self._hidden(task) for task in tasks]).to(self.device)
        self._numbers = numbers.unsqueeze(1).expand(-1, self.worlds, -1)  # [task, world, number]

    def _appended(self, obs: Tensor) -> Tensor:
        if self._engine.in_force is not self._revealed:
            self._reveal(self._engine.in_force)
        return torch.cat((obs, self._numbers), dim=-1)
