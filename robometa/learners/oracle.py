"""A policy that sees what its task hides, trained with PPO: Schulman et al. 2017, https://arxiv.org/abs/1707.06347.

Read it as the policy without adaptation, with the task's parameters at the end of observations: the engine appends them
where the class says `sees_parameters`.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Annotated, ClassVar

import torch
from torch import Tensor

from robometa.data import Spaces
from robometa.errors import Search, UserError
from robometa.nn.actor_critic import Network
from robometa.nn.bottleneck import Bottleneck, ToldPolicy
from robometa.rl import ppo
from robometa.rl.ppo_on_episodes import OnePolicy


@dataclass(frozen=True)
class Config(ppo.Options):
    """Options of the oracle."""

    tasks: Annotated[int, "[1, inf)", Search(16, 128, log=True)] = 64
    """Tasks of an iteration."""
    worlds: Annotated[int, "[1, inf)"] = 4
    """Worlds of each task."""
    shots: Annotated[int, "[0, inf)"] = 0
    """Adaptations within a training trial, which change nothing."""
    minibatches: Annotated[int, "[1, inf)", Search(4, 32, log=True)] = 16
    """Gradient steps of a pass, each on its share of the experience."""
    learning_rate: Annotated[float, "(0, inf)", Search(1e-4, 3e-3, log=True)] = 1e-3
    """Learning rate of Adam."""
    drawn_tasks: Annotated[int, "[0, inf)"] = 1000
    """Tasks to train on, drawn from the suite's distributions if it has any; 0 uses the listed tasks. Given the hidden
    parameters, a policy overfits to a short list. The oracle is a reference, not a competitor of adaptive learners."""
    hidden: Annotated[tuple[int, ...], "[1, inf)", Search(16, 256, log=True, depth=(1, 3))] = (128, 128)
    """Widths of the hidden layers of policy and value, tanh."""
    bottleneck: Annotated[int, "[0, inf)"] = 0
    """Numbers that a network of its own makes of the hidden ones for policy and value, as in RMA; 0 shows these as they
    are. For tasks that hide dozens."""
    encoder_hidden: Annotated[tuple[int, ...], "[1, inf)"] = (64, 64)
    """Widths of the hidden layers from the hidden numbers to the bottleneck, tanh; nothing without one."""


class BottleneckNetwork(Network):
    """Policy and value that read the observation, and a few numbers made of what the task hides."""

    def __init__(self, config: Config, spaces: Spaces, generator: torch.Generator) -> None:
        """Untrained."""
        hidden = len(spaces.revealed)
        self.observation = spaces.observation - hidden
        inputs = self.observation + config.bottleneck
        super().__init__(inputs, spaces.action, config.hidden, config.initial_std, generator)
        self.encoder = Bottleneck(hidden, config.encoder_hidden, config.bottleneck, generator)

    def known(self, obs: Tensor) -> Tensor:
        """The observation, and the bottleneck in -1..1 in place of the hidden numbers. `[..., obs + bottleneck]`."""
        hidden = obs[..., self.observation :]
        return torch.cat((obs[..., : self.observation], self.encoder(hidden)), dim=-1)


class Oracle(OnePolicy):
    """Learns a policy that observes the task's parameters; measures the value of full knowledge in equal training."""

    configuration: ClassVar[type] = Config
    sees_parameters: ClassVar[bool] = True

    def __init__(self, config: Config, spaces: Spaces, seed: int, device: torch.device | str = "cpu") -> None:
        """Untrained networks, their weights drawn from `seed`.

        Raises:
            UserError: If there is to be a bottleneck of hidden numbers, and there are none.
        """
        if config.bottleneck and not spaces.revealed:
            raise UserError("option bottleneck needs a suite that hides numbers")
        networks = partial(BottleneckNetwork, config, spaces) if config.bottleneck else None
        super().__init__(config, config.hidden, spaces, seed, device, networks)
        self.spaces = spaces

    def told_policy(self) -> ToldPolicy:
        """The policy in parts, for a learner that goes on from it.

        Raises:
            UserError: If it has no bottleneck.
        """
        if not isinstance(self.network, BottleneckNetwork):
            raise UserError("an oracle with option bottleneck 0 has none to learn from: train one with --bottleneck 8")
        size, inputs = self.network.observation, self.spaces.observation
        actor, log_std = self.network.policy.linear_layers(self.network.actor.detach())
        return ToldPolicy(
            encoder=self.network.encoder,
            actor=actor,
            log_std=log_std,
            critic=self.network.critic,
            observations=self.observations.part(0, size),
            hidden=self.observations.part(size, inputs),
            names=self.spaces.revealed,
        )
