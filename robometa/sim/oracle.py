"""An engine that tells what its tasks hide: for an oracle, which shows how good knowing the task would be."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from robometa.data import Spaces
from robometa.errors import UserError
from robometa.noise import Noise
from robometa.sim.engine import Outcome, SimulatorState
from robometa.suites.suite import Suite, Task

ANGLE = "angle"
"""The parameter that is a direction, rad."""


class HiddenNumbers:
    """The numbers that a suite's tasks hide, in the units of its file.

    A number that is the same in all training tasks is left out. An angle is told as its cosine and sine: as a number
    it would tear directions that are neighbours apart.
    """

    def __init__(self, suite: Suite) -> None:
        """Finds what differs among the suite's training tasks.

        Raises: UserError: If the suite's tasks differ in more than numbers.
        """
        if len({task.objective for task in (*suite.train, *suite.test)}) > 1:
            raise UserError(
                f"an oracle cannot be told what suite {suite.name} hides: which task it is, and that is no number"
            )
        self._sizes = [(name, len(value)) for name, value in suite.train[0].parameters]
        numbers = torch.stack([self._numbers(task) for task in suite.train])
        self._varies = (numbers != numbers[0]).any(dim=0)
        every = [words for name, size in self._sizes for words in _names(name, size)]
        self.names = tuple(name for name, varies in zip(every, self._varies.tolist(), strict=True) if varies)
        """What each number is."""

    def __call__(self, task: Task) -> Tensor:
        """A task's numbers. `[name]`, float32

        Raises: UserError: If the task hides other things than the suite's training tasks.
        """
        return self._numbers(task)[self._varies].float()

    def _numbers(self, task: Task) -> Tensor:
        if [(name, len(value)) for name, value in task.parameters] != self._sizes:
            known = ", ".join(name for name, _ in self._sizes) or "nothing"
            raise UserError(
                f"a task with {task.describe()} cannot be told to an oracle: the training tasks hide {known}"
            )
        told: list[float] = []
        for name, value in task.parameters:
            told += [turn(value[0]) for turn in (math.cos, math.sin)] if name == ANGLE else value
        return torch.tensor(told, dtype=torch.float64)


def _names(name: str, size: int) -> list[str]:
    if name == ANGLE:
        return [f"cos {name}", f"sin {name}"]
    return [name] if size == 1 else [f"{name} {place}" for place in range(size)]


_Engine: Any = object
"""Any engine can stand behind it."""


class Revealing(_Engine):  # type: ignore[misc]
    """What makes an engine tell: to stand before it among the bases of a class."""

    spaces: Spaces

    def __init__(self, suite: Suite, *sizes: Any, **options: Any) -> None:
        """As the engine itself."""
        self._hidden = HiddenNumbers(suite)
        super().__init__(suite, *sizes, **options)
        told = self._hidden.names
        self.spaces = Spaces(self.spaces.observation + len(told), self.spaces.action, told)

    def assign(self, tasks: Sequence[Task]) -> None:
        """Gives each task of the batch its parameters and model, and tells them from now on."""
        super().assign(tasks)
        told = torch.stack([self._hidden(task) for task in tasks]).to(self.device)
        self._told = told.unsqueeze(1).expand(-1, self.worlds, -1)  # [task, world, number]

    def reset(self, noise: Noise) -> Tensor:
        """Starts an episode in every world; later resets draw from `noise` too. `[task, world, obs]`"""
        return self._revealing(super().reset(noise))

    def step(self, action: Tensor) -> Outcome:
        """Steps every world by one action in -1..1. `[task, world, action]`"""
        outcome = super().step(action)
        return outcome._replace(obs=self._revealing(outcome.obs), next_obs=self._revealing(outcome.next_obs))

    def state(self) -> SimulatorState:
        """The simulator's full state, from which `restore` goes on exactly."""
        state = super().state()
        return SimulatorState(**{**vars(state), "obs": self._revealing(state.obs)})

    def _revealing(self, obs: Tensor) -> Tensor:
        return torch.cat((obs, self._told), dim=-1)
