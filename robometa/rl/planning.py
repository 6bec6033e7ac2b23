"""Planning in a model by sampling: random shooting and the cross-entropy method."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

Score = Callable[[Tensor], Tensor]
"""Value of action sequences. `[world, candidate, time, action] -> [world, candidate]`"""


def best_of(score: Score, draws: Tensor) -> Tensor:
    """Random shooting: the best of action sequences drawn uniformly from -1..1. `[world, time, action]`.

    Args:
        score: Value of sequences.
        draws: Standard normal numbers. `[world, candidate, time, action]`
    """
    # The normal distribution function maps normal to uniform numbers.
    candidates = torch.erf(draws / 2**0.5)
    return chosen(candidates, score(candidates), 1)[:, 0]


def cross_entropy(score: Score, mean: Tensor, draws: Tensor, std: float, elites: int) -> Tensor:
    """Cross-entropy method: mean of a normal distribution that each round refits to its best samples.

    Args:
        score: Value of sequences.
        mean: Initial mean. `[world, time, action]`
        draws: Standard normal numbers. `[round, world, candidate, time, action]`
        std: Standard deviation in the first round.
        elites: Number of best samples in a fit.

    Returns:
        `[world, time, action]`, in -1..1. Source: Botev et al. 2013, "The cross-entropy method for optimization"; with
        a diagonal covariance.
    """
    spread = torch.full_like(mean, std)
    for draw in draws:
        # Sample, score, refit to the elites. [world, candidate, time, action]
        candidates = (mean.unsqueeze(1) + spread.unsqueeze(1) * draw).clamp(-1, 1)
        best = chosen(candidates, score(candidates), elites)
        variance, mean = torch.var_mean(best, dim=1, correction=0)
        spread = variance.sqrt()
    return mean


def planned(planner: str, score: Score, plan: Tensor, draws: Tensor, std: float, elites: int) -> Tensor:
    """Plans the next actions. `[world, time, action]`.

    Args:
        planner: `cem` or `shooting`; the latter uses the first round's draws only, and no initial plan.
        score: Value of sequences.
        plan: As `mean` of `cross_entropy`.
        draws: As for `cross_entropy`.
        std: As for `cross_entropy`.
        elites: As for `cross_entropy`.
    """
    return best_of(score, draws[0]) if planner == "shooting" else cross_entropy(score, plan, draws, std, elites)


def extended(plan: Tensor) -> Tensor:
    """Plan shifted by one step, with its last action repeated at its end. `[..., time, action]`."""
    return torch.cat((plan[..., 1:, :], plan[..., -1:, :]), dim=-2)


def shifted(plan: Tensor) -> Tensor:
    """Plan shifted by one step, with zeros at its end. `[task, world, time, action]`."""
    return torch.cat((plan[:, :, 1:], torch.zeros_like(plan[:, :, :1])), dim=2)


def chosen(candidates: Tensor, value: Tensor, count: int) -> Tensor:
    """Candidates of the highest values in each world; values that are not finite rank last. `[world, count, ...]`."""
    value = torch.where(value.isfinite(), value, -torch.inf)  # an overflow ranks with NaN
    places = value.topk(count, dim=1).indices
    return candidates[torch.arange(len(value), device=value.device).unsqueeze(1), places]
