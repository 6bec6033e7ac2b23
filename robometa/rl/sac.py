"""Soft actor-critic with a fixed temperature (Haarnoja et al. 2018, https://arxiv.org/abs/1812.05905).

Every part takes the policy's inputs besides the observation as `given`: a latent task variable, or nothing.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Sequence
from typing import Protocol

import torch
from torch import Tensor, nn
from torch.nn import functional

from robometa.data import Spaces
from robometa.nn.networks import Perceptron, normal_log_density
from robometa.nn.state import Parts
from robometa.rl.learning_rate import adam, decayed, steps_taken
from robometa.rl.replay import Transitions


class Options(Protocol):
    """Options of learners with a soft actor-critic."""

    @property
    def hidden(self) -> tuple[int, ...]:
        """Widths of the hidden layers of actor and critics."""

    @property
    def gradient_steps(self) -> int:
        """Gradient steps of an iteration."""

    @property
    def learning_rate(self) -> float:
        """Initial learning rate of Adam."""

    @property
    def final_learning_rate(self) -> float:
        """Final learning rate of Adam."""

    @property
    def decay_begin(self) -> int:
        """First iteration of the learning rate's linear decay."""

    @property
    def decay_end(self) -> int:
        """Last iteration of the decay."""

    @property
    def discount(self) -> float:
        """Discount per step."""

    @property
    def target_rate(self) -> float:
        """Interpolation rate of the target critics towards the critics at every step."""

    @property
    def reward_scale(self) -> float:
        """Factor on rewards."""

    @property
    def temperature(self) -> float:
        """Weight of the policy's entropy."""


class Actor(Perceptron):
    """Tanh-squashed Gaussian policy with actions in -1..1."""

    def __init__(self, inputs: int, action: int, hidden: Sequence[int], generator: torch.Generator) -> None:
        """Initialises the weights; the mean is close to 0 everywhere."""
        super().__init__((inputs, *hidden, 2 * action), generator, last_limit=1e-3)

    def distribution(self, obs: Tensor, *given: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and log standard deviation before the squashing. `[..., action]` each."""
        mean, log_std = self(torch.cat((obs, *given), dim=-1)).chunk(2, dim=-1)
        return mean, log_std.clamp(-20, 2)

    def action(self, noise: Tensor, obs: Tensor, *given: Tensor) -> Tensor:
        """Action from noise; zero noise gives the squashed mean. `[..., action]`."""
        mean, log_std = self.distribution(obs, *given)
        return torch.tanh(mean + log_std.exp() * noise)

    def sample(self, noise: Tensor, obs: Tensor, *given: Tensor) -> tuple[Tensor, Tensor]:
        """An action, and its log density. `[..., action]`, `[...]`."""
        mean, log_std = self.distribution(obs, *given)
        output = mean + log_std.exp() * noise  # reparametrised: the gradient goes through mean and deviation
        # Change of variables by tanh: log(1 - tanh(x)^2), written so that it does not underflow.
        squash = 2 * (math.log(2) - output - functional.softplus(-2 * output)).sum(dim=-1)
        return torch.tanh(output), normal_log_density(output, mean, log_std) - squash


class Critics(nn.ModuleList):
    """Twin critics; their minimum counters overestimation, which the policy would exploit."""

    def __init__(self, inputs: int, hidden: Sequence[int], generator: torch.Generator) -> None:
        """Initialises two critics with different weights."""
        super().__init__(Perceptron((inputs, *hidden, 1), generator, last_limit=3e-3) for _ in range(2))

    def forward(self, obs: Tensor, action: Tensor, *given: Tensor) -> Tensor:
        """Each critic's value of an action. `[critic, ...]`."""
        x = torch.cat((obs, action, *given), dim=-1)
        return torch.stack([critic(x)[..., 0] for critic in self])


class SoftActorCritic:
    """Actor, twin critics, target critics, and the optimizers."""

    def __init__(
        self, spaces: Spaces, given: int, options: Options, generator: torch.Generator, device: torch.device
    ) -> None:
        """Initialises the networks; the targets equal the critics.

        Args:
            spaces: Sizes of observations and actions.
            given: Width of the policy's inputs besides the observation.
            options: Options of the learner.
            generator: Draws the weights.
            device: Device of the networks.
        """
        self.options = options
        self.actor = Actor(spaces.observation + given, spaces.action, options.hidden, generator).to(device)
        self.critics = Critics(spaces.observation + spaces.action + given, options.hidden, generator).to(device)
        self.targets = copy.deepcopy(self.critics).requires_grad_(False)
        self.actor_optimizer = adam(self.actor, options.learning_rate, device)
        self.critic_optimizer = adam(self.critics, options.learning_rate, device)

    @torch.no_grad()
    def target(self, batch: Transitions, noise: Tensor, *given: Tensor) -> Tensor:
        """Soft Bellman target: scaled reward, and the discounted soft value of the next observation. `[...]`."""
        # Soft value of the next state: the smaller target critic, and the entropy.
        next_action, log_density = self.actor.sample(noise, batch.next_obs, *given)
        next_value = self.targets(batch.next_obs, next_action, *given).amin(dim=0)
        next_value -= self.options.temperature * log_density
        # Only a termination ends the sum of rewards; a time limit does not.
        goes_on = self.options.discount * (1 - batch.terminated[..., 0])
        target: Tensor = self.options.reward_scale * batch.reward[..., 0] + goes_on * next_value
        return target

    def critic_loss(self, batch: Transitions, target: Tensor, *given: Tensor) -> Tensor:
        """Squared error of the critics, mean over transitions, summed over critics. `[]`."""
        error = self.critics(batch.obs, batch.action, *given) - target  # [critic, ...]
        return error.square().mean(dim=tuple(range(1, error.dim()))).sum()

    def actor_step(self, obs: Tensor, noise: Tensor, *given: Tensor) -> tuple[Tensor, Tensor]:
        """Takes a gradient step of the actor, and returns its loss and entropy. `[]` each."""
        action, log_density = self.actor.sample(noise, obs, *given)
        # The gradient passes through the critics to the action, and leaves the critics as they are.
        self.critics.requires_grad_(False)
        value = self.critics(obs, action, *given).amin(dim=0)
        self.critics.requires_grad_(True)
        loss = (self.options.temperature * log_density - value).mean()
        self.actor_optimizer.zero_grad()
        loss.backward()
        self.actor_optimizer.step()
        return loss, -log_density.mean()

    @torch.no_grad()
    def move_targets(self) -> None:
        """Updates the targets as exponential moving averages of the critics."""
        targets, critics = tuple(self.targets.parameters()), tuple(self.critics.parameters())
        torch._foreach_lerp_(targets, critics, self.options.target_rate)

    def parts(self) -> Parts:
        """The networks and optimizers by the names of their states."""
        return {
            "actor": self.actor,
            "training/critics": self.critics,
            "training/targets": self.targets,
            "training/actor_optimiser": self.actor_optimizer,
            "training/critic_optimiser": self.critic_optimizer,
        }

    def learning_rate(self) -> float:
        """Learning rate of the next iteration, by the gradient steps taken."""
        options = self.options
        past = steps_taken(self.actor_optimizer) / options.gradient_steps - options.decay_begin
        share = past / max(options.decay_end - options.decay_begin, 1)
        return decayed(options.learning_rate, options.final_learning_rate, share)
