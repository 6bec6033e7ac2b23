"""Random actions: what every learner must beat.

Read it for the shape of a learner: the protocol's methods with nothing in them. `act` makes uniform numbers of normal
ones.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, ClassVar

import torch
from torch import Tensor

from robometa.data import Rollout, Spaces, Step, Trial
from robometa.errors import Options
from robometa.noise import Noise


@dataclass(frozen=True)
class Config(Options):
    """Options of random actions."""

    iterations: Annotated[int, "[1, inf)"] = 1
    """Training iterations, in which nothing is learned."""
    tasks: Annotated[int, "[1, inf)"] = 10
    """Tasks of an iteration."""
    worlds: Annotated[int, "[1, inf)"] = 10
    """Worlds of each task."""
    shots: Annotated[int, "[0, inf)"] = 1
    """Adaptations within a trial, which change nothing."""
    drawn_tasks: ClassVar[int] = 0


class Random:
    """Acts uniformly at random."""

    configuration: ClassVar[type] = Config
    pools_worlds: ClassVar[bool] = False
    adapts_within_episode: ClassVar[bool] = False
    sees_parameters: ClassVar[bool] = False
    trains_on_parameters: ClassVar[bool] = False
    learns_offline: ClassVar[bool] = False

    def __init__(self, config: Config, spaces: Spaces, seed: int, device: torch.device | str = "cpu") -> None:
        """Stores options and device."""
        self.config, self.device = config, torch.device(device)

    def begin(self, tasks: int, worlds: int, noise: Noise) -> None:
        """Returns no adaptation."""

    def act(self, adaptation: None, step: Step, noise: Tensor) -> tuple[Tensor, None]:
        """Actions uniform in -1..1. `[task, world, action]`."""
        # The normal distribution function, scaled from 0..1 to -1..1.
        return torch.erf(noise / 2**0.5), None

    def adapt(self, adaptation: None, rollout: Rollout, noise: Noise) -> None:
        """Changes nothing."""

    def update(self, trial: Trial) -> dict[str, float]:
        """Changes nothing."""
        return {}

    def state_dict(self) -> dict[str, Tensor]:
        """Returns an empty state."""
        return {}

    def load_state_dict(self, state: dict[str, Tensor]) -> None:
        """Restores nothing."""
