"""Controls that actions in -1..1 stand for."""

from __future__ import annotations

import math
from dataclasses import dataclass

import mujoco
import numpy as np
from numpy.typing import NDArray

from robometa.errors import UserError
from robometa.sim.locomotion.gains import each
from robometa.sim.locomotion.keyframes import keyframe_of
from robometa.suites.mujoco_numbers import HINGE, ON_JOINT, ON_TENDON
from robometa.suites.robots import Robot

Array = NDArray[np.float64]
AFFINE = int(mujoco.mjtBias.mjBIAS_AFFINE)
FIXED = int(mujoco.mjtGain.mjGAIN_FIXED)


@dataclass(frozen=True)
class Controls:
    """Controls as a function of actions: `centre + scale * action`, within `low` and `high`. `[actuator]` each."""

    centre: Array
    scale: Array
    low: Array
    high: Array
    resting: bool
    """An action of 0 is a control that the robot rests at, not the middle of a range."""

    @property
    def clips(self) -> bool:
        """An action in -1..1 may ask for more than the range of a control."""
        slack = 1e-9 * (1 + self.scale)
        beyond = (self.centre - self.scale < self.low - slack) | (self.centre + self.scale > self.high + slack)
        return bool(beyond.any())


def controls_of(model: mujoco.MjModel, robot: Robot) -> Controls:
    """The controls that a robot's actions stand for.

    Raises:
        UserError: If the suite asks for a keyframe that is not there, or gives too few numbers.
    """
    ranges = np.array([control_range(model, index) for index in range(model.nu)])
    low, high = ranges[:, 0], ranges[:, 1]
    key, asked = keyframe_of(model, robot), robot.action
    if key is None and asked.centre == "keyframe":
        raise UserError(
            f"action.centre = 'keyframe' needs a keyframe, and {robot.mjcf.name} has none in use: add one to the model "
            f"(keyframe in [robot] names it), write centre = 'range', or leave centre out"
        )
    resting = asked.centre != "range" and (key is not None or robot.gains is not None)
    centre = _rest(model, key, robot, ranges) if resting else (high + low) / 2
    scale = (high - low) / 2 if asked.scale is None else each(asked.scale, model.nu, "action.scale", robot)
    return Controls(np.clip(centre, low, high), scale, low, high, resting)


def _rest(model: mujoco.MjModel, key: int | None, robot: Robot, ranges: Array) -> Array:
    """Controls at which a robot rests: its keyframe's, or where there are none, the positions of its servos.

    Args:
        model: The model.
        key: Number of the keyframe; None for the model as drawn.
        robot: The robot, whose gains make its keyframe's controls meaningless.
        ranges: Ranges of the controls; an actuator that is no servo rests at 0, or in the middle. `[actuator, 2]`
    """
    if key is not None and robot.gains is None and model.key_ctrl[key].any():
        return np.array(model.key_ctrl[key])
    rest = np.where((ranges[:, 0] <= 0) & (ranges[:, 1] >= 0), 0.0, ranges.mean(axis=1))
    servos = [index for index in range(model.nu) if is_position_servo(model, index)]
    rest[servos] = _lengths(model, key)[servos]
    return rest


def _lengths(model: mujoco.MjModel, key: int | None) -> Array:
    """Lengths of all actuators at a keyframe, or in the model as drawn. `[actuator]`."""
    data = mujoco.MjData(model)
    data.qpos[:] = model.qpos0 if key is None else model.key_qpos[key]
    mujoco.mj_fwdPosition(model, data)
    return np.array(data.actuator_length)


def is_position_servo(model: mujoco.MjModel, index: int) -> bool:
    """Tests if an actuator's control is the position that its joint or tendon shall have."""
    return holds_position(model, index) and not integrates(model, index)


def integrates(model: mujoco.MjModel, index: int) -> bool:
    """Tests if an actuator's control is the rate of its activation."""
    return bool(model.actuator_dyntype[index] == int(mujoco.mjtDyn.mjDYN_INTEGRATOR))


