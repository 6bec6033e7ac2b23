"""Film of a task that changes: its target at each moment, and the moments."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from robometa.suites.objective_file import objective_of
from robometa.suites.suite import Suite
from robometa.suites.task import Task
from robometa.video.film import Array, Target
from robometa.video.task_words import in_words

NEWS_SECONDS = 1.5
"""Time for which a change is written on the picture, s."""


def asked(suite: Suite, tasks: Sequence[Task], target: Target) -> Array | None:
    """Numbers of the target at each step; None if they stay. `[time, number]`."""
    parameter = objective_of(tasks[0]).display.parameter if tasks else None
    if parameter is None or not target.values or parameter not in dict(tasks[0].parameters):
        return None
    return np.array([dict(task.parameters)[parameter] for task in tasks])


def news(tasks: Sequence[Task], frames: Array, control_step: float) -> dict[str, Any]:
    """Texts at the beginning and after each change, and the moments of the changes; nothing for a task that stays.

    Args:
        tasks: The task as it was at each step. `[time]`
        frames: Step of each frame. `[frame]`
        control_step: Duration of a control step, s.
    """
    if not tasks:
        return {}
    steps = [step for step in range(1, len(tasks)) if tasks[step] != tasks[step - 1]]
    length = round(NEWS_SECONDS / control_step)
    since = [max(step for step in (0, *steps) if step <= frame) for frame in frames.tolist()]
    texts = [
        f"now {in_words(tasks[step])}" if frame - step <= length else ""
        for frame, step in zip(frames.tolist(), since, strict=True)
    ]
    return {"news": np.array(texts), "changed": control_step * np.array(steps)}
