"""The uneven ground of a task: heights drawn from the task's seed, written into its model."""

from __future__ import annotations

import mujoco
import numpy as np

from robometa.suites.model_edits import TERRAIN
from robometa.suites.task import Task
from robometa.suites.terrain import SAMPLES_OF_STEP, STEPS


def has_terrain(task: Task) -> bool:
    """Returns True if a task has uneven ground."""
    return task.robot.real is not None and task.robot.real.terrain is not None


def lay(model: mujoco.MjModel, task: Task) -> None:
    """Writes a task's heights into its model, which has the field for them; nothing if its ground is even."""
    terrain = None if task.robot.real is None else task.robot.real.terrain
    if terrain is None:
        return
    rows, columns = terrain.size()
    source = np.random.default_rng(task.ground)
    if terrain.kind == STEPS:
        heights = np.tile(np.repeat(source.uniform(size=columns // SAMPLES_OF_STEP), SAMPLES_OF_STEP), (rows, 1))
    else:
        heights = source.uniform(size=(rows, columns))
    field = model.hfield(TERRAIN)
    first = int(field.adr[0])
    model.hfield_data[first : first + rows * columns] = heights.flatten()
