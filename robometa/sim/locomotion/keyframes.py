"""The keyframe at which a robot's episodes begin."""

from __future__ import annotations

import mujoco
import numpy as np

from robometa.errors import UserError, unknown
from robometa.suites.robots import Robot

HOME = "home"
"""Keyframe that is meant where a suite says none."""
AS_DRAWN = "qpos0"
"""MuJoCo's word for the positions of a model as drawn, in the place of a keyframe's name."""


def place_mocap(model: mujoco.MjModel, robot: Robot) -> None:
    """Puts the bodies that only commands move where the keyframe has them, at which a robot begins."""
    key = keyframe_of(model, robot) if model.nmocap else None
    if key is None:
        return
    for body in np.flatnonzero(model.body_mocapid >= 0):
        place = model.body_mocapid[body]
        model.body_pos[body] = model.key_mpos[key].reshape(-1, 3)[place]
        model.body_quat[body] = model.key_mquat[key].reshape(-1, 4)[place]


def key_names(model: mujoco.MjModel) -> list[str]:
    """Names of a model's keyframes; the number of one without a name."""
    return [model.key(index).name or str(index) for index in range(model.nkey)]


def keyframe_of(model: mujoco.MjModel, robot: Robot) -> int | None:
    """The number of the keyframe at which a robot begins, a name before a number; None if it begins as drawn.

    Raises:
        UserError: If the model has no keyframe of this name.
    """
    names, wanted = key_names(model), robot.keyframe
    if wanted is None:
        return names.index(HOME) if HOME in names else None
    if wanted in names:
        return names.index(wanted)
    if wanted in map(str, range(model.nkey)):
        return int(wanted)
    if wanted == AS_DRAWN:
        return None
    raise UserError(unknown("keyframe", wanted, [*names, AS_DRAWN], robot.mjcf.name))
