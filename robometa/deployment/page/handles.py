"""Handles: the commands and the hidden numbers of a suite that a visitor of the page changes."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from robometa.sim.locomotion import models
from robometa.sim.locomotion.actions import actuator_name
from robometa.suites.command import COMMANDS
from robometa.suites.mujoco_numbers import HINGE, JOINT_IN_PARENT, SLIDE
from robometa.suites.own_model import sizes_of
from robometa.suites.suite import Suite
from robometa.suites.variations import VARIATIONS

DEGREE = math.pi / 180


@dataclass(frozen=True)
class Shown:
    """Label, unit and range of a handle, in the unit that is shown."""

    label: str
    unit: str
    low: float
    high: float
    step: float
    factor: float = 1.0
    """Hidden number by the shown one."""


CHANGES = {
    "slope": Shown("Slope", "\N{DEGREE SIGN}", -17, 17, 0.5, DEGREE),
    "payload": Shown("Payload", "kg", 0, 6, 0.1),
    "gravity": Shown("Gravity", "\N{MULTIPLICATION SIGN}", 0.3, 1.7, 0.05),
    "geom_friction": Shown("Friction", "\N{MULTIPLICATION SIGN}", 0.1, 2, 0.05),
    "body_mass": Shown("Mass of all parts", "\N{MULTIPLICATION SIGN}", 0.5, 2, 0.05),
    "joint_damping": Shown("Joint damping", "\N{MULTIPLICATION SIGN}", 0.2, 4, 0.1),
    "motor_strength": Shown("Motor strength", "\N{MULTIPLICATION SIGN}", 0.2, 1.5, 0.05),
    "joint_offset": Shown("Joint offset", "\N{DEGREE SIGN}", -10, 10, 0.5, DEGREE),
}
"""Handles on the variations of a model; one number changes all parts alike."""
ASKED = {
    "velocity": (Shown("Speed asked for", "m/s", 0, 0, 0.05),),
    "lateral_velocity": (Shown("Speed to the left asked for", "m/s", 0, 0, 0.05),),
    "yaw_rate": (Shown("Turning rate asked for", "rad/s", 0, 0, 0.05),),
    "height": (Shown("Height asked for", "m", 0, 0, 0.01),),
    "direction": (Shown("Direction asked for", "", -1, 1, 2),),
    "angle": (Shown("Heading asked for", "\N{DEGREE SIGN}", -180, 180, 5, DEGREE),),
    "goal": (Shown("Goal, x", "m", 0, 0, 0.05), Shown("Goal, y", "m", 0, 0, 0.05)),
}
"""Handles on the parameters of an objective and on commands; a range of 0 is that of the suite's tasks."""
assert set(ASKED) == set(COMMANDS)
DIRECTIONS = [{"label": "forward", "value": 1}, {"label": "backward", "value": -1}]
JOINTS = {"b": "hind", "f": "front"}
"""Words for the first letter of the half-cheetah's joints."""


def handles_of(suite: Suite) -> list[dict[str, Any]]:
    """Handles on all that a locomotion suite asks, hides or could hide, in the order of the page."""
    return [*_commands(suite), *_asked(suite), _broken(suite), *_changes(suite)]


def variations_of(suite: Suite) -> dict[str, dict[str, float]]:
    """Count of the numbers of every variation on the suite's robot, and the number that changes nothing."""
    sizes = sizes_of(suite.robot)
    return {
        name: {"size": VARIATIONS[name].size(sizes), "neutral": VARIATIONS[name].neutral} for name in _possible(suite)
    }


def _possible(suite: Suite) -> list[str]:
    """Variations that the suite's robot can have."""
    return [name for name in CHANGES if name != "joint_offset" or _drives_joints(suite)]


def _drives_joints(suite: Suite) -> bool:
    """Returns True if every actuator of a suite's robot drives a hinge or a slide."""
    model, _ = models.compiled(suite.robot)
    scalar = (SLIDE, HINGE)
    moved = zip(model.actuator_trntype.tolist(), model.actuator_trnid[:, 0].tolist(), strict=True)
    return all(kind <= JOINT_IN_PARENT and model.jnt_type[joint] in scalar for kind, joint in moved)


def _commands(suite: Suite) -> Iterator[dict[str, Any]]:
    """Handles on the visible commands, from the middle of what training asked for."""
    if suite.command is None:
        return
    lowest, highest = suite.command.ends()
    for name in suite.command.names:
        for index, shown in enumerate(ASKED[name]):
            low, high = (ends[name][index] / shown.factor for ends in (lowest, highest))
            step = (high - low) / 50 if 0 < high - low < 10 * shown.step else shown.step
            handle = _handle(f"{name}-{index}", "command", name, shown, low, high, (low + high) / 2)
            handle |= {"index": index, "trained": True, "step": step}
            if name == "direction":
                handle |= {"choices": DIRECTIONS, "value": 1}
            yield handle


def _asked(suite: Suite) -> Iterator[dict[str, Any]]:
    first = dict((suite.test or suite.train)[0].parameters)
    for name, shown in ASKED.items():
        if name not in first:
            continue
        numbers = [dict(task.parameters)[name] for task in (*suite.train, *suite.test)]
        for index, one in enumerate(shown):
            column = [value[index] for value in numbers]
            low, high = (one.low, one.high) if one.low < one.high else (math.floor(min(column)), math.ceil(max(column)))
            middle = first[name][index] / one.factor if name != "velocity" else (low + high) / 2
            handle = _handle(f"{name}-{index}", "objective", name, one, low, high, middle) | {"index": index}
            handle |= {"trained": len(set(column)) > 1}
            yield handle | ({"choices": DIRECTIONS, "value": 1} if name == "direction" else {})


def _changes(suite: Suite) -> Iterator[dict[str, Any]]:
    varied = {name for task in suite.train for name, _ in task.parameters}
    for name in _possible(suite):
        shown, neutral = CHANGES[name], VARIATIONS[name].neutral
        handle = _handle(name, "variation", name, shown, shown.low, shown.high, neutral)
        yield handle | {"index": 0, "trained": name in varied}


def _broken(suite: Suite) -> dict[str, Any]:
    choices = [{"label": "none", "value": -1}]
    model, _ = models.compiled(suite.robot)
    names = [actuator_name(model, index) for index in range(model.nu)]
    choices += [{"label": _in_words(name), "value": index} for index, name in enumerate(names)]
    varied = {name for task in suite.train for name, _ in task.parameters}
    return {
        "id": "broken",
        "kind": "joint",
        "name": "motor_strength",
        "label": "Broken joint",
        "choices": choices,
        "value": -1,
        "trained": "motor_strength" in varied,
    }


def _handle(identity: str, kind: str, name: str, shown: Shown, low: float, high: float, value: float) -> dict[str, Any]:
    return {
        "id": identity,
        "kind": kind,
        "name": name,
        "label": shown.label,
        "unit": shown.unit,
        "min": low,
        "max": high,
        "step": shown.step,
        "factor": shown.factor,
        "value": value,
    }


def _in_words(name: str) -> str:
    """An actuator's name; of the half-cheetah's in full."""
    part = name[1:]
    return f"{JOINTS[name[0]]} {part}" if name[:1] in JOINTS and part in ("thigh", "shin", "foot") else name
