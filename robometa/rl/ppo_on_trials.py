"""What learners with a memory make of whole trials (Duan et al. 2016, https://arxiv.org/abs/1611.02779)."""

from __future__ import annotations

import torch
from torch import Tensor

from robometa.data import Step, Trial
from robometa.nn.actor_critic import Output
from robometa.nn.networks import normal_log_density
from robometa.nn.normalizer import Normalizer
from robometa.rl import ppo


def inputs(step: Step, observations: Normalizer, rewards: Normalizer) -> Tensor:
    """What a memory takes of a step: observation, and the action, reward and end before. `[..., obs + action + 2]`"""
    obs, reward = observations(step.obs), rewards(step.last_reward.unsqueeze(-1))
    return torch.cat((obs, step.last_action, reward, step.last_done.unsqueeze(-1).float()), dim=-1)


def experience(
    trial: Trial, taken: tuple[Tensor, ...], old: Output, returns: Normalizer, options: ppo.Options
) -> ppo.Experience:
    """What PPO learns from whole trials.

    A trial goes on where an episode ends, and at its own end the value of what would follow is known. Returns that
    stopped with the episode would never credit finding out what the next one needs. What counts is the first episode of
    each rollout, as in evaluation: a robot that falls has lost what is left of it, though its world begins another.
    That one is seen, but not learned from, or the critic would take a start that is paid for one that is not. A step at
    which the simulation diverged is not learned from, and nothing before it is credited with what comes after.

    Args:
        trial: What happened.
        taken: What the network takes of each trial. `[task * world, time or pieces, ...]`
        old: What the network that acted says, after the last step too. `[task * world, time + 1]`
        returns: What the network's values stand for; takes in the returns found here.
        options: Discount and lambda.
    """
    whole = trial.joined()
    action, diverged = whole.action.flatten(0, 1), whole.diverged.flatten(0, 1)
    paid = torch.cat([rollout.first_episode() for rollout in trial.rollouts], dim=2).flatten(0, 1)
    goes_on = paid[:, -1] & ~whole.terminated[:, :, -1].flatten()
    value = returns.undo(old.value)
    advantage = credited(
        whole.reward.flatten(0, 1), value, paid, goes_on, diverged, options.discount, options.gae_lambda
    )
    target = advantage + value[:, :-1]
    sound = paid & ~diverged
    returns.include(target[sound])
    return ppo.Experience(
        inputs=taken,
        action=action,
        log_density=normal_log_density(action, old.mean[:, :-1], old.log_std),
        advantage=(advantage - advantage[sound].mean()) / (advantage[sound].std() + 1e-8),
        target=returns(target),
        weight=None if bool(sound.all()) else sound / sound.to(advantage).mean(),
    )


def credited(
    reward: Tensor,
    value: Tensor,
    paid: Tensor,
    goes_on: Tensor,
    diverged: Tensor,
    discount: float,
    gae_lambda: float,
) -> Tensor:
    """Generalised advantage estimates along trials, over what is paid and past what is not.

    delta_t = r_t + discount^n * V_s - V_t and A_t = delta_t + discount^n * gae_lambda * A_s, where s is the next step
    that is paid, n steps later: what is not paid only takes time. Where a simulation diverged it is as if the time
    limit had come before.

    Args:
        reward: `[trial, time]`
        value: Predicted return before each action, and after the last. `[trial, time + 1]`
        paid: Which steps count. `[trial, time]`, bool
        goes_on: Whether what counts goes on after the trial. `[trial]`, bool
        diverged: Where the simulation blew up. `[trial, time]`, bool
        discount: Per step, in (0, 1].
        gae_lambda: In 0..1.
    Returns: 0 for steps that do not count. `[trial, time]`
    """
    result = torch.empty_like(reward)
    running, ahead = torch.zeros_like(reward[:, 0]), torch.where(goes_on, value[:, -1], 0.0)
    blown_up = (paid & diverged).unbind(dim=1) if bool(diverged.any()) else None
    for time in reversed(range(reward.shape[1])):
        counts, here = paid[:, time], value[:, time]
        delta = reward[:, time] + discount * ahead - here
        running = torch.where(counts, delta + discount * gae_lambda * running, discount * running)
        ahead = torch.where(counts, here, discount * ahead)
        if blown_up is not None:
            running = running.masked_fill(blown_up[time], 0.0)
        result[:, time] = running
    return result * paid
