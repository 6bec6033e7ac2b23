"""MuJoCo models of robots: compiled, varied for a task, and the layout of their states and sensor readings."""

from __future__ import annotations

import copy
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, lru_cache

import mujoco
import numpy as np

from robometa.errors import UserError, unknown
from robometa.sim.quiet import quieten
from robometa.suites.model_process import ACTUATOR, FOOT, add_sensors
from robometa.suites.own_model import Sensor, compile_apart
from robometa.suites.robots import Robot, is_shipped
from robometa.suites.task import Task
from robometa.suites.variations import VARIATIONS

OURS = "robometa/"
"""Begin of the names of sensors that this package adds."""
BODY_SENSOR = OURS + "body"
BASE = {"place": "FRAMEPOS", "turn": "FRAMEQUAT", "velocity": "FRAMELINVEL", "rates": "FRAMEANGVEL"}
"""Sensors of the body, in the world's frame."""
MOTORS = {"force": "ACTUATORFRC", "velocity": "ACTUATORVEL"}
"""Sensors of every actuator."""
PLANE = ("x", "y", "z")
MODELS_KEPT = 1024
"""Models kept of the most recent tasks; half a megabyte each."""


@dataclass(frozen=True)
class Layout:
    """Columns of a robot's numbers in the simulator's state (time, qpos, qvel, ...) and in its sensor readings."""

    position: tuple[int, ...]
    """Columns of the state with the base's x and y; empty if a sensor measures it."""
    height: int | None
    """Column of the state that moves the body up and down."""
    height_offset: float
    """Height minus the value of that column, m."""
    pitch: int | None
    joints: tuple[int, ...]
    """Columns of the positions other than the base's x and y."""
    velocities: tuple[int, ...]
    limited: tuple[int, ...]
    """Columns that a state limit applies to: all positions and velocities except the base's x and y."""
    body_sensor: int | None
    """First sensor reading of the body's position, if no joint gives it."""
    sensors: tuple[int, ...]
    """Sensor readings that belong to the robot."""
    quantities: tuple[tuple[str, tuple[int, ...]], ...]
    """Indices of the sensor readings of each named quantity."""
    added: tuple[tuple[str, tuple[int, ...]], ...] = ()
    """Indices of the readings of sensors that `SENSES` added, by group and part, such as `base/turn`."""
    by_sensor: tuple[tuple[str, tuple[int, ...]], ...] = ()
    """Indices of the readings of the model's own sensors."""


@cache
def compiled(robot: Robot) -> tuple[mujoco.MjModel, Layout]:
    """The robot's model as drawn, with its sensors, and its layout.

    Raises:
        UserError: If the model file cannot be read, or lacks a body or sensor that the robot names.
    """
    quieten()
    model = _load(robot)
    faults = _faults(model, robot)
    if faults:
        raise UserError("\n".join(faults))
    sensors: list[Sensor] = [(f"{kind}/{body}", kind.upper(), "BODY", body) for kind, body in robot.sensors]
    if not _plane_joints(model, robot):
        sensors.append((BODY_SENSOR, "FRAMEPOS", "XBODY", robot.body))
    sensors += [sensor for sense in robot.senses for sensor in SENSES[sense](robot, model)]
    if sensors:
        model = _load(robot, tuple(sensors))
    return model, _layout(model, robot)


def _faults(model: mujoco.MjModel, robot: Robot) -> list[str]:
    """Lists what a robot's model lacks."""
    file, faults = robot.mjcf.name, []
    if model.nu < 1 or not 0 < model.opt.timestep < 1:
        faults.append(
            f"{file} is no robot: it needs an actuator, and a time step between 0 and 1 s; "
            f"it has {model.nu} and {model.opt.timestep} s"
        )
    bodies = [model.body(index).name for index in range(1, model.nbody)]
    if robot.body not in bodies:
        faults.append(unknown("body", robot.body, bodies, file) + "; say which one in [robot] body")
    sensors = [model.sensor(index).name for index in range(model.nsensor)]
    faults += [
        unknown("sensor", sensor, sensors, file) + f" (for the quantity {quantity})"
        for quantity, sensor in robot.quantities
        if sensor not in sensors
    ]
    faults += [
        unknown("sensor", term.sensor, sensors, file) + " (for observe)"
        for term in robot.terms
        if term.sensor and term.sensor not in (*sensors, *(f"{kind}/{body}" for kind, body in robot.sensors))
    ]
    geoms = [model.geom(index).name for index in range(model.ngeom)]
    faults += [
        unknown("foot", foot, list(filter(None, (*geoms, *bodies))), file)
        for foot in robot.feet
        if foot not in geoms and foot not in bodies
    ]
    return faults


def _base_sensors(robot: Robot, model: mujoco.MjModel) -> list[Sensor]:
    return [(f"{OURS}base/{part}", kind, "XBODY", robot.body) for part, kind in BASE.items()]


def _motor_sensors(robot: Robot, model: mujoco.MjModel) -> list[Sensor]:
    places = range(model.nu)  # actuators may have no names
    return [
        (f"{OURS}forces/{part}/{place}", kind, ACTUATOR, str(place))
        for part, kind in MOTORS.items()
        for place in places
    ]


def _foot_sensors(robot: Robot, model: mujoco.MjModel) -> list[Sensor]:
    return [(f"{OURS}feet/{foot}", "TOUCH", FOOT, foot) for foot in robot.feet]


