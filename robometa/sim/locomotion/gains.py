"""PD gains of a suite in the place of a model's own actuators."""

from __future__ import annotations

import mujoco
import numpy as np
from numpy.typing import NDArray

from robometa.errors import UserError
from robometa.suites.mujoco_numbers import HINGE, JOINT_IN_PARENT, SLIDE
from robometa.suites.robots import Robot


def each(numbers: tuple[float, ...], count: int, key: str, robot: Robot) -> NDArray[np.float64]:
    """One number for each actuator, from one for all or one for each. `[actuator]`.

    Raises:
        UserError: If there are neither one nor as many.
    """
    if len(numbers) not in (1, count):
        raise UserError(f"{key} of {robot.mjcf.name} needs 1 number or {count}, one an actuator, not {len(numbers)}")
    return np.array(numbers * count if len(numbers) == 1 else numbers)


def servo(model: mujoco.MjModel, robot: Robot) -> None:
    """Turns every actuator into a position servo with the robot's gains, if it has any.

    A control is then the position that the joint shall have. The force is limited to what the actuator gave before.

    Raises:
        UserError: If an actuator drives no hinge or slide, or there are too few numbers.
    """
    gains = robot.gains
    if gains is None:
        return
    stiffness, damping = (
        each(numbers, model.nu, f"gains.{key}", robot)
        for key, numbers in (("stiffness", gains.stiffness), ("damping", gains.damping))
    )
    effort = None if gains.effort is None else each(gains.effort, model.nu, "gains.effort", robot)
    for index in range(model.nu):
        joint = int(model.actuator_trnid[index, 0])
        if model.actuator_trntype[index] > JOINT_IN_PARENT or model.jnt_type[joint] not in (HINGE, SLIDE):
            name = model.actuator(index).name or str(index)
            raise UserError(
                f"gains need every actuator to drive a hinge or a slide: {name} of {robot.mjcf.name} does not"
            )
        gear = float(model.actuator_gear[index, 0]) or 1.0
        _limit_force(model, index, abs(gear), None if effort is None else effort[index])
        model.actuator_gear[index, 0] = 1.0
        model.actuator_dyntype[index] = int(mujoco.mjtDyn.mjDYN_NONE)
        model.actuator_actadr[index], model.actuator_actnum[index] = -1, 0  # or MuJoCo uses the activation for control
        model.actuator_gaintype[index], model.actuator_biastype[index] = (
            int(mujoco.mjtGain.mjGAIN_FIXED),
            int(mujoco.mjtBias.mjBIAS_AFFINE),
        )
        model.actuator_gainprm[index] = model.actuator_biasprm[index] = 0.0
        model.actuator_gainprm[index, 0] = stiffness[index]
        model.actuator_biasprm[index, 1:3] = -stiffness[index], -damping[index]
        model.actuator_ctrllimited[index] = model.jnt_limited[joint]
        model.actuator_ctrlrange[index] = model.jnt_range[joint]


def _limit_force(model: mujoco.MjModel, index: int, gear: float, effort: float | None) -> None:
    """Limits a joint's force to a number, or to what its actuator gave before: at most, or at its control's ends."""
    ends = model.actuator_forcerange[index].copy()
    if effort is not None:
        ends = np.array((-effort, effort))
    elif model.actuator_forcelimited[index]:
        ends *= gear
    elif model.actuator_ctrllimited[index] and _is_motor(model, index):
        ends = np.sort(model.actuator_ctrlrange[index] * model.actuator_gainprm[index, 0] * gear)
    else:
        return
    model.actuator_forcelimited[index], model.actuator_forcerange[index] = 1, ends


def _is_motor(model: mujoco.MjModel, index: int) -> bool:
    return bool(
        model.actuator_biastype[index] == mujoco.mjtBias.mjBIAS_NONE
        and model.actuator_gaintype[index] == mujoco.mjtGain.mjGAIN_FIXED
        and model.actuator_dyntype[index] == mujoco.mjtDyn.mjDYN_NONE
    )
