"""MuJoCo models of robots: compiled, given the suite's gains, and varied for a task."""

from __future__ import annotations

import copy
import warnings
from collections.abc import Callable
from functools import cache

import mujoco
import numpy as np

from robometa.errors import UserError, unknown
from robometa.sim.locomotion.actions import control_range
from robometa.sim.locomotion.gains import servo
from robometa.sim.locomotion.ground import falls_for_ever
from robometa.sim.locomotion.keyframes import keyframe_of, place_mocap
from robometa.sim.locomotion.layout import BODY_SENSOR, OURS, BodyMap, Layout, body_map, layout_of
from robometa.sim.locomotion.terrain import has_terrain, lay
from robometa.sim.quiet import quieten
from robometa.suites.model_edits import ACTUATOR, FOOT, add_sensors, add_terrain, name_bodies
from robometa.suites.model_edits import text_of as model_text
from robometa.suites.numbers import MAX_SEEN
from robometa.suites.own_model import Sensor, compile_robot
from robometa.suites.robots import Robot, is_shipped
from robometa.suites.task import Task
from robometa.suites.variations import VARIATIONS

BASE = {"place": "FRAMEPOS", "turn": "FRAMEQUAT", "velocity": "FRAMELINVEL", "rates": "FRAMEANGVEL"}
"""Sensors of the body, in the world's frame."""
MOTORS = {"force": "ACTUATORFRC", "velocity": "ACTUATORVEL"}
"""Sensors of every actuator."""
MOST_KEPT = 1 << 28
"""Limit on the bytes of all varied models that are kept for later batches."""


@cache
def compiled(robot: Robot) -> tuple[mujoco.MjModel, Layout]:
    """The robot's model as drawn, with its sensors and gains, and its layout.

    Raises:
        UserError: If the model file cannot be read, lacks what the robot names, or cannot work as a robot.
    """
    quieten()
    if robot.floor and is_shipped(robot.mjcf):
        raise UserError(f"robot {robot.name} has a floor: floor = true is for a model of your own")
    model = _load(robot)
    faults = _faults(model, robot)
    if faults:
        raise UserError("\n".join(faults))
    rule = body_map(model, robot.body)
    sensors = _added_sensors(robot, model, rule)
    if sensors:
        model = _load(robot, sensors)
    servo(model, robot)
    place_mocap(model, robot)
    _require_moderate(model, robot)
    return model, layout_of(model, robot, rule)


def text_of(robot: Robot) -> str:
    """The robot's model with its sensors as one MJCF text, without what only shows and without the suite's gains.

    Raises:
        UserError: If the model cannot be read.
    """
    model, _ = compiled(robot)
    sensors = _added_sensors(robot, model, body_map(model, robot.body))
    if not is_shipped(robot.mjcf):
        return compile_robot(robot, sensors, text=True).text

    def again() -> mujoco.MjSpec:
        spec = mujoco.MjSpec.from_file(str(robot.mjcf))
        name_bodies(spec)
        add_sensors(spec, sensors)
        return spec

    return model_text(again().compile(), again)


def _added_sensors(robot: Robot, model: mujoco.MjModel, rule: BodyMap | None) -> tuple[Sensor, ...]:
    """Sensors that are added to a robot's model."""
    sensors: list[Sensor] = [(f"{kind}/{body}", kind.upper(), "BODY", body) for kind, body in robot.sensors]
    if rule is None or not rule.is_plain:
        sensors.append((BODY_SENSOR, "FRAMEPOS", "XBODY", robot.body))
    return (*sensors, *(sensor for sense in robot.senses for sensor in SENSES[sense](robot, model)))


def _require_moderate(model: mujoco.MjModel, robot: Robot) -> None:
    """Checks the numbers that a policy sees first, and those that its actions stand for.

    Raises:
        UserError: If one is so large that it is beyond float32 once it is scaled.
    """
    ends = [end for index in range(model.nu) for end in control_range(model, index)]
    if not all(abs(end) <= MAX_SEEN for end in ends):
        raise UserError(f"a control of {robot.mjcf.name} has a range beyond {MAX_SEEN:g}")
    key = keyframe_of(model, robot)
    begin = [model.qpos0] if key is None else [model.key_qpos[key], model.key_qvel[key], model.key_act[key]]
    if not all((np.abs(numbers) <= MAX_SEEN).all() for numbers in begin):
        raise UserError(f"episodes of {robot.mjcf.name} begin at numbers beyond {MAX_SEEN:g}")