SENSES: dict[str, Callable[[Robot, mujoco.MjModel], list[Sensor]]] = {
    "base": _base_sensors,
    "forces": _motor_sensors,
    "feet": _foot_sensors,
}
"""Sensors that observations and objectives ask for, by group."""


def _load(robot: Robot, sensors: tuple[Sensor, ...] = ()) -> mujoco.MjModel:
    """Compiles a robot's model with sensors added to it: a user's own in another process, a shipped one here."""
    if not is_shipped(robot.mjcf):
        return from_binary(compile_apart(robot.mjcf, sensors).binary)
    try:
        spec = mujoco.MjSpec.from_file(str(robot.mjcf))
        add_sensors(spec, sensors)
        with warnings.catch_warnings():  # of newer MuJoCo, on attributes in old files
            warnings.filterwarnings("ignore", "compiler attribute", UserWarning)
            return spec.compile()
    except (ValueError, RuntimeError) as error:
        raise UserError(f"{robot.mjcf.name} is not a model that MuJoCo can load: {error}") from None


def from_binary(binary: bytes) -> mujoco.MjModel:
    """Loads a model from MuJoCo's binary format."""
    return mujoco.MjModel.from_binary_path("model.mjb", {"model.mjb": binary})


@lru_cache(maxsize=MODELS_KEPT)
def varied(task: Task) -> mujoco.MjModel:
    """The model of a task, not to be changed: the robot's own where the task changes nothing of it, else a copy."""
    model, _ = compiled(task.robot)
    if not any(name in VARIATIONS for name, _ in task.parameters):
        return model
    model = copy.copy(model)
    vary(model, task)
    return model


def vary(model: mujoco.MjModel, task: Task) -> None:
    """Applies a task's variations to its robot's model, and recomputes the derived constants."""
    for name, value in task.parameters:
        if name in VARIATIONS:
            VARIATIONS[name].apply(model, np.array(value), task.robot)
    mujoco.mj_setConst(model, mujoco.MjData(model))


def _plane_joints(model: mujoco.MjModel, robot: Robot) -> dict[str, int]:
    """Addresses in qpos of what moves the body along x, y and z and pitches it, where its own joints do."""
    addresses: dict[str, int] = {}
    body = model.body(robot.body)
    if body.parentid[0] != 0:
        return addresses
    for joint in range(body.jntadr[0], body.jntadr[0] + body.jntnum[0]):
        address, axis = int(model.jnt_qposadr[joint]), np.abs(model.jnt_axis[joint])
        kind = model.jnt_type[joint]
        if kind == mujoco.mjtJoint.mjJNT_FREE:
            return {"x": address, "y": address + 1, "z": address + 2}
        main = PLANE[int(axis.argmax())] if axis.max() > 0.999 else None
        if kind == mujoco.mjtJoint.mjJNT_SLIDE and main is not None:
            addresses[main] = address
        elif kind == mujoco.mjtJoint.mjJNT_HINGE and main == "y":
            addresses["pitch"] = address
    return addresses if "x" in addresses else {}


def _layout(model: mujoco.MjModel, robot: Robot) -> Layout:
    addresses = _plane_joints(model, robot)
    plane = [addresses[axis] for axis in ("x", "y") if axis in addresses]
    qpos, qvel = 1, 1 + model.nq
    joints = [index for index in range(model.nq) if index not in plane]
    velocities = range(qvel, qvel + model.nv)
    height = addresses.get("z")
    if robot.height is not None and height is None:
        raise UserError(
            f"robot {robot.name}: a height range needs a body that its own joints carry, in {robot.mjcf.name}"
        )
    if robot.pitch is not None and "pitch" not in addresses:
        raise UserError(f"robot {robot.name}: a pitch limit needs a body with a hinge about y, in {robot.mjcf.name}")
    every = [
        (model.sensor(index).name, tuple(range(address, address + size)))
        for index, (address, size) in enumerate(zip(model.sensor_adr.tolist(), model.sensor_dim.tolist(), strict=True))
    ]
    readings = dict(every)
    own = [(name, columns) for name, columns in every if not name.startswith(OURS)]
    added: dict[str, tuple[int, ...]] = {}
    for name, columns in every:
        if name.startswith(OURS) and name != BODY_SENSOR:
            group, part = name.removeprefix(OURS).split("/")[:2]
            key = "feet" if group == "feet" else f"{group}/{part}"
            added[key] = (*added.get(key, ()), *columns)
    return Layout(
        position=tuple(qpos + index for index in plane),
        height=None if height is None else qpos + height,
        height_offset=0.0 if height is None else float(model.body(robot.body).pos[2] - model.qpos0[height]),
        pitch=qpos + addresses["pitch"] if "pitch" in addresses else None,
        joints=tuple(qpos + index for index in joints),
        velocities=tuple(velocities),
        limited=(*(qpos + index for index in joints), *velocities),
        body_sensor=readings[BODY_SENSOR][0] if BODY_SENSOR in readings else None,
        sensors=tuple(column for _, columns in own for column in columns),
        quantities=tuple((quantity, readings[sensor]) for quantity, sensor in robot.quantities),
        added=tuple(added.items()),
        by_sensor=tuple(own),
    )
