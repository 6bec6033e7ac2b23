"""Scores of an evaluation, and how to make them from rollouts."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from robometa.data import Rollout
from robometa.reports import since_change
from robometa.reports.since_change import SinceChange
from robometa.reports.statistics import Array, interquartile_mean

STRETCHES = 20
"""Number of stretches of an episode that rewards are averaged over; a shorter episode has one per step."""


@dataclass(frozen=True)
class Scores:
    """One episode of every task in every world after every shot."""

    returns: Array
    """Undiscounted return of the episode; if it diverged, what `judged` puts there. `[shot, task, world]`"""
    success: Array
    """1 where the success condition was met at the episode's last step. `[shot, task, world]`"""
    success_any_step: Array
    """1 where it was met at any step of the episode, unless the episode diverged. `[shot, task, world]`"""
    episodes: Array
    """Number of episodes that each world began in the rollout; above 1 if they end early. `[shot, task, world]`"""
    spoilt: Array
    """1 where the episode diverged. `[shot, task, world]`"""
    diverged: int
    """Number of simulation steps that diverged, those of episodes that are not scored included."""
    quarters: Array | None = None
    """Returns of the episode's first and last quarter, NaN if it diverged. `[shot, task, world, 2]`; None if not
    measured"""
    pace: Array | None = None
    """Mean reward of a step in each stretch of the episode, NaN after its end or if it diverged. `[shot, task, world,
    stretch]`; None if not measured"""
    steps: int = 0
    """Steps of a rollout."""
    lasted: Array | None = None
    """1 where the episode lasted to the time limit: the robot did not fall, say. `[shot, task, world]`; None if not
    measured"""
    on_target: Array | None = None
    """Share of a rollout's steps at which the first episode met the success condition; none count after its end.
    `[shot, task, world]`; None if not measured"""
    since_change: SinceChange | None = None
    """Rewards around the changes of tasks; None if they do not change, or it was not measured."""

    def mean_pace(self) -> float | None:
        """Mean reward of a step in the first shot's episodes; None if not measured."""
        if self.pace is None or np.isnan(self.pace[0]).all():
            return None
        return float(np.nanmean(self.pace[0]))

    def interquartile_mean(self, shot: int) -> tuple[float, float, float]:
        """Interquartile mean of the returns after a shot, and its stratified bootstrap interval."""
        return interquartile_mean(self.returns[shot])


def scores_of(rollouts: Sequence[Rollout]) -> Scores:
    """Computes the scores from one rollout per shot."""

    def stacked(measured: Callable[[Rollout], Any]) -> Array:
        return np.stack([measured(rollout).double().cpu().numpy() for rollout in rollouts])

    return Scores(
        returns=stacked(Rollout.episode_return),
        success=stacked(lambda rollout: (rollout.success & rollout.done & rollout.first_episode()).any(dim=-1)),
        success_any_step=stacked(Rollout.episode_success),
        episodes=stacked(lambda rollout: rollout.done.sum(dim=-1)),
        spoilt=stacked(Rollout.episode_diverged),
        diverged=sum(int(rollout.diverged.sum()) for rollout in rollouts),
        quarters=stacked(_quarters),
        pace=stacked(_pace),
        steps=rollouts[0].reward.shape[-1],
        lasted=stacked(lambda rollout: ~(rollout.terminated & rollout.first_episode()).any(dim=-1)),
        on_target=stacked(lambda rollout: (rollout.success & rollout.first_episode()).double().mean(dim=-1)),
    )


def _quarters(rollout: Rollout) -> Tensor:
    """Returns of the first and last quarter of each world's first episode, by its own length. `[task, world, 2]`."""
    first = rollout.first_episode()
    length = first.sum(dim=-1, keepdim=True)
    quarter = (length // 4).clamp(min=1)
    time = torch.arange(first.shape[-1], device=first.device)
    parts = (time < quarter, (time >= length - quarter) & (time < length))
    sums = torch.stack([(rollout.reward * part).sum(dim=-1) for part in parts], dim=-1)
    return sums.masked_fill(rollout.episode_diverged()[..., None], float("nan"))


def _pace(rollout: Rollout) -> Tensor:
    """Mean reward of a step in each stretch of each world's first episode. `[task, world, stretch]`."""
    first = rollout.first_episode() & ~rollout.episode_diverged()[..., None]
    time = first.shape[-1]
    stretches = min(STRETCHES, time)
    place = torch.arange(time, device=first.device) * stretches // time
    members = torch.nn.functional.one_hot(place, stretches).to(rollout.reward)  # [time, stretch]
    counts = first.to(rollout.reward) @ members
    return torch.where(counts > 0, (rollout.reward * first) @ members / counts, float("nan"))


def judged(scores: Scores, chance: Scores) -> Scores:
    """Scores with the worst return of random actions on the same task in the place of a diverged episode's.

    If every random episode of a task diverged, a diverged episode keeps the charge of training, which is below every
    honest return.

    Args:
        scores: As `scores_of` made them.
        chance: Scores of random actions on the same tasks, as `scores_of` made them. `[1, task, world]`
    """
    worst = np.where(chance.spoilt > 0, np.inf, chance.returns).min(axis=2, keepdims=True)  # [1, task, 1]
    instead = np.where(np.isfinite(worst), worst, scores.returns)
    return replace(scores, returns=np.where(scores.spoilt > 0, instead, scores.returns))


def joined(parts: Sequence[Scores], axis: int) -> Scores:
    """Concatenates scores along an axis: 0 of shots, 1 of tasks, 2 of worlds."""

    def along(name: str) -> Array:
        return np.concatenate([vars(part)[name] for part in parts], axis=axis)

    def measured(name: str) -> Array | None:
        return None if any(vars(part)[name] is None for part in parts) else along(name)

    return Scores(
        returns=along("returns"),
        success=along("success"),
        success_any_step=along("success_any_step"),
        episodes=along("episodes"),
        spoilt=along("spoilt"),
        diverged=sum(part.diverged for part in parts),
        quarters=measured("quarters"),
        pace=measured("pace"),
        steps=parts[0].steps,
        lasted=measured("lasted"),
        on_target=measured("on_target"),
        since_change=since_change.joined([part.since_change for part in parts]) if axis == 1 else None,
    )


def quarters_of(quarters: Array) -> tuple[float | None, float | None]:
    """Mean returns of the first and the last quarter over the episodes that did not diverge. `[task, world, 2]`."""
    sound = quarters[~np.isnan(quarters).any(axis=-1)]
    return (float(sound[:, 0].mean()), float(sound[:, 1].mean())) if len(sound) else (None, None)


def pace_of(pace: Array) -> list[float | None]:
    """Mean reward of a step in each stretch, over the episodes that lasted so long. `[task, world, stretch]`."""
    rows = pace.reshape(-1, pace.shape[-1])
    return [or_none(float(np.nanmean(one))) if not np.isnan(one).all() else None for one in rows.T]


def or_none(value: float) -> float | None:
    """The number, or None if it is not one: JSON has no NaN."""
    return None if math.isnan(value) else value