def activations(model: mujoco.MjModel, robot: Robot) -> Array:
    """Activations at which a robot begins: its keyframe's, or where it has none, those that hold its servos' positions.

    Args:
        model: The model.
        robot: The robot.

    Returns:
        `[activation]`
    """
    key = keyframe_of(model, robot)
    act = np.zeros(model.na) if key is None else np.array(model.key_act[key])
    if key is None or act.any():
        return act
    ranges = np.array([control_range(model, index) for index in range(model.nu)])
    rest, lengths = _rest(model, key, robot, ranges), _lengths(model, key)
    for index in range(model.nu):
        place = int(model.actuator_actadr[index])
        if place >= 0 and holds_position(model, index):
            held = lengths[index] if integrates(model, index) else rest[index]
            act[place] = np.clip(held, *model.actuator_actrange[index]) if model.actuator_actlimited[index] else held
    return act


def holds_position(model: mujoco.MjModel, index: int) -> bool:
    """Tests if an actuator pulls its joint or tendon to the position that its control or activation is."""
    gain, bias = model.actuator_gainprm[index, 0], model.actuator_biasprm[index, 1]
    servo = model.actuator_biastype[index] == AFFINE and model.actuator_gaintype[index] == FIXED
    return bool(servo and bias < 0 and abs(gain + bias) <= 1e-6 * abs(bias))


def _gear(model: mujoco.MjModel, index: int) -> float:
    return float(model.actuator_gear[index, 0])


def control_range(model: mujoco.MjModel, index: int) -> tuple[float, float]:
    """Range of a control; of one without a range what its servo can reach or its motor may give, else -1 to 1."""
    if model.actuator_ctrllimited[index]:
        low, high = model.actuator_ctrlrange[index]
        return float(low), float(high)
    if is_position_servo(model, index):
        return _reach(model, index)
    if model.actuator_biastype[index] == int(mujoco.mjtBias.mjBIAS_NONE) and (limits := _force_limits(model, index)):
        return limits
    return -1.0, 1.0


def _reach(model: mujoco.MjModel, index: int) -> tuple[float, float]:
    """Lengths that a position servo can have: the range of its joint or tendon, else a turn of a hinge, or 1 m."""
    moved, kind = int(model.actuator_trnid[index, 0]), model.actuator_trntype[index]
    if kind == ON_TENDON and model.tendon_limited[moved]:
        low, high = model.tendon_range[moved]
    elif kind == ON_JOINT and model.jnt_limited[moved]:
        low, high = model.jnt_range[moved]
    elif kind == ON_JOINT and model.jnt_type[moved] == HINGE:
        low, high = -math.pi, math.pi
    else:
        return -1.0, 1.0
    ends = sorted((float(low) * _gear(model, index), float(high) * _gear(model, index)))
    return ends[0], ends[1]


def _force_limits(model: mujoco.MjModel, index: int) -> tuple[float, float] | None:
    """Controls at which a motor gives its largest force, by its own limit or its joint's; None if neither has one."""
    gain = float(model.actuator_gainprm[index, 0])
    if model.actuator_gaintype[index] != FIXED or gain == 0:
        return None
    joint = int(model.actuator_trnid[index, 0])
    if model.actuator_forcelimited[index]:
        limits = [float(force) / gain for force in model.actuator_forcerange[index]]
    elif model.actuator_trntype[index] == ON_JOINT and model.jnt_actfrclimited[joint] and _gear(model, index):
        limits = [float(force) / gain / _gear(model, index) for force in model.jnt_actfrcrange[joint]]
    else:
        return None
    low, high = sorted(limits)
    return low, high


def actuator_name(model: mujoco.MjModel, actuator: int) -> str:
    """Name of an actuator; where it has none that of the joint that it alone drives, or else its number."""
    names, number = [str(model.actuator(index).name) for index in range(model.nu)], f"actuator-{actuator}"
    if names[actuator] not in ("", number):
        return names[actuator]
    on_joints = model.actuator_trntype == ON_JOINT
    joint = model.actuator_trnid[actuator, 0]
    alone = on_joints[actuator] and (model.actuator_trnid[on_joints, 0] == joint).sum() == 1
    own = str(model.joint(joint).name) if alone else ""
    return own if own and own not in names else number
