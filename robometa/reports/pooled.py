"""Statistics over the seeds of a learner. Source: Agarwal et al. 2021, https://arxiv.org/abs/2108.13264.

Arrays are `[seed, task, world]`. With several seeds a resample draws seeds, the same ones for all tasks, as a seed is
one training. With one seed it draws the episodes within each task: such an interval says nothing of other seeds.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from robometa.reports.statistics import CONFIDENCE, RESAMPLES, Array, interquartile_mean

BATCH = 200
"""Resamples that are computed at once."""


@dataclass(frozen=True)
class Interval:
    """A statistic and the ends of its bootstrap interval; both ends are None if there is nothing to resample."""

    middle: float
    low: float | None
    high: float | None

    def words(self, digits: int = 1) -> str:
        """In words, such as `-61.2 [-63.0, -59.1]`."""
        if self.low is None or self.high is None:
            return f"{self.middle:.{digits}f}"
        return f"{self.middle:.{digits}f} [{self.low:.{digits}f}, {self.high:.{digits}f}]"


def goals_joined(values: Array, names: Sequence[str]) -> Array:
    """Means over the goals of each task, in a suite with several goals per task; else the values. `[..., task, world]`.

    Args:
        values: `[..., task, world]`
        names: Name of each task's goal; none in other suites. `[task]`
    """
    if not names:
        return values
    where = [[index for index, other in enumerate(names) if other == name] for name in dict.fromkeys(names)]
    return np.stack([values[..., places, :].mean(axis=-2) for places in where], axis=-2)


def interquartile(values: Array, names: Sequence[str] = ()) -> Interval:
    """Interquartile mean over all episodes, of the goals' means where tasks have several goals.

    Args:
        values: `[seed, task, world]`
        names: Name of each task, where several goals are of one task. `[task]`
    """
    cells = values.mean(axis=2) if names else values.reshape(len(values), -1)  # [seed, cell]
    if len(cells) == 1:
        places = [[index for index, other in enumerate(names) if other == name] for name in dict.fromkeys(names)]
        strata = [cells[0][some] for some in places] if names else list(values[0])
        return _interval(*interquartile_mean(strata))
    from scipy import stats

    # Resamples of a few seeds repeat, and their order does not matter.
    drawn = np.sort(_generator().integers(len(cells), size=(RESAMPLES, len(cells))), axis=1)
    unique, where = np.unique(drawn, axis=0, return_inverse=True)
    resampled = np.array([stats.trim_mean(cells[some].ravel(), 0.25) for some in unique])[where.ravel()]
    return _with_ends(float(stats.trim_mean(cells.ravel(), 0.25)), resampled)


def mean(values: Array) -> Interval:
    """Mean over all episodes, such as of successes. `[seed, task, world]`."""
    resampled = np.concatenate([some.mean(axis=(1, 2, 3)) for some in _resampled(values)])
    return _with_ends(float(values.mean()), resampled if _can_resample(values) else None)


def improvement(first: Array, second: Array) -> Interval:
    """Probability that a seed of the first scores more than one of the second on a task, mean over tasks.

    A seed's score on a task is its mean over the episodes; equal scores count half.

    Args:
        first: `[seed, task, world]`
        second: The same tasks; seeds and worlds may be others.
    """
    middle = _share_above(first[None].mean(axis=3), second[None].mean(axis=3))[0]
    if not (_can_resample(first) and _can_resample(second)):
        return Interval(float(middle), None, None)
    pairs = zip(_resampled(first, seed=1), _resampled(second, seed=2), strict=True)
    return _with_ends(
        float(middle), np.concatenate([_share_above(one.mean(axis=3), other.mean(axis=3)) for one, other in pairs])
    )


def band(values: Array) -> tuple[Array, Array, Array]:
    """Mean over seeds at every point of a curve, and the ends of its interval. `[seed, point]` to three `[point]`."""
    picks = _generator().integers(len(values), size=(RESAMPLES, len(values)))
    unique, counts = np.unique(np.sort(picks, axis=1), axis=0, return_counts=True)
    means = values[unique].mean(axis=1)
    low, high = np.quantile(np.repeat(means, counts, axis=0), ((1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2), axis=0)
    return values.mean(axis=0), low, high


def _share_above(first: Array, second: Array) -> Array:
    """Share of the pairs in which the first is above, mean over tasks: `[resample, seed, task]` to `[resample]`."""
    difference = first[:, :, None] - second[:, None]
    return ((difference > 0) + 0.5 * (difference == 0)).mean(axis=(1, 2, 3))


def _resampled(values: Array, seed: int = 0) -> Iterator[Array]:
    """Resamples in batches. `[resample, seed, task, world]`."""
    generator = np.random.default_rng(seed)
    seeds, tasks, worlds = values.shape
    for _ in range(0, RESAMPLES, BATCH):
        if seeds > 1:
            yield values[generator.integers(seeds, size=(BATCH, seeds))]
        else:
            places = generator.integers(worlds, size=(BATCH, 1, tasks, worlds))
            yield np.take_along_axis(values[None], places, axis=3)


def _can_resample(values: Array) -> bool:
    return values.shape[0] > 1 or values.shape[2] > 1


def _generator() -> np.random.Generator:
    return np.random.default_rng(0)


def _interval(middle: float, low: float, high: float) -> Interval:
    return Interval(middle, None, None) if np.isnan(low) else Interval(middle, low, high)


def _with_ends(middle: float, resampled: Array | None) -> Interval:
    """The interval that holds the middle part of the resampled statistics."""
    if resampled is None:
        return Interval(middle, None, None)
    low, high = np.quantile(resampled, ((1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2))
    return Interval(middle, float(low), float(high))
