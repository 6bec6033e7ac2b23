"""Rewards of rollouts by the time since their tasks changed."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from robometa.data import Rollout
from robometa.reports.since_change import SinceChange
from robometa.reports.statistics import Array
from robometa.sim.changes import moments
from robometa.sim.engine import TrialPlace
from robometa.sim.locomotion import models
from robometa.suites.task import Task

STRETCH, BEFORE = 0.5, 1.0
"""Durations of a stretch since a change and of the time before it, s."""


def since_change_of(
    tasks: Sequence[Task], rollouts: Sequence[Rollout], places: Sequence[TrialPlace]
) -> SinceChange | None:
    """Sums up the rewards around the changes of tasks, over the rollouts of a trial; None if no task jumps.

    Only first episodes count, and none that diverged.

    Args:
        tasks: The tasks.
        rollouts: One for each shot.
        places: Place of each rollout in its trial.
    """
    if not any(task.change is not None and task.change.jumps for task in tasks):
        return None
    horizon = rollouts[0].reward.shape[-1]
    step = tasks[0].robot.frame_skip * float(models.compiled(tasks[0].robot)[0].opt.timestep)
    width, before = max(1, round(STRETCH / step)), max(1, round(BEFORE / step))
    sums = np.concatenate([_summed(rollout) for rollout in rollouts], axis=1)  # [task, time, 2]
    by_task: list[list[int]] = [[] for _ in tasks]
    for shot, place in enumerate(places):
        for found, steps in zip(by_task, moments(place, tasks, horizon), strict=True):
            found += [shot * horizon + one for one in steps]
    total = sums.shape[1]
    made = SinceChange(
        seconds=width * step,
        changes=sum(map(len, by_task)),
        before=np.zeros((len(tasks), 2)),
        stretches=np.zeros((len(tasks), math.ceil(total / width), 2)),
        episodes=np.zeros((len(tasks), len(rollouts), 2)),
    )
    for index, steps in enumerate(by_task):
        for number, (begin, end) in enumerate(zip(steps, [*steps[1:], total], strict=True)):
            earliest = steps[number - 1] if number else 0
            made.before[index] += sums[index, max(earliest, begin - before) : begin].sum(axis=0)
            time = np.arange(begin, end)
            np.add.at(made.stretches[index], (time - begin) // width, sums[index, begin:end])
            np.add.at(made.episodes[index], time // horizon - begin // horizon, sums[index, begin:end])
    return made


def _summed(rollout: Rollout) -> Array:
    """Sums of the rewards of all worlds, and their number, at each step of first episodes. `[task, time, 2]`."""
    counted = (rollout.first_episode() & ~rollout.episode_diverged()[..., None]).double()
    sums = np.stack([((rollout.reward * counted).sum(dim=1)).cpu().numpy(), counted.sum(dim=1).cpu().numpy()], axis=-1)
    return sums.astype(float)
