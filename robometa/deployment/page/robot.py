"""A suite's robot as the page simulates it: its model, and where the numbers of the contract are in its state."""

from __future__ import annotations

import base64
from math import isfinite
from typing import Any
from xml.etree import ElementTree

import mujoco
import numpy as np
import torch

from robometa.deployment.page.numbers import OPTIONS, PHYSICAL
from robometa.deployment.page.sources import Source, sources_of
from robometa.errors import UserError
from robometa.sim.locomotion import models
from robometa.sim.locomotion.base import pushed_columns
from robometa.sim.locomotion.beginnings import Array
from robometa.sim.locomotion.layout import Layout
from robometa.sim.locomotion.reader import Reader
from robometa.sim.locomotion.terms import scalar_joints
from robometa.suites.mujoco_numbers import FREE, JOINT_IN_PARENT
from robometa.suites.objective_file import is_own
from robometa.suites.robots import Robot
from robometa.suites.sim_to_real import SimToReal
from robometa.suites.suite import Suite
from robometa.suites.variations import driven_joints

MAX_TEXT = 1 << 20
"""Largest model that a page carries, characters."""


def robot_of(suite: Suite) -> dict[str, Any]:
    """Describes the robot of a locomotion suite, as far as the contract does not.

    Raises:
        UserError: If its model needs other files, or its rewards are a program.
    """
    if is_own(suite.objective):
        raise UserError(f"a page runs no programs, and the rewards of {suite.name} are {suite.objective}")
    robot = suite.robot
    model, layout = models.compiled(robot)
    reader = Reader(robot, model, layout, torch.float64, "cpu")
    samples, observed = sources_of(suite, model, reader)
    begin = reader.beginnings
    return {
        "name": robot.name,
        "xml": model_text(robot),
        "numbers": _numbers(model),
        "options": {name: np.array(getattr(model.opt, name)).tolist() for name in OPTIONS},
        "frame_skip": robot.frame_skip,
        "begin": {
            **{"qpos": begin.qpos.tolist(), "qvel": begin.qvel.tolist(), "act": begin.act.tolist()},
            **{"noise": begin.noise.tolist(), "velocity_noise": _velocity_noise(begin.velocity_noise)},
            **{"velocity_normal": robot.reset_velocity_normal, "careful": robot.careful},
            "limited": [joint for joint in range(model.njnt) if model.jnt_limited[joint]],
            "control": reader.resting.tolist(),
        },
        "samples": [list(one) for one in samples],
        "observed": observed,
        "joints": [int(model.jnt_qposadr[joint]) for joint in scalar_joints(model, robot)],
        "place": _place(layout),
        "quantities": {name: list(columns) for name, columns in (*layout.quantities, *layout.added)},
        "ends": _ends(robot, layout),
        "errors": _errors(robot, model),
        "body": int(model.body(robot.body).id),
        "driven": [int(model.jnt_qposadr[joint]) for joint in driven_joints(model)],
        "free": bool((model.jnt_type == FREE).any()),
        "moved": [_moved(model, index) for index in range(model.nu)],
    }


def _velocity_noise(noise: Array) -> float | list[float]:
    """Scale of the noise on velocities: one number if it is one for all. `[velocity]`."""
    return float(noise[0]) if (noise == noise[0]).all() else noise.tolist()


def model_text(robot: Robot) -> str:
    """The robot's model with its sensors as MJCF.

    Raises:
        UserError: If it needs other files, or is too large.
    """
    text = models.text_of(robot)
    if len(text) > MAX_TEXT:
        raise UserError(f"a page carries models of up to {MAX_TEXT:,} characters, not {len(text):,}")
    root = ElementTree.fromstring(text)
    needed = [one.get("file") for one in root.iter() if one.get("file")]
    if needed:
        raise UserError(f"a page carries one model file, and the physics of {robot.mjcf.name} need {needed[0]} too")
    if robot.gains is not None:
        _limit(root, models.compiled(robot)[0])
    return ElementTree.tostring(root, encoding="unicode")


def _limit(root: ElementTree.Element, model: mujoco.MjModel) -> None:
    """Says which controls and forces have limits, which a suite's gains change."""
    actuators = [one for section in root.findall("actuator") for one in section]
    for index, one in enumerate(actuators):
        for name in ("ctrl", "force"):
            limited = bool(getattr(model, f"actuator_{name}limited")[index])
            one.set(f"{name}limited", "true" if limited else "false")
            if limited:
                low, high = getattr(model, f"actuator_{name}range")[index].tolist()
                one.set(f"{name}range", f"{low!r} {high!r}")


def _numbers(model: mujoco.MjModel) -> dict[str, str | list[int]]:
    """Numbers of the model that its physics depend on: a text has six digits, and not the suite's gains."""
    numbers: dict[str, str | list[int]] = {}
    for name in PHYSICAL:
        array = getattr(model, name)
        if array.size and array.dtype == np.float64:
            numbers[name] = base64.b64encode(array.astype("<f8").tobytes()).decode("ascii")
        elif array.size:
            numbers[name] = array.astype(int).flatten().tolist()
    return numbers


def _place(layout: Layout) -> dict[str, Any]:
    """Sources of the body's x and y; `reading` is where the simulator measures its place, None if the state has it."""
    reading = layout.body_sensor
    if reading is not None:
        return {"reading": reading, "sources": [["reading", reading], ["reading", reading + 1]]}
    return {"reading": None, "sources": [["state", column] for column in layout.position]}


def _height(layout: Layout) -> Source:
    if layout.height is not None:
        return ("state", layout.height)
    return ("reading", (layout.body_sensor or 0) + 2)


def _ends(robot: Robot, layout: Layout) -> dict[str, Any]:
    """Rules that end an episode; None for those that the robot does not have."""
    ends: dict[str, Any] = {"height": None, "pitch": None, "state": None}
    if robot.height is not None:
        low, high = (end if isfinite(end) else None for end in robot.height)
        offset = layout.height_offset if layout.height is not None else 0.0
        ends["height"] = {"source": list(_height(layout)), "offset": offset, "low": low, "high": high}
    if robot.pitch is not None and layout.pitch is not None:
        ends["pitch"] = {"column": layout.pitch, "limit": robot.pitch}
    if robot.state_limit is not None:
        ends["state"] = {"columns": list(layout.limited), "limit": robot.state_limit}
    return ends


def _errors(robot: Robot, model: mujoco.MjModel) -> dict[str, Any]:
    """Errors of motors, and pushes, besides the delay that the contract has."""
    real = robot.real or SimToReal()
    pushed = pushed_columns(model, robot.name, robot.body) if real.push_every else ()
    first = 1 + model.nq
    return {
        "motor_offset": real.motor_offset,
        "gain_error": real.gain_error,
        "push_every": None if real.push_every is None else list(real.push_every),
        "push_speed": real.push_speed,
        "push_turn": real.push_turn,
        "pushed": [None if column is None else column - first for column in pushed],
    }


def _moved(model: mujoco.MjModel, actuator: int) -> int:
    """Body that an actuator's joint moves; -1 for another kind of actuator."""
    if model.actuator_trntype[actuator] > JOINT_IN_PARENT:
        return -1
    return int(model.jnt_bodyid[model.actuator_trnid[actuator, 0]])
