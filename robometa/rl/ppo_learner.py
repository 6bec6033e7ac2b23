"""Base of the learners that train one network with PPO."""

from __future__ import annotations

from typing import Generic, TypeVar

import torch
from torch import Tensor, nn

from robometa.compute.cuda_graphs import CapturedSteps
from robometa.data import Spaces
from robometa.nn.normalizer import Normalizer
from robometa.nn.state import Parts, load_state, state_of
from robometa.noise import Noise
from robometa.rl import ppo
from robometa.rl.learning_rate import adam

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
        self.optimizer = adam(self.network, config.learning_rate, self.device, eps=1e-5)
        self.captured = ppo.captured_update(self.network, self.optimizer, config, self.device)
        self.observations = Normalizer(spaces.observation, device=self.device, blind=blind)
        self.returns = Normalizer(1, device=self.device)

    def state_dict(self) -> dict[str, Tensor]:
        """Networks and statistics; for training also the parts under `training/`."""
        return state_of(self._parts())

    def load_state_dict(self, state: dict[str, Tensor]) -> None:
        """Restores a state, or the policy's part of one."""
        load_state(self._parts(), state)
        for steps in vars(self).values():
            if isinstance(steps, CapturedSteps):  # the optimizer has other tensors now
                steps.forget()

    def _trained_on(self, experience: ppo.Experience, noise: Noise) -> dict[str, float]:
        """Takes PPO's gradient steps of an iteration and returns metrics."""
        generator = noise.torch_generator()
        return ppo.update(self.network, self.optimizer, experience, self.config, generator, self.captured)

    def _parts(self) -> Parts:
        return {
            "network": self.network,
            "observations": self.observations,
            "training/returns": self.returns,
            "training/optimiser": self.optimizer,
        }
