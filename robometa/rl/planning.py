"""Planning by trial in a model: sequences of actions are scored, and the best of them followed."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

Score = Callable[[Tensor], Tensor]
"""What sequences of actions `[world, candidate, time, action]` are worth. `[world, candidate]`"""


def best_of(score: Score, draws: Tensor) -> Tensor:
    """The best of sequences of actions drawn uniformly from -1..1: random shooting. `[world, time, action]`.

    Args:
        score: What sequences are worth.
        draws: Standard normal numbers. `[world, candidate, time, action]`
    """
    # The normal distribution function makes uniform numbers of normal ones.
    candidates = torch.erf(draws / 2**0.5)
    return _chosen(candidates, score(candidates), 1)[:, 0]


def cross_entropy(score: Score, mean: Tensor, draws: Tensor, std: float, elites: int) -> Tensor:
    """The mean of a normal distribution of sequences, after it was fitted to the best of its own in every round.

    Args:
        score: What sequences are worth.
        mean: Where to begin. `[world, time, action]`
        draws: Standard normal numbers. `[round, world, candidate, time, action]`
        std: Standard deviation in the first round.
        elites: How many of the best it is fitted to.

    Returns:
        `[world, time, action]`, in -1..1. Source: Botev et al. 2013, "The cross-entropy method for optimization"; with
        a diagonal covariance.
    """
    spread = torch.full_like(mean, std)
    for draw in draws:
        # Sample, score, refit to the elites. [world, candidate, time, action]
        candidates = (mean.unsqueeze(1) + spread.unsqueeze(1) * draw).clamp(-1, 1)
        best = _chosen(candidates, score(candidates), elites)
        variance, mean = torch.var_mean(best, dim=1, correction=0)
        spread = variance.sqrt()
    return mean


def planned(planner: str, score: Score, plan: Tensor, draws: Tensor, std: float, elites: int) -> Tensor:
    """The actions to take from here on. `[world, time, action]`.

    Args:
        planner: `cem` or `shooting`; the latter takes the first round only, and no plan to begin with.
        score: Value of sequences.
        plan: As `mean` of `cross_entropy`.
        draws: As for `cross_entropy`.
        std: As for `cross_entropy`.
        elites: As for `cross_entropy`.
    """
    return best_of(score, draws[0]) if planner == "shooting" else cross_entropy(score, plan, draws, std, elites)


def shifted(plan: Tensor) -> Tensor:
    """The plan one step later, with zeros at its end. `[task, world, time, action]`."""
    return torch.cat((plan[:, :, 1:], torch.zeros_like(plan[:, :, :1])), dim=2)


def _chosen(candidates: Tensor, value: Tensor, count: int) -> Tensor:
    """The most valuable candidates of each world; a value that is no number is the least. `[world, count, ...]`."""
    value = torch.where(value.isfinite(), value, -torch.inf)  # what overflows is no better than what is no number
    places = value.topk(count, dim=1).indices
    return candidates[torch.arange(len(value), device=value.device).unsqueeze(1), places]
