"""The part of a policy's gain that a smaller form of it keeps, on held-out tasks."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import closing
from dataclasses import asdict, dataclass
from typing import Any, cast

import numpy as np

from robometa.compute.hardware import Hardware
from robometa.data import Rollout
from robometa.deployment.exported_learner import ExportedLearner
from robometa.evaluation.by_shot import random_actions
from robometa.learners.protocol import Learner
from robometa.noise import Noise
from robometa.progress import progress
from robometa.reports import reference_returns
from robometa.reports.gap import Sample
from robometa.reports.scores import scores_of
from robometa.reports.statistics import CONFIDENCE
from robometa.suites.suite import Suite
from robometa.trials.make import engine_for
from robometa.trials.trial import collect, torch_on, trial_loop

TASKS, WORLDS = 30, 4
"""Held-out tasks, and episodes of each after every shot, at most."""
LEAST = 0.98
"""Part of the gain that a smaller form has to keep, by the middle of its interval."""
NO_ADAPTATION, RANDOM = "no adaptation", "random actions"
"""Baselines of a gain: the published returns of the suite, or those of random actions where none are published."""


@dataclass(frozen=True)
class Kept:
    """The kept part of a gain; NaN if there was no gain. Intervals resample episodes, of both policies alike."""

    over: str
    """Baseline that the gain is over."""
    share: float
    """By interquartile means."""
    low: float
    high: float
    by_means: float
    by_means_low: float
    by_means_high: float

    @property
    def enough(self) -> bool:
        """True if the part is not below the least one; False without a gain."""
        return self.share >= LEAST

    def to_json(self) -> dict[str, Any]:
        """The fields; null for what is not a number."""
        return {
            name: None if isinstance(value, float) and np.isnan(value) else value
            for name, value in asdict(self).items()
        }


@dataclass(frozen=True)
class Held:
    """Returns of a policy's mean actions on held-out tasks."""

    sample: Sample

    @property
    def interquartile_mean(self) -> float:
        """Interquartile mean over all episodes."""
        return float(self.sample.both_means()[0])


class Exam:
    """Held-out tasks of a suite, and the baseline of a gain there.

    A policy that adapts within an episode is measured in its first episode and in the one after it; any other after it
    has adapted once.
    """

    def __init__(self, learner: Learner, suite: Suite, tasks: Sequence[int] | None = None) -> None:
        """Chooses the tasks, and measures random actions if no baseline is published.

        Args:
            learner: The policy whose gain is to be kept.
            suite: Its suite.
            tasks: Indices of held-out tasks; the first ones if None. A learner that pools worlds adapts to as many
                episodes of each as in training.
        """
        chosen = range(min(TASKS, len(suite.test))) if tasks is None else tasks
        self._suite, self._tasks = suite, tuple(suite.test[index] for index in chosen)
        self._worlds = learner.config.worlds if learner.pools_worlds else WORLDS
        self._first = 0 if learner.adapts_within_episode else 1
        known = reference_returns.find(suite.content_hash)
        self.over = RANDOM if known is None else NO_ADAPTATION
        if known is None:
            self._baseline = self._measured(random_actions(0), shots=0, first=0, explore=True)
        else:
            strata = [known.unadapted.strata[index] for index in chosen]
            self._baseline = Sample(strata, known.unadapted.together)

    @property
    def baseline(self) -> float:
        """Interquartile mean of the baseline."""
        return float(self._baseline.both_means()[0])

    def returns_of(self, learner: Learner | ExportedLearner) -> Held:
        """Measures a policy."""
        return Held(self._measured(cast(Learner, learner), shots=1, first=self._first))

    def kept(self, smaller: Held, whole: Held) -> Kept:
        """Compares a smaller form of a policy with the whole one."""
        return kept_of(smaller.sample, whole.sample, self._baseline, self.over)

    def _measured(self, learner: Learner, shots: int, first: int, *, explore: bool = False) -> Sample:
        """Returns of every task in the episodes after the shots from `first` on."""
        tasks, rollouts = self._tasks, list[Rollout]()
        noise = Noise(0, ("compression", "returns"), len(tasks), self._worlds)
        engine = engine_for(learner, self._suite, len(tasks), self._worlds, Hardware(threads=1))
        with progress() as bar, torch_on(1), closing(engine):
            measured = bar.add_task("measuring returns", total=2 * shots + 1 - first)
            engine.assign(tasks)
            for shot in trial_loop(learner, noise, shots):
                given = engine, learner, shot.adaptation
                if shot.number >= first:
                    source = noise.fork("quiet", shot.number)
                    rollouts.append(
                        collect(*given, source, explore=explore, previous=shot.previous, place=shot.place)[0]
                    )
                    bar.advance(measured)
                if shot.number < shots:
                    shot.complete(*collect(*given, shot.noise, previous=shot.previous, place=shot.place))
                    bar.advance(measured)
        returns = scores_of(rollouts).returns  # [shot, task, world]
        return Sample([np.concatenate(list(rows)) for rows in returns.swapaxes(0, 1)])


def kept_of(smaller: Sample, whole: Sample, baseline: Sample, over: str) -> Kept:
    """The part of a gain that is kept.

    Args:
        smaller: Returns of the smaller form.
        whole: Returns of the whole policy, in the same episodes.
        baseline: Returns that the gain is over.
        over: Name of the baseline.
    """
    base = baseline.both_means()
    gain = whole.both_means() - base
    with np.errstate(divide="ignore", invalid="ignore"):
        middle = np.where(gain > 0, (smaller.both_means() - base) / gain, np.nan)
    ends = np.full((2, 2), np.nan)
    if bool((gain > 0).all()) and min(len(row) for row in whole.strata) > 1:
        base_again = baseline.resampled(1)[0]
        # The same seed draws the same episodes of both, whose resets are equal.
        both = [sample.resampled(0)[0] for sample in (smaller, whole)]
        with np.errstate(divide="ignore", invalid="ignore"):
            shares = (both[0] - base_again) / (both[1] - base_again)
        edge = (1 - CONFIDENCE) / 2
        ends = np.nanquantile(shares, [edge, 1 - edge], axis=1)
    values = (middle[0], *ends[:, 0], middle[1], *ends[:, 1])
    return Kept(over, *(float(value) for value in values))