def _faults(model: mujoco.MjModel, robot: Robot) -> list[str]:
    """Lists what a robot's model lacks."""
    file, faults = robot.mjcf.name, []
    if model.nu < 1 or not 0 < model.opt.timestep < 1:
        faults.append(
            f"{file} is no robot: it needs an actuator, and a time step between 0 and 1 s; "
            f"it has {model.nu} and {model.opt.timestep} s" + ("" if model.nu else "; [robot] gains gives it servos")
        )
    bodies = [model.body(index).name for index in range(1, model.nbody)]
    if robot.body not in bodies:
        faults.append(unknown("body", robot.body, bodies, file) + "; say which one in [robot] body")
    elif not _moves(model, model.body(robot.body).id):
        faults.append(f"body {robot.body!r} of {file} cannot move: no joint carries it; say another in [robot] body")
    elif falls_for_ever(model, model.body(robot.body).id):
        faults.append(
            f"{file} has no floor, so that {robot.body} falls for ever: name the scene that includes it, or write "
            "floor = true in [robot]"
        )
    sensors = [name for index in range(model.nsensor) if (name := model.sensor(index).name)]
    faults += [
        f"sensor {sensor!r} of {file} has a name that begins with {OURS}, as those do that are added: name it otherwise"
        for sensor in sensors
        if sensor.startswith(OURS)
    ]
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


def _moves(model: mujoco.MjModel, body: int) -> bool:
    return bool(model.body_weldid[body] != 0)


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
        return from_binary(compile_robot(robot, sensors).binary)
    try:
        spec = mujoco.MjSpec.from_file(str(robot.mjcf))
        if robot.real is not None and robot.real.terrain is not None:
            add_terrain(spec, robot.real.terrain)
        add_sensors(spec, sensors)
        with warnings.catch_warnings():  # of newer MuJoCo, on attributes in old files
            warnings.filterwarnings("ignore", "compiler attribute", UserWarning)
            return spec.compile()
    except (ValueError, RuntimeError) as error:
        raise UserError(f"{robot.mjcf.name} is not a model that MuJoCo can load: {error}") from None


def from_binary(binary: bytes) -> mujoco.MjModel:
    """Loads a model from MuJoCo's binary format."""
    return mujoco.MjModel.from_binary_path("model.mjb", {"model.mjb": binary})


_kept: dict[Task, mujoco.MjModel] = {}
"""Models of the most recent tasks, the oldest first."""


def varied(task: Task) -> mujoco.MjModel:
    """The model of a task, not to be changed: the robot's own where the task changes nothing of it, else a copy.

    Copies of recent tasks are kept, as many as `MOST_KEPT` bytes hold.
    """
    model, _ = compiled(task.robot)
    if not has_terrain(task) and not any(name in VARIATIONS for name, _ in task.parameters):
        return model
    if task in _kept:
        return _kept[task]
    model = copy.copy(model)
    vary(model, task)
    size = mujoco.mj_sizeModel(model)
    while _kept and sum(map(mujoco.mj_sizeModel, _kept.values())) + size > MOST_KEPT:
        _kept.pop(next(iter(_kept)), None)
    _kept[task] = model
    return model


def vary(model: mujoco.MjModel, task: Task, only_looks: bool = False) -> None:
    """Applies a task's variations to its robot's model, and recomputes the derived constants.

    Args:
        model: The model to change.
        task: The task.
        only_looks: Leave out what does not change how the robot looks.
    """
    for name, value in task.parameters:
        if name in VARIATIONS and (VARIATIONS[name].shows or not only_looks):
            VARIATIONS[name].apply(model, np.array(value), task.robot)
    place_mocap(model, task.robot)
    lay(model, task)
    mujoco.mj_setConst(model, mujoco.MjData(model))
