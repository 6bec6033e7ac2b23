"""A suite's robot as the page simulates it: its model, and the columns that are observed, measured and limited."""

from __future__ import annotations

from math import isfinite
from typing import Any
from xml.sax.saxutils import quoteattr

import mujoco
import torch

from robometa.errors import UserError
from robometa.sim.locomotion import models
from robometa.sim.locomotion.actions import actuator_name
from robometa.sim.locomotion.layout import BODY_SENSOR, Layout
from robometa.sim.locomotion.reader import Reader
from robometa.sim.locomotion.wiring import needed
from robometa.suites.mjcf_check import read_model
from robometa.suites.robots import Robot, Sizes
from robometa.suites.suite import Suite
from robometa.suites.variations import driven_joints

MAX_MODEL_BYTES = 1 << 20
"""Largest model file that a page carries, bytes."""


def robot_of(suite: Suite) -> dict[str, Any]:
    """Describes the robot of a locomotion suite.

    Raises:
        UserError: If its model needs other files, or sensors that the page cannot add.
    """
    robot = suite.robot
    text = model_text(robot)
    model, layout = models.compiled(robot)
    reader = Reader(robot, model, layout, torch.float64, "cpu")
    _require_plain(suite, reader)
    ends = (reader.control(torch.full((1, model.nu), end, dtype=torch.float64))[0] for end in (-1.0, 1.0))
    low, high = (end.tolist() for end in ends)
    return {
        "name": robot.name,
        "xml": text,
        "frame_skip": robot.frame_skip,
        "rest": reader.beginnings.qpos.tolist(),
        "columns": reader.columns,
        "readings": reader.readings,
        "clip": _clip(robot, layout, reader),
        "position": list(layout.position),
        "body_sensor": layout.body_sensor,
        "quantities": {name: list(columns) for name, columns in layout.quantities},
        "ends": _ends(robot, layout),
        "reset_noise": robot.reset_noise,
        "reset_velocity_noise": robot.reset_velocity_noise,
        "reset_velocity_normal": robot.reset_velocity_normal,
        "offset": [(one + other) / 2 for one, other in zip(high, low, strict=True)],
        "scale": [(one - other) / 2 for one, other in zip(high, low, strict=True)],
        "body": int(model.body(robot.body).id),
        "driven": [int(one) for one in model.jnt_qposadr[model.actuator_trnid[:, 0]]] if drives_joints(suite) else [],
        "free": bool((model.jnt_type == mujoco.mjtJoint.mjJNT_FREE).any()),
        "moved": [_moved(model, index) for index in range(model.nu)],
    }


def _require_plain(suite: Suite, reader: Reader) -> None:
    """Checks that the page's simulation knows all that a suite asks for.

    Raises:
        UserError: If it does not.
    """
    robot, begin = suite.robot, reader.beginnings
    unknown = {
        "observation terms, a command, [sim_to_real] or an objective of its own": needed(suite),
        "gains": robot.gains is not None,
        "floor": robot.floor,
        "an action map beyond the controls' ranges": reader.controls.clips,
        "reset_base_noise or reset_joint_noise": (robot.reset_base_noise, robot.reset_joint_noise) != (None, None),
        "a keyframe with velocities": bool(begin.qvel.any() or begin.act.any()),
    }
    names = [name for name, there in unknown.items() if there]
    if names:
        raise UserError(f"a page cannot show {suite.name} yet: it has {', '.join(names)}")


def model_text(robot: Robot) -> str:
    """The robot's MJCF with the sensors that are added to it.

    Raises:
        UserError: If it needs other files, is too large, or a sensor cannot be added.
    """
    read = read_model(robot.mjcf)
    if read.faults:
        raise UserError("\n".join(read.faults))
    if len(read.files) > 1:
        raise UserError(f"a page carries one model file, and {robot.mjcf.name} needs {read.files[1].name} too")
    content = read.content[read.files[0]]
    if len(content) > MAX_MODEL_BYTES:
        raise UserError(f"a page carries models of up to {MAX_MODEL_BYTES:,} bytes, not {len(content):,}")
    try:
        text = content.decode()
    except UnicodeDecodeError:
        raise UserError(f"a page carries models in UTF-8, and {robot.mjcf.name} is none") from None
    added = [_sensor(kind, f"{kind}/{body}", "body", body) for kind, body in robot.sensors]
    if models.compiled(robot)[1].body_sensor is not None:
        added.append(_sensor("framepos", BODY_SENSOR, "xbody", robot.body))
    head, end, tail = text.rpartition("</mujoco>")
    return f"{head}<sensor>{''.join(added)}</sensor>{end}{tail}" if added else text


def sizes_of(suite: Suite) -> Sizes:
    """Counts the parts of a suite's compiled model."""
    model, _ = models.compiled(suite.robot)
    counts = {"bodies": model.nbody - 1, "geoms": model.ngeom, "velocities": model.nv, "actuators": model.nu}
    return Sizes(**counts, timestep=model.opt.timestep, driven=len(driven_joints(model)))


def actuators_of(suite: Suite) -> list[str]:
    """Names of the actuators."""
    model, _ = models.compiled(suite.robot)
    return [actuator_name(model, index) for index in range(model.nu)]


def drives_joints(suite: Suite) -> bool:
    """Returns True if every actuator of a suite's robot drives a joint."""
    model, _ = models.compiled(suite.robot)
    return bool((model.actuator_trntype == mujoco.mjtTrn.mjTRN_JOINT).all())


def _clip(robot: Robot, layout: Layout, reader: Reader) -> list[float | None] | None:
    """Bound of each observed number; None for those without one, or if none has."""
    if robot.velocity_clip is None:
        return None
    columns = [robot.velocity_clip if column in layout.velocities else None for column in reader.columns]
    return columns + [None] * len(reader.readings)


def _moved(model: mujoco.MjModel, actuator: int) -> int:
    """Body that an actuator's joint moves; -1 for another kind of actuator."""
    if model.actuator_trntype[actuator] != mujoco.mjtTrn.mjTRN_JOINT:
        return -1
    return int(model.jnt_bodyid[model.actuator_trnid[actuator, 0]])


def _sensor(kind: str, name: str, type_of: str, looked_at: str) -> str:
    """A sensor's element.

    Raises:
        UserError: If its kind has other attributes.
    """
    if kind.startswith("subtree"):
        return f"<{kind} name={quoteattr(name)} body={quoteattr(looked_at)}/>"
    if kind.startswith("frame"):
        return f"<{kind} name={quoteattr(name)} objtype={quoteattr(type_of)} objname={quoteattr(looked_at)}/>"
    raise UserError(f"a page adds sensors of the kinds subtree... and frame..., not {kind}")


def _ends(robot: Robot, layout: Layout) -> dict[str, Any]:
    """Rules that end an episode; None for those that the robot does not have."""
    ends: dict[str, Any] = {"height": None, "pitch": None, "state": None}
    if robot.height is not None and layout.height is not None:
        low, high = robot.height
        ends["height"] = {
            "column": layout.height,
            "offset": layout.height_offset,
            "low": low if isfinite(low) else None,
            "high": high if isfinite(high) else None,
        }
    if robot.pitch is not None and layout.pitch is not None:
        ends["pitch"] = {"column": layout.pitch, "limit": robot.pitch}
    if robot.state_limit is not None:
        ends["state"] = {"columns": list(layout.limited), "limit": robot.state_limit}
    return ends
