"""An engine's part that follows the changes of its tasks."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from robometa.errors import UserError
from robometa.noise import Noise
from robometa.sim.changes import Changes
from robometa.sim.engine import SimulatorState, TrialPlace
from robometa.suites.task import Task


class Changing(ABC):
    """Base of the engines whose tasks may change along a trial."""

    tasks: int
    horizon: int
    assigned: tuple[Task, ...]
    in_force: tuple[Task, ...]
    worst_reward: Tensor
    _changes: Changes | None

    @abstractmethod
    def _put_in_force(self, tasks: tuple[Task, ...]) -> None:
        """Gives every world the parameters and the model of its task as it is now. `[task]`."""

    def _take(self, tasks: Sequence[Task]) -> None:
        """Takes the tasks of a batch; those that change begin with their own numbers until a trial begins.

        Raises:
            UserError: If they are not as many as the engine steps.
        """
        if len(tasks) != self.tasks:
            raise UserError(f"this engine steps {self.tasks} tasks at once, not {len(tasks)}")
        self.assigned = tuple(tasks)
        self._changes = Changes(self.assigned, self.horizon) if any(task.change is not None for task in tasks) else None

    def _begin_rollout(self, noise: Noise, place: TrialPlace | None) -> None:
        """Puts the tasks at the beginning of a rollout in force; without a place, of a trial of its own."""
        if self._changes is not None:
            self._put_in_force(self._changes.begin(place or TrialPlace(noise.fork("change"))))

    def _change(self) -> bool:
        """Counts a step of the trial; tasks that change before the next one have their new numbers from now on."""
        tasks = None if self._changes is None else self._changes.advance()
        if tasks is None:
            return False
        worst = self.worst_reward  # of all tasks that a rollout has
        self._put_in_force(tasks)
        self.worst_reward = torch.minimum(worst, self.worst_reward)
        return True

    def _place_in_trial(self) -> dict[str, Any]:
        """The part of a simulator's state that says where in its trial each task is."""
        if self._changes is None:
            return {}
        return {"clock": self._changes.clock.copy(), "changes": self._changes.noise}

    def _go_to(self, state: SimulatorState) -> None:
        """Puts the tasks at the place of a simulator's state in force."""
        if self._changes is not None and state.clock is not None and state.changes is not None:
            self._put_in_force(self._changes.go_to(state.changes, state.clock))
