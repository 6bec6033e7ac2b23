"""What every meta-learner is: four methods around an adaptation that is a plain value."""

from __future__ import annotations

from typing import Any, ClassVar, Protocol

import torch
from torch import Tensor

from robometa.data import Rollout, Spaces, Step, Trial
from robometa.noise import Noise

Adaptation = Any
"""What a learner has found out about its tasks so far: tensors with an entry per task (or per task and world)."""


class Learner(Protocol):
    """A meta-learning method.

    The adaptation is passed in and returned, never hidden in the learner: evaluating in the middle of training disturbs
    nothing. Only `update` changes the learner. Noise is passed in too.

    An oracle's class also says `sees_parameters: ClassVar[bool] = True`: its observation then ends with the numbers
    that its task hides, and `spaces.told` names them. Every other learner leaves the attribute out. An option
    `drawn_tasks: int` lets it train on so many tasks that are drawn from the suite's distributions.
    """

    configuration: ClassVar[type]
    """Its options: a frozen dataclass with `iterations`, `tasks`, `worlds`, `shots` and what the paper needs."""
    pools_worlds: ClassVar[bool]
    """Whether an adaptation learns from all worlds of a task together, or each world is a trial of its own."""
    config: Any
    """The options it was made with."""
    device: torch.device
    """Where its tensors are. What it is handed is there already, but for the numbers that a `Noise` draws."""

    def __init__(self, config: Any, spaces: Spaces, seed: int, device: torch.device | str = "cpu") -> None:
        """An untrained learner; the same seed gives the same numbers on every device."""

    def begin(self, tasks: int, worlds: int, noise: Noise) -> Adaptation:
        """The adaptation before any data."""

    def act(self, adaptation: Adaptation, step: Step, noise: Tensor) -> tuple[Tensor, Adaptation]:
        """An action for each world, and the adaptation to carry on with; zero noise gives the mean action.

        Args:
            adaptation: What is known of the tasks.
            step: What each world shows.
            noise: Standard normal numbers. `[task, world, action]`
        Returns: Actions, clipped to -1..1 by the engine. `[task, world, action]`
        """

    def adapt(self, adaptation: Adaptation, rollout: Rollout, noise: Noise) -> Adaptation:
        """The adaptation after learning from one more rollout of the same tasks."""

    def update(self, trial: Trial) -> dict[str, float]:
        """Improves the learner from a finished trial and returns what to log."""

    def state(self) -> dict[str, Tensor]:
        """Everything that training goes on from; names that begin with `training/` are not part of the policy."""

    def load(self, state: dict[str, Tensor]) -> None:
        """Takes a state back, or the policy's part of one."""


def sees_parameters(learner: Learner | type[Learner] | None) -> bool:
    """Whether a learner is shown what its tasks hide: its class says so, see `Learner`."""
    return bool(getattr(learner, "sees_parameters", False))
