"""What learners with a memory make of whole trials (Duan et al. 2016, https://arxiv.org/abs/1611.02779)."""

from __future__ import annotations

import torch
from torch import Tensor

from robometa import ppo
from robometa.data import Step, Trial
from robometa.networks import normal_log_density
from robometa.normaliser import Normaliser
from robometa.returns import generalised_advantages


def inputs(step: Step, observations: Normaliser, rewards: Normaliser) -> Tensor:
    """What a memory takes of a step: observation, and the action, reward and end before. `[..., obs + action + 2]`"""
    obs, reward = observations(step.obs), rewards(step.last_reward.unsqueeze(-1))
    return torch.cat((obs, step.last_action, reward, step.last_done.unsqueeze(-1).float()), dim=-1)


def experience(
    trial: Trial, taken: tuple[Tensor, ...], old: ppo.Output, returns: Normaliser, options: ppo.Options
) -> ppo.Experience:
    """What PPO learns from whole trials.

    A trial goes on where an episode ends, and at its own end the value of what would follow is known. Returns that
    stopped with the episode would never credit finding out what the next one needs. What counts is the first episode of
    each rollout, as in evaluation: a robot that falls has lost what is left of it, though its world begins another. A
    step at which the simulation diverged is not learned from, and nothing before it is credited with what comes after.

    Args:
        trial: What happened.
        taken: What the network takes of each trial. `[task * world, time or pieces, ...]`
        old: What the network that acted says, after the last step too. `[task * world, time + 1]`
        returns: What the network's values stand for; takes in the returns found here.
        options: Discount and lambda.
    """
    whole = trial.joined()
    action, blown_up = whole.action.flatten(0, 1), whole.blown_up()
    diverged = None if blown_up is None else blown_up.flatten(0, 1)
    counted = [rollout.reward * rollout.first_episode() for rollout in trial.rollouts]
    reward = torch.cat(counted, dim=2).flatten(0, 1)
    value = returns.undo(old.value)
    nowhere = torch.zeros_like(reward, dtype=torch.bool)
    advantage = generalised_advantages(
        reward, value[:, :-1], value[:, 1:], nowhere, nowhere, options.discount, options.gae_lambda, diverged
    )
    target = advantage + value[:, :-1]
    sound = slice(None) if diverged is None else ~diverged
    returns.include(target[sound])
    return ppo.Experience(
        inputs=taken,
        action=action,
        log_density=normal_log_density(action, old.mean[:, :-1], old.log_std),
        advantage=(advantage - advantage[sound].mean()) / (advantage[sound].std() + 1e-8),
        target=returns(target),
        weight=None if diverged is None else (~diverged).to(advantage),
    )
