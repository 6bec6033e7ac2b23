"""Statistics of scores: interquartile means and means, with bootstrap intervals."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray


def words_of(interval: dict[str, Any]) -> str:
    """Formats an interquartile mean and its interval, such as `-61.2 [-63.0, -59.1]`."""
    if interval["low"] is None:
        return f"{interval['interquartile_mean']:.1f}"
    return f"{interval['interquartile_mean']:.1f} [{interval['low']:.1f}, {interval['high']:.1f}]"


def words_of_gain(gain: dict[str, Any] | None) -> str:
    """Formats a mean return after adapting minus the control's, such as `+12.3 [10.1, 14.5]`; empty if there is none.

    Args:
        gain: An entry `after_minus_control` of a report.
    """
    if gain is None or gain.get("mean") is None:
        return ""
    if gain.get("low") is None or gain.get("high") is None:
        return f"{gain['mean']:+.1f}"
    return f"{gain['mean']:+.1f} [{gain['low']:+.1f}, {gain['high']:+.1f}]"


RESAMPLES = 2000
CONFIDENCE = 0.95
Array = NDArray[np.float64]


def interquartile_mean(values: Sequence[Array], *, together: bool = False) -> tuple[float, float, float]:
    """Interquartile mean over all entries, and its stratified bootstrap interval: worlds resampled within each task.

    Args:
        values: `[task, world]`, or a row of any length for each task.
        together: Resample the same worlds for all tasks, if a column is one draw, such as a training seed.

    Returns:
        The mean of the middle half, and the interval's ends; both NaN if there is only one world. Source: Agarwal et
        al. 2021, https://arxiv.org/abs/2108.13264.
    """
    from scipy import stats  # takes more than a second to load

    return _bootstrapped(lambda all_, axis: stats.trim_mean(all_, 0.25, axis=axis), values, together)


def mean(values: Sequence[Array]) -> tuple[float, float, float]:
    """Mean over all entries, and its stratified bootstrap interval.

    Use it for success rates: the interquartile mean of outcomes 0 and 1 would be 0 at a rate of 25 %.

    Args:
        values: `[task, world]`, or a row of any length for each task.
    """
    return _bootstrapped(lambda all_, axis: np.mean(all_, axis=axis), values, False)


def _bootstrapped(
    statistic: Callable[[Array, int], Any], values: Sequence[Array], together: bool
) -> tuple[float, float, float]:
    """Computes a statistic over all entries, and its stratified bootstrap interval."""
    from scipy import stats

    def middle(*tasks: Array, axis: int = -1) -> Any:
        return statistic(np.concatenate(tasks, axis=axis), axis)

    if min(len(task) for task in values) < 2:
        return float(middle(*values)), float("nan"), float("nan")
    if max(np.ptp(task) for task in values) == 0:  # nothing to resample
        return float(middle(*values)), float(middle(*values)), float(middle(*values))
    with warnings.catch_warnings():
        # Where every resample gives one number, the interval is that number; SciPy warns of a method not used here.
        warnings.simplefilter("ignore", stats.DegenerateDataWarning)
        sampled = stats.bootstrap(
            tuple(values),
            middle,
            n_resamples=RESAMPLES,
            batch=200,
            confidence_level=CONFIDENCE,
            paired=together,
            method="percentile",
            rng=np.random.default_rng(0),
        )
    return float(middle(*values)), float(sampled.confidence_interval.low), float(sampled.confidence_interval.high)
