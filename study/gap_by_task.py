"""The gap closed by means, and task by task: `python -m study.gap_by_task SUITE` prints a table of the records."""

from __future__ import annotations

import sys
from typing import NamedTuple

import numpy as np

from robometa import suites
from robometa.errors import UserError
from robometa.reports import reference_returns
from robometa.reports.gap import REFERENCES, Reference, Sample
from robometa.reports.statistics import CONFIDENCE, RESAMPLES, Array
from study import plan

SHOT = 1
"""Shot after which the gap is measured."""


class ByTask(NamedTuple):
    """Parts of a gap, each with the ends of its interval."""

    by_interquartile_means: Array
    by_means: Array
    by_task: Array
    """Gap of each task, mean over tasks and seeds."""


def gap_by_task(sample: Sample, reference: Reference) -> ByTask:
    """Computes the gap closed in three ways; the intervals resample the seeds of the sample and of both references.

    Args:
        sample: Returns of each task and training seed.
        reference: Returns of both references, also by training seed.
    """
    whole = reference.gap_closed(sample)
    names = ("gap_closed", "gap_closed_by_means")
    first, second = (np.array([whole[f"{name}{end}"] for end in ("", "_low", "_high")], dtype=float) for name in names)
    returns, unadapted, oracle = (np.array(one.strata) for one in (sample, reference.unadapted, reference.oracle))
    # A task's gap is linear in its returns, so the mean over seeds can be taken first. [resample, task]
    drawn = [_resampled(one, seed) for seed, one in enumerate((returns, unadapted, oracle))]
    ends = np.quantile(_mean_gap(*drawn), [(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2])
    middle = _mean_gap(*(one.mean(axis=1) for one in (returns, unadapted, oracle)))
    return ByTask(first, second, np.array([middle, *ends]))


def _mean_gap(returns: Array, unadapted: Array, oracle: Array) -> Array:
    """Mean over tasks of each task's gap. `[..., task]` to `[...]`."""
    gaps: Array = ((returns - unadapted) / (oracle - unadapted)).mean(axis=-1)
    return gaps


def _resampled(returns: Array, seed: int) -> Array:
    """Means over resampled seeds, the same ones for all tasks: `[task, seed]` to `[resample, task]`."""
    count = returns.shape[1]
    picks = np.random.default_rng(seed).integers(count, size=(RESAMPLES, count))
    means: Array = returns[:, picks].mean(axis=2).T
    return means


def table(suite: str) -> list[str]:
    """Lines of a Markdown table: a row for each learner of a suite that adapts, by the gap of each task.

    Raises:
        UserError: If no gap is reported on the suite.
    """
    reference = reference_returns.find(suites.load(suite).content_hash)
    if reference is None:
        raise UserError(f"suite {suite} has no references")
    obstacle = reference.obstacle()
    if obstacle is not None:
        raise UserError(f"no gap is reported on {suite}: {obstacle}")
    rows: list[tuple[str, ByTask]] = []
    cells = [one for one in plan.read().cells if one.suite == suite and not one.long and one.done()]
    for learner in dict.fromkeys(one.learner for one in cells if one.learner not in REFERENCES):
        returns = np.array([one.result()["mean_action"] for one in cells if one.learner == learner])[:, SHOT]
        if learner != "random" and returns.shape[1] == reference.tasks:
            rows.append((learner, gap_by_task(Sample(list(returns.T), together=True), reference)))
    rows.sort(key=lambda row: -row[1].by_task[0])
    head = ["| learner | by interquartile means | by means | mean of the tasks' gaps |", "| --- | --- | --- | --- |"]
    return [*head, *(f"| `{learner}` | {' | '.join(map(words, parts))} |" for learner, parts in rows)]


def words(part: Array) -> str:
    """A part and its interval, such as `51% [48, 54]`."""
    middle, low, high = np.round(100 * part) + 0.0  # and no -0
    return f"{middle:.0f}% [{low:.0f}, {high:.0f}]"


def main(arguments: list[str]) -> int:
    """Prints the table of a suite."""
    if len(arguments) != 1:
        print(__doc__, file=sys.stderr)
        return 2
    try:
        print("\n".join(table(arguments[0])))
    except UserError as error:
        print(error, file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
