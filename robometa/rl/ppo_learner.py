"""Base of the learners that train one network with PPO."""

from __future__ import annotations

from typing import Generic, TypeVar

import torch
from torch import Tensor, nn

from robometa.data import Spaces
from robometa.nn.normalizer import Normalizer
from robometa.nn.state import Parts, load_state, state_of
from robometa.rl import ppo

Net = TypeVar("Net", bound=nn.Module)


class PpoLearner(Generic[Net]):
    """Network, optimizer and running statistics of a learner that trains with PPO."""

    config: ppo.Options

    def __init__(
        self,
        config: ppo.Options,
        network: Net,
        spaces: Spaces,
        device: torch.device | str,
        blind: tuple[int, ...] = (),
    ) -> None:
        """Creates empty statistics and the optimizer.

        Args:
            config: Options of the learner.
            network: Policy and values, untrained.
            spaces: Sizes of observations and actions.
            device: Device of the learner.
            blind: Places of the observation to hide from the learner.
        """
        self.config, self.device = config, torch.device(device)
        self.network = network.to(self.device)
        self.optimizer = torch.optim.Adam(self.network.parameters(), lr=config.learning_rate, eps=1e-5, fused=True)
        self.observations = Normalizer(spaces.observation, device=self.device, blind=blind)
        self.returns = Normalizer(1, device=self.device)

    def state_dict(self) -> dict[str, Tensor]:
        """Networks and statistics; for training also the parts under `training/`."""
        return state_of(self._parts())

    def load_state_dict(self, state: dict[str, Tensor]) -> None:
        """Restores a state, or the policy's part of one."""
        load_state(self._parts(), state)

    def _parts(self) -> Parts:
        return {
            "network": self.network,
            "observations": self.observations,
            "training/returns": self.returns,
            "training/optimiser": self.optimizer,
        }
