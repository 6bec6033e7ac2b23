"""Simulation against simulation: returns of exported files beside those of the policy."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import closing
from typing import Any, cast

from robometa.compute.hardware import Hardware
from robometa.deployment.exported_learner import ExportedLearner
from robometa.errors import UserError
from robometa.evaluation.by_shot import score
from robometa.learners.protocol import Learner
from robometa.noise import Noise
from robometa.reports.scores import Scores
from robometa.suites.suite import Suite
from robometa.suites.task import Task
from robometa.trials.make import engine_for

TASKS, WORLDS = 8, 4
"""Held-out tasks and episodes of each, at most, in which returns are compared."""
Returns = dict[str, Any]
"""Settings of a comparison, and interquartile mean, low and high end of the returns by shot."""


def returns_of(
    learner: Learner | ExportedLearner, suite: Suite, tasks: Sequence[int], worlds: int, shots: int
) -> Returns:
    """Measures mean actions in simulation.

    Args:
        learner: Acts and adapts.
        suite: Suite of the tasks.
        tasks: Indices among the held-out tasks.
        worlds: Episodes of each task.
        shots: Adaptations.
    """
    chosen: tuple[Task, ...] = tuple(suite.test[index] for index in tasks)
    acting = cast(Learner, learner)  # all that acting and adapting needs
    noise = Noise(0, ("export", "returns"), len(chosen), worlds)
    with closing(engine_for(acting, suite, len(chosen), worlds, Hardware(threads=1))) as engine:
        quiet: Scores = score(engine, acting, chosen, shots, noise)[0]
    by_shot = [list(quiet.interquartile_mean(shot)) for shot in range(shots + 1)]
    return {"tasks": list(tasks), "worlds": worlds, "shots": shots, "by_shot": by_shot}


def require_within(actual: Returns, wanted: Returns) -> None:
    """Checks that the mean return of exported files is within the policy's interval, after every shot.

    Raises:
        UserError: If it is not.
    """
    for shot, ((mean, *_), (_, low, high)) in enumerate(zip(actual["by_shot"], wanted["by_shot"], strict=True)):
        # Equal returns have an interval without width, and float32 has seven digits.
        slack = 1e-4 * max(1.0, abs(low), abs(high))
        if not low - slack <= mean <= high + slack:
            raise UserError(
                f"the exported files return {mean:.6g} after {shot} shots, "
                f"outside the policy's interval of {low:.6g} to {high:.6g}"
            )


def lines(gap: float, actual: Returns, wanted: Returns) -> list[str]:
    """Describes a verification in words."""
    rows = zip(actual["by_shot"], wanted["by_shot"], strict=True)
    return [
        f"largest gap on equal inputs: {gap:.2g}",
        *(
            f"return after {shot} shots: {mean:.2f}, the policy's {own:.2f} [{low:.2f}, {high:.2f}]"
            for shot, ((mean, *_), (own, low, high)) in enumerate(rows)
        ),
    ]
