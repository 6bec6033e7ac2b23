"""Charge for a simulation that diverges, so that blowing up never pays, however negative honest rewards are."""

from __future__ import annotations

import torch
from torch import Tensor

MIN_STEPS_CHARGED = 100
"""Least number of steps charged: what a discount of 0.99 counts of an endless episode."""


def steps_charged(horizon: int) -> int:
    """Number of steps that a divergence is charged for: a whole episode, or `MIN_STEPS_CHARGED` if that is shorter.

    The steps that are left would not do: a learner that bootstraps at the time limit expects rewards beyond it.
    """
    return max(horizon, MIN_STEPS_CHARGED)


def charged(reward: Tensor, diverged: Tensor, worst_reward: Tensor) -> Tensor:
    """Rewards of a rollout, with the charge in the place of the reward wherever the simulation diverged.

    The charge is `steps_charged` times the worst reward: the bound, or a lower reward of an honest step of the same
    task in the same rollout. It depends on nothing but the task's own worlds.

    Args:
        reward: The engine's rewards; 0 where the simulation diverged. `[task, world, time]`
        diverged: `[task, world, time]`, bool
        worst_reward: The engine's bound, below 0. `[task]`

    Returns:
        `[task, world, time]`
    """
    worst = torch.minimum(reward.flatten(1).amin(dim=1), worst_reward)
    charge = steps_charged(reward.shape[-1]) * worst
    return torch.where(diverged, charge[:, None, None], reward)


def charged_step(reward: Tensor, diverged: Tensor, worst_reward: Tensor, horizon: int) -> Tensor:
    """Rewards of one step of an engine, with the charge by the bound alone. `[task, world]`."""
    return torch.where(diverged, steps_charged(horizon) * worst_reward[:, None], reward)
