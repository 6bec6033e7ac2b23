"""The gap closed between not adapting and an oracle, with an interval that includes the references' own uncertainty."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from robometa.reports.statistics import CONFIDENCE, RESAMPLES, Array

BATCH = 200
"""Resamples that are computed at once."""
TELLING = 0.1
"""Least lead of the oracle over no adaptation, as a fraction of its lead over random actions."""
STANDARD_ERRORS = 3.0
"""Least lead of the oracle over no adaptation, in standard errors of that lead."""
REFERENCES = ("oracle", "no-adaptation")
"""Learners that the scale is made of: they get no gap, because their own returns would define it."""


@dataclass(frozen=True)
class Sample:
    """Returns of one learner on a suite's tasks, to be resampled."""

    strata: Sequence[Array]
    """Returns of each task: of its episodes, or of the training seeds. `[task][draw]`"""
    together: bool = False
    """A draw is a training seed, the same for all tasks; otherwise an episode of its task."""

    def both_means(self) -> Array:
        """Interquartile mean and mean over all returns. `[2]`."""
        result: Array = _both_means(np.concatenate(self.strata)[None])[:, 0]
        return result

    def standard_error(self) -> float:
        """Standard error of the mean; NaN if a single draw does not say it."""
        if min(len(row) for row in self.strata) < 2:
            return float("nan")
        if self.together:
            means = np.mean(self.strata, axis=0)  # [seed]
            return float(np.std(means, ddof=1) / np.sqrt(len(means)))
        total = sum(len(row) for row in self.strata)
        return float(np.sqrt(sum(len(row) * np.var(row, ddof=1) for row in self.strata)) / total)

    def task_means(self) -> Array:
        """Mean of each task. `[task]`."""
        return np.array([np.mean(row) for row in self.strata])

    def task_errors(self) -> Array:
        """Standard error of each task's mean; NaN if a single draw does not say it. `[task]`."""
        return np.array(
            [np.std(row, ddof=1) / np.sqrt(len(row)) if len(row) > 1 else float("nan") for row in self.strata]
        )

    def resampled(self, seed: int) -> tuple[Array, Array]:
        """Bootstrap resamples: interquartile mean and mean, `[2, resample]`, and means of tasks, `[resample, task]`."""
        source = np.random.default_rng(seed)
        means, of_tasks = [], []
        for _ in range(RESAMPLES // BATCH):
            sizes = [len(row) for row in self.strata]
            picks = [source.integers(size, size=(BATCH, size)) for size in (sizes[:1] if self.together else sizes)]
            picks = picks * len(sizes) if self.together else picks
            rows = [np.asarray(row)[pick] for row, pick in zip(self.strata, picks, strict=True)]
            means.append(_both_means(np.concatenate(rows, axis=1)))
            of_tasks.append(np.stack([row.mean(axis=1) for row in rows], axis=1))
        return np.concatenate(means, axis=1), np.concatenate(of_tasks)


@dataclass(frozen=True)
class Reference:
    """Returns of a policy that does not adapt and of an oracle on a suite's held-out tasks."""

    unadapted: Sample
    oracle: Sample
    random: float | None
    """Mean return of random actions; None if it is to be taken from the report that is compared."""
    tasks: int
    """Number of tasks measured: all held-out tasks of the suite."""
    source: str
    """Origin of the returns, in words."""
    success: tuple[float | None, float | None] = (None, None)
    """Successes of no adaptation, by the end of an episode and at any step; None if not recorded."""
    oracle_pace: float | None = None
    """Mean reward of a step of the oracle; None if not recorded."""

    def obstacle(self, random: float | None = None) -> str | None:
        """Reason why no gap is reported; None if there is none.

        Args:
            random: Mean return of random actions, if the reference has none.
        """
        lead = float(self.oracle.both_means()[1] - self.unadapted.both_means()[1])
        random = self.random if self.random is not None else random
        if random is not None and lead <= TELLING * abs(self.oracle.both_means()[1] - random):
            return f"the oracle is {'hardly' if lead > 0 else 'no'} better than not adapting"
        error = float(np.hypot(self.oracle.standard_error(), self.unadapted.standard_error()))
        if np.isnan(error):
            return "a single draw of a reference has no standard error"
        if lead < STANDARD_ERRORS * error:
            return (
                f"the oracle's lead over not adapting, {lead:.1f}, is under {STANDARD_ERRORS:g} standard errors "
                f"of {error:.1f}"
            )
        return None

    def described(self, obstacle: str | None) -> dict[str, Any]:
        """Entry of a report: returns of both references, the success of no adaptation, why no gap is reported."""
        unadapted, oracle = (
            dict[str, float | None](zip(("interquartile_mean", "mean"), map(float, one.both_means()), strict=True))
            for one in (self.unadapted, self.oracle)
        )
        unadapted |= dict(zip(("success", "success_any_step"), self.success, strict=True))
        return {
            "source": self.source,
            "no_adaptation": unadapted,
            "oracle": oracle,
            "obstacle": obstacle,
            "tasks_with_gap": len(self.leading_tasks()),
        }

    def leading_tasks(self) -> list[int]:
        """Places of the tasks on which the oracle leads by at least three standard errors of that lead."""
        lead = self.oracle.task_means() - self.unadapted.task_means()
        error = np.hypot(self.oracle.task_errors(), self.unadapted.task_errors())
        return [
            place for place in range(len(lead)) if lead[place] > 0 and lead[place] >= STANDARD_ERRORS * error[place]
        ]

    def gap_closed(self, sample: Sample) -> dict[str, float | None]:
        """The part of the gap that returns close, in three ways, each with its interval; None where there is none.

        By interquartile means, by means, and as the mean of the tasks' own gaps, over the tasks on which the oracle
        leads. The interval resamples the returns and those of both references.
        """
        low, high = self.unadapted.both_means(), self.oracle.both_means()
        middle = (*(sample.both_means() - low) / (high - low), float("nan"))
        ends = np.full((2, 3), np.nan)
        places = self.leading_tasks() if len(sample.strata) == len(self.oracle.strata) else []
        references = self.unadapted, self.oracle
        if len(places):
            middle = (*middle[:2], float(_mean_gap([one.task_means() for one in (sample, *references)], places)))
        if min(len(row) for row in sample.strata) > 1:
            drawn = [one.resampled(seed) for seed, one in enumerate((sample, *references))]
            returns, unadapted, oracle = (one[0] for one in drawn)
            edge = (1 - CONFIDENCE) / 2
            with np.errstate(divide="ignore", invalid="ignore"):
                gaps = (returns - unadapted) / (oracle - unadapted)
                ends[:, :2] = np.nanquantile(gaps, [edge, 1 - edge], axis=1)  # [end, statistic]
                if len(places):
                    of_tasks = _mean_gap([one[1] for one in drawn], places)
                    ends[:, 2] = np.nanquantile(of_tasks, [edge, 1 - edge])
        values = [value for way in range(3) for value in (middle[way], *ends[:, way])]
        return {key: None if np.isnan(value) else float(value) for key, value in zip(KEYS, values, strict=True)}


def obstacle_for(learner: str, known: Reference, random: float | None) -> str | None:
    """Reason why a learner's report has no gap; None if there is none."""
    if learner in REFERENCES:
        return f"{learner} is one of the two references that the gap is measured by"
    return known.obstacle(random)


KEYS = (
    "gap_closed",
    "gap_closed_low",
    "gap_closed_high",
    "gap_closed_by_means",
    "gap_closed_by_means_low",
    "gap_closed_by_means_high",
    "gap_closed_by_task",
    "gap_closed_by_task_low",
    "gap_closed_by_task_high",
)
"""Entries of a gap in a report: by interquartile means, by means, and the mean of the tasks' own gaps."""
BY_INTERQUARTILE_MEANS, BY_MEANS, BY_TASK = KEYS[::3]


def words_of_gap(row: Mapping[str, Any], key: str = BY_INTERQUARTILE_MEANS) -> str:
    """Formats a gap and its interval, such as `51% [48, 54]`; a dash where none is reported."""
    if row.get(key) is None:
        return "\N{EN DASH}"
    ends = [row.get(f"{key}{end}") for end in ("", "_low", "_high")]
    middle, low, high = (None if end is None else str(round(100 * end)) for end in ends)  # whole: no -0
    return f"{middle}%" if low is None or high is None else f"{middle}% [{low}, {high}]"


def _mean_gap(means: Sequence[Array], places: list[int]) -> Array:
    """Mean over some tasks of each one's gap, from means of a policy and both references. `[..., task]` to `[...]`."""
    returns, unadapted, oracle = means
    gaps: Array = ((returns - unadapted) / (oracle - unadapted))[..., places].mean(axis=-1)
    return gaps


def _both_means(values: Array) -> Array:
    """Interquartile means and means of rows. `[2, row]`."""
    cut = values.shape[1] // 4
    ordered = np.sort(values, axis=1)
    return np.stack([ordered[:, cut : values.shape[1] - cut].mean(axis=1), values.mean(axis=1)])
