"""Names, units and ranges of a locomotion robot's observations and actions, from its model."""

from __future__ import annotations

from math import inf

import mujoco
import torch

from robometa.sim.locomotion import models
from robometa.sim.locomotion.actions import actuator_name, integrates
from robometa.sim.locomotion.reader import Reader
from robometa.sim.locomotion.term_signals import Parts, term_signals
from robometa.sim.locomotion.terms import scalar_joints
from robometa.sim.signal import RobotSpaces, Signal
from robometa.suites.mujoco_numbers import BALL, FREE, ON_JOINT, SLIDE
from robometa.suites.suite import Suite

PLACE, TURN = ("x", "y", "z"), ("qw", "qx", "qy", "qz")
SPIN = ("wx", "wy", "wz")
UNITS = {
    **dict.fromkeys(("ACCELEROMETER", "FRAMELINACC"), "m/s^2"),
    **dict.fromkeys(("VELOCIMETER", "FRAMELINVEL", "SUBTREELINVEL"), "m/s"),
    **dict.fromkeys(("GYRO", "FRAMEANGVEL", "BALLANGVEL"), "rad/s"),
    **dict.fromkeys(("FRAMEPOS", "SUBTREECOM", "RANGEFINDER", "GEOMDIST", "TENDONPOS"), "m"),
    **dict.fromkeys(("TENDONVEL",), "m/s"),
    **dict.fromkeys(("FORCE", "TOUCH"), "N"),
    **dict.fromkeys(("TORQUE",), "N m"),
    **dict.fromkeys(("FRAMEANGACC",), "rad/s^2"),
    **dict.fromkeys(("MAGNETOMETER",), "T"),
    **dict.fromkeys(("CLOCK",), "s"),
    **dict.fromkeys(("FRAMEQUAT", "FRAMEXAXIS", "FRAMEYAXIS", "FRAMEZAXIS", "BALLQUAT"), "1"),
}
"""Units of sensors whose unit does not depend on the joint that they look at; by MuJoCo's name."""
OF_JOINTS = {"JOINTPOS": "", "JOINTVEL": "/s", "JOINTACTFRC": "force"}
"""Sensors whose unit depends on their joint: suffix to the joint's unit, or its force."""


def robot_spaces(suite: Suite) -> RobotSpaces:
    """Describes a suite's signals by the names in the robot's model: `qpos/JOINT`, `qvel/JOINT`, a sensor's own name.

    Raises:
        UserError: If the robot's model cannot be loaded.
    """
    model, layout = models.compiled(suite.robot)
    reader = Reader(suite.robot, model, layout, torch.float64, "cpu")
    carrying = set(range(model.njnt)) - set(scalar_joints(model, suite.robot))
    state = [
        Signal("time", "s"),
        *_positions(model, carrying),
        *_velocities(model, suite.robot.velocity_clip, carrying),
    ]
    readings = _readings(model)
    former = [state[column] for column in reader.columns] + [readings[column] for column in reader.readings]
    observed = term_signals(suite, model, reader, Parts(state, readings, former)) if suite.robot.terms else former
    controls = reader.controls
    mapping = (tuple(controls.centre.tolist()), tuple(controls.scale.tolist())) if controls.clips else None
    return RobotSpaces(tuple(observed), tuple(_actions(model, reader)), 1 / reader.control_step, mapping)


def part_name(kind: str, name: str, index: int) -> str:
    """Name of a part of the model; its index if it has no name."""
    return name or f"{kind}-{index}"


def _positions(model: mujoco.MjModel, carrying: set[int]) -> list[Signal]:
    """Signals of qpos; no robot measures how far the joints that carry its body have moved it."""
    signals = []
    for index in range(model.njnt):
        joint = model.joint(index)
        name, kind = f"qpos/{part_name('joint', joint.name, index)}", int(model.jnt_type[index])
        if kind in (FREE, BALL):
            signals += [Signal(f"{name}/{axis}", "m", measured=False) for axis in PLACE] if kind == FREE else []
            signals += [Signal(f"{name}/{axis}", "1", -1.0, 1.0) for axis in TURN]
        else:
            low, high = model.jnt_range[index] if model.jnt_limited[index] else (-inf, inf)
            unit = joint_unit(model, index)
            signals.append(Signal(name, unit, float(low), float(high), measured=unit != "m" or index not in carrying))
    return signals


