"""Marks of a task's target in a live window: the goal on the floor, the place in space, or the direction to run."""

from __future__ import annotations

import math
from typing import Any

import mujoco
import numpy as np

from robometa.video.film import Array, Target
from robometa.video.panel_picture import FACING, MIDDLE, PLACE, SMALLEST_MARK, TARGET, TURNED


def distance_to_see(target: Target, size: float) -> float:
    """Distance of a camera on the robot's start that has the target in its picture, m.

    Args:
        target: Target of the task.
        size: Size of the robot, m.
    """
    away = math.hypot(*target.values) if target.kind in ("goal", "place") else 0.0
    return max(3.0 * size, 2.5 * away)


def mark(scene: Any, target: Target, place: Array, size: float) -> None:
    """Replaces what the user's part of a scene shows by the marks of a target; a speed has none.

    Args:
        scene: Scene that the window adds to its own.
        target: Target of the task.
        place: Place of the robot, m. `[3]`
        size: Size of the robot, m.
    """
    scene.ngeom = 0
    if target.kind == "goal":
        side = target.tolerance / math.sqrt(2)
        is_diamond = target.norm == 1.0
        kind = mujoco.mjtGeom.mjGEOM_BOX if is_diamond else mujoco.mjtGeom.mjGEOM_CYLINDER
        shape = (side, side, 0.004) if is_diamond else (target.tolerance, 0.004, 0.0)
        _add(scene, kind, shape, (*target.values, 0.008), (*TARGET, 0.4), TURNED)
        foot = (*target.values, 0.1 * size)
        _add(scene, mujoco.mjtGeom.mjGEOM_CYLINDER, (0.01 * size, 0.1 * size, 0.0), foot, (*TARGET, 1))
    elif target.kind == "place":
        around = max(target.tolerance, SMALLEST_MARK)
        _add(scene, mujoco.mjtGeom.mjGEOM_SPHERE, (MIDDLE, 0, 0), target.values, (*PLACE, 1))
        _add(scene, mujoco.mjtGeom.mjGEOM_SPHERE, (around, 0, 0), target.values, (*PLACE, 0.4))
    elif target.kind in ("direction", "heading"):
        angle = target.values[0]
        ahead = (math.cos(angle), math.sin(angle), 0.0) if target.kind == "heading" else (angle, 0.0, 0.0)
        start = place + np.array([0.0, 0.0, 0.6 * size])
        arrow = _add(scene, mujoco.mjtGeom.mjGEOM_ARROW, (1, 1, 1), (0, 0, 0), (*TARGET, 1))
        width, end = 0.03 * size, start + 0.5 * size * np.array(ahead)
        mujoco.mjv_connector(arrow, mujoco.mjtGeom.mjGEOM_ARROW, width, start, end)


def _add(scene: Any, kind: int, size: Any, place: Any, colour: Any, turn: Array = FACING) -> Any:
    """One more shape in the scene."""
    geom = scene.geoms[scene.ngeom]
    mujoco.mjv_initGeom(geom, kind, np.array(size, float), np.array(place, float), turn, np.array(colour, "f4"))
    scene.ngeom += 1
    return geom
