"""The output of an actor-critic, and actor-critics without memory."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple, Protocol

import torch
from torch import Tensor, nn

from robometa.nn.networks import GaussianPolicy, Linear, Perceptron

LAST_LAYER = 0.01
"""Factor on the initial weights of the policy's last layer; the first actions are near zero everywhere."""


class Network(nn.Module):
    """Actions and predicted return from the observation alone."""

    def __init__(
        self, observation: int, action: int, hidden: Sequence[int], initial_std: float, generator: torch.Generator
    ) -> None:
        """Initialises the weights. The policy's parameters are one vector, so that a task can have a copy."""
        super().__init__()
        self.policy = GaussianPolicy(observation, action, hidden)
        start = self.policy.initial(generator, initial_std)
        # The weights and biases of the last layer lie before the standard deviation.
        into, out = self.policy.layers[-1]
        start[-(into * out + out + action) : -action] *= LAST_LAYER
        self.actor = nn.Parameter(start)
        self.critic = Perceptron((observation, *hidden, 1), generator, nn.Tanh)

    def known(self, obs: Tensor) -> Tensor:
        """Part of an observation that policy and value read: all of it. `[..., obs]`."""
        return obs

    def forward(self, obs: Tensor) -> Output:
        """Actions and values along episodes. `[n, time, obs]`."""
        known = self.known(obs)
        mean, log_std = self.policy.distribution(self.actor, known)
        return Output(mean, log_std, self.critic(known)[..., 0])


class PerceptronActorCritic(nn.Module):
    """Actions and values from two perceptrons on all information at a step."""

    def __init__(
        self,
        inputs: int,
        action: int,
        hidden: Sequence[int],
        initial_std: float,
        generator: torch.Generator,
        *,
        glorot: bool = False,
    ) -> None:
        """Initialises the weights, the actor's as `initial_actor` does if `glorot`; the first actions are near zero."""
        super().__init__()
        widths = (inputs, *hidden, action)
        self.actor = (
            initial_actor(widths, generator) if glorot else Perceptron(widths, generator, nn.Tanh, last_limit=1e-3)
        )
        self.critic = Perceptron((inputs, *hidden, 1), generator, nn.Tanh)
        self.log_std = nn.Parameter(torch.full((action,), initial_std).log())

    def forward(self, known: Tensor) -> Output:
        """Actions and values along trials. `[n, time, inputs]`."""
        return Output(self.actor(known), self.log_std, self.critic(known)[..., 0])


def initial_actor(widths: Sequence[int], generator: torch.Generator) -> Perceptron:
    """A perceptron of tanh layers that gives the mean of actions, with the initial weights of `GaussianPolicy`.

    Glorot-uniform weights, zero biases, and a last layer of a hundredth. With PyTorch's own weights, which are smaller,
    RMA's phase one learned more slowly (docs/learners/rma.md).
    """
    actor = Perceptron(widths, generator, nn.Tanh)
    layers = [layer for layer in actor if isinstance(layer, Linear)]
    for layer in layers:
        nn.init.xavier_uniform_(layer.weight, LAST_LAYER if layer is layers[-1] else 1.0, generator)
        nn.init.zeros_(layer.bias)
    return actor


class Output(NamedTuple):
    """Output of an actor-critic on sequences."""

    mean: Tensor
    """Mean of the actions. `[n, time, action]`"""
    log_std: Tensor
    """Log standard deviation of the actions; broadcasts against the mean."""
    value: Tensor
    """Predicted return, normalised. `[n, time]`"""


class ActorCritic(Protocol):
    """A network that `update` can train."""

    def __call__(self, *inputs: Tensor) -> Output:
        """Actions and values on sequences. `[n, time, ...]` each."""

    def parameters(self) -> Iterator[nn.Parameter]:
        """Trainable parameters."""