def _velocities(model: mujoco.MjModel, clip: float | None, carrying: set[int]) -> list[Signal]:
    """Signals of qvel, within the bound that the robot's observation has."""
    signals: list[Signal] = []
    reach = (-inf, inf) if clip is None else (-clip, clip)
    limit = None if clip is None else reach
    for index in range(model.njnt):
        joint = model.joint(index)
        name, kind = f"qvel/{part_name('joint', joint.name, index)}", int(model.jnt_type[index])
        if kind in (FREE, BALL):
            linear = PLACE if kind == FREE else ()
            signals += [Signal(f"{name}/{axis}", "m/s", *reach, clip=limit, measured=False) for axis in linear]
            signals += [Signal(f"{name}/{axis}", "rad/s", *reach, clip=limit) for axis in SPIN]
        else:
            unit = joint_unit(model, index)
            measured = unit != "m" or index not in carrying
            signals.append(Signal(name, f"{unit}/s", *reach, clip=limit, measured=measured))
    return signals


def joint_unit(model: mujoco.MjModel, joint: int) -> str:
    """Unit of a joint's position."""
    return "m" if model.jnt_type[joint] == SLIDE else "rad"


def _readings(model: mujoco.MjModel) -> list[Signal]:
    """Signals of all sensor readings."""
    signals: list[Signal] = []
    for index in range(model.nsensor):
        sensor, size = model.sensor(index), int(model.sensor_dim[index])
        name = part_name("sensor", sensor.name, index)
        kind = mujoco.mjtSensor(int(model.sensor_type[index])).name.removeprefix("mjSENS_")
        unit = _sensor_unit(model, kind, int(model.sensor_objid[index]))
        axes = {1: ("",), 3: ("/x", "/y", "/z"), 4: tuple(f"/{axis}" for axis in TURN)}
        signals += [Signal(name + part, unit) for part in axes.get(size, tuple(f"/{place}" for place in range(size)))]
    return signals


def _sensor_unit(model: mujoco.MjModel, kind: str, looked_at: int) -> str:
    """Unit of a sensor; `1` where MuJoCo gives it none."""
    if kind not in OF_JOINTS:
        return UNITS.get(kind, "1")
    unit, suffix = joint_unit(model, looked_at), OF_JOINTS[kind]
    return {"m": "N", "rad": "N m"}[unit] if suffix == "force" else unit + suffix


def _actions(model: mujoco.MjModel, reader: Reader) -> list[Signal]:
    """Signals of ctrl, with the ranges onto which actions in -1..1 are mapped."""
    ends = torch.stack([reader.control(torch.full((1, model.nu), end))[0] for end in (-1.0, 1.0)]).tolist()
    return [
        Signal(actuator_name(model, index), _actuator_unit(model, index), low, high)
        for index, (low, high) in enumerate(zip(*ends, strict=True))
    ]


def _actuator_unit(model: mujoco.MjModel, actuator: int) -> str:
    """Unit of an actuator's control: a servo's target, or a motor's force at a control of 1."""
    if model.actuator_trntype[actuator] != ON_JOINT:
        return "1"
    joint, gear = int(model.actuator_trnid[actuator, 0]), float(model.actuator_gear[actuator, 0])
    unit = joint_unit(model, joint)
    position, velocity = model.actuator_biasprm[actuator, 1:3]
    if model.actuator_biastype[actuator] == mujoco.mjtBias.mjBIAS_AFFINE and (position or velocity):
        # A servo's length is gear times the joint's position, so its unit is the joint's for a gear of 1 only.
        rate = not position or integrates(model, actuator)
        return (f"{unit}/s" if rate else unit) if gear == 1 else "1"
    fixed = model.actuator_gaintype[actuator] == mujoco.mjtGain.mjGAIN_FIXED
    if not fixed or model.actuator_dyntype[actuator] != mujoco.mjtDyn.mjDYN_NONE:
        return "1"
    force = gear * float(model.actuator_gainprm[actuator, 0])
    return f"{'' if force == 1 else f'{force:g} '}{'N' if unit == 'm' else 'N m'}"
