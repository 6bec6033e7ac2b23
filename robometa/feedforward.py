"""A policy and a value without memory, and what PPO learns from whole episodes of them."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from robometa import ppo
from robometa.data import Rollout
from robometa.networks import GaussianPolicy, Perceptron, normal_log_density
from robometa.normaliser import Normaliser
from robometa.returns import generalised_advantages

LAST_LAYER = 0.01
"""Factor on the initial weights of the policy's last layer: it begins near zero actions, wherever it is."""


class Network(nn.Module):
    """What to do and how much return to expect, from the observation alone."""

    def __init__(
        self, observation: int, action: int, hidden: Sequence[int], initial_std: float, generator: torch.Generator
    ) -> None:
        """Untrained. The policy's parameters are one vector, so that a task can have a copy of them."""
        super().__init__()
        self.policy = GaussianPolicy(observation, action, hidden)
        start = self.policy.initial(generator, initial_std)
        into, out = self.policy.layers[-1]
        start[-(into * out + out + action) : -action] *= LAST_LAYER
        self.actor = nn.Parameter(start)
        self.critic = Perceptron((observation, *hidden, 1), generator, nn.Tanh)

    def forward(self, obs: Tensor) -> ppo.Output:
        """What it says along episodes. `[n, time, obs]`"""
        mean, log_std = self.policy.distribution(self.actor, obs)
        return ppo.Output(mean, log_std, self.critic(obs)[..., 0])


def experience(
    network: Network, rollout: Rollout, observations: Normaliser, returns: Normaliser, options: ppo.Options
) -> ppo.Experience:
    """What PPO learns from a rollout whose episodes each stand for themselves.

    Nothing follows a termination; where the time limit cut an episode its value goes on, and so it does where the
    simulation diverged: that step itself is not learned from.

    Args:
        network: The one that acted.
        rollout: Its experience.
        observations: What the network sees goes through it.
        returns: What the network's values stand for; takes in the returns found here.
        options: Discount and lambda.
    """
    obs, action = observations(rollout.obs).flatten(0, 1), rollout.action.flatten(0, 1)  # [task * world, time, ...]
    old = ppo.outputs(network, obs)
    value = returns.undo(old.value).unflatten(0, rollout.reward.shape[:2])
    diverged = rollout.blown_up()
    following = ppo.outputs(network, observations(rollout.next_obs).flatten(0, 1)).value
    advantage = generalised_advantages(
        rollout.reward,
        value,
        returns.undo(following).unflatten(0, rollout.reward.shape[:2]),
        rollout.terminated,
        rollout.truncated,
        options.discount,
        options.gae_lambda,
        diverged,
    )
    target = advantage + value
    counted = slice(None) if diverged is None else ~diverged
    returns.include(target[counted])
    learned = ppo.Experience(
        inputs=(obs,),
        action=action,
        log_density=normal_log_density(action, old.mean, old.log_std),
        advantage=((advantage - advantage[counted].mean()) / (advantage[counted].std() + 1e-8)).flatten(0, 1),
        target=returns(target).flatten(0, 1),
        weight=None if diverged is None else (~diverged).to(advantage).flatten(0, 1),
    )
    # What is learned of a step does not depend on those around it: short pieces mix well.
    return ppo.shortened(learned)
