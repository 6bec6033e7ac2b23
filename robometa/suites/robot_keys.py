"""Readers of the values in a robot's table of a suite's file. Standard library only."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from robometa.errors import unknown
from robometa.suites.numbers import error_size, flag, not_negative, number, positive, text, whole
from robometa.suites.objectives import QUANTITIES
from robometa.suites.observation import NAMES, Term, read_term
from robometa.suites.robots import PARTS, ActionMap, Gains, Physics

CENTRES = ("keyframe", "range")
"""Controls that an action of 0 may stand for."""
CONES = ("pyramidal", "elliptic")
"""MuJoCo's friction cones."""
MAX_TIMESTEP = 0.1
"""Longest physics step, s."""
MAX_ITERATIONS = 1000
"""Most steps of the solver, and of its line search."""
MAX_TERMS = 100
"""Most terms of an observation, and most feet."""
MAX_SKIP = 1000
"""Most physics steps of a control step."""


def _count(value: Any) -> int:
    return whole(value, 1, MAX_SKIP)


def _range(value: Any) -> tuple[float, float]:
    """Low and high; either may be infinite, for no limit on that side."""
    good = isinstance(value, list) and len(value) == 2 and all(type(limit) in (int, float) for limit in value)
    if not good or not value[0] < value[1]:
        raise ValueError("must be a range [low, high]; inf and -inf are no limit")
    return float(value[0]), float(value[1])


def _observe(value: Any) -> tuple[str | Term, ...]:
    """The former parts, in their own order, if it names nothing else; terms in the given order otherwise."""
    names = ", ".join((*PARTS, *(name for name in NAMES if name not in PARTS)))
    if not isinstance(value, list) or not value or any(not isinstance(entry, str | dict) for entry in value):
        raise ValueError(f"must be a list of {names}")
    if len(value) > MAX_TERMS:
        raise ValueError(f"must have at most {MAX_TERMS} entries")
    if all(entry in PARTS for entry in value):
        return tuple(part for part in PARTS if part in value)
    former = [entry for entry in value if entry in ("velocities", "position")]
    if former:
        raise ValueError(f"{former[0]} goes with the other former parts only: {', '.join(PARTS)}")
    return tuple(map(read_term, value))


def _keyframe(value: Any) -> str:
    """A keyframe's name, or its number."""
    return str(value) if type(value) is int else text(value)


def _names(value: Any) -> tuple[str, ...]:
    if not isinstance(value, list) or not 0 < len(value) <= MAX_TERMS or len({*map(text, value)}) < len(value):
        raise ValueError(f"must be a list of at most {MAX_TERMS} different names")
    return tuple(value)


def _sensors(value: Any) -> tuple[tuple[str, str], ...]:
    if not isinstance(value, dict) or any(name not in QUANTITIES for name in value):
        raise ValueError(f"must be a table from a quantity to a sensor's name; quantities: {', '.join(QUANTITIES)}")
    return tuple((name, text(sensor)) for name, sensor in value.items())


def _each(value: Any) -> tuple[float, ...]:
    """One number for all actuators, or one for each; none negative."""
    numbers = value if isinstance(value, list) and value else [value]
    return tuple(map(not_negative, numbers))


def _table(value: Any, keys: tuple[str, ...]) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise ValueError(f"must be a table of {', '.join(keys)}")
    for key in value:
        if key not in keys:
            raise ValueError(unknown("key", key, keys))
    return value


def _action(value: Any) -> ActionMap:
    table = _table(value, ("centre", "scale"))
    if table.get("centre", CENTRES[0]) not in CENTRES:
        raise ValueError(f"centre must be one of {', '.join(CENTRES)}")
    scale = _each(table["scale"]) if "scale" in table else None
    if scale is not None and min(scale) == 0:
        raise ValueError("scale must be above 0")
    return ActionMap(table.get("centre"), scale)


def _gains(value: Any) -> Gains:
    table = _table(value, ("stiffness", "damping", "effort"))
    if "stiffness" not in table:
        raise ValueError("stiffness is missing")
    effort = _each(table["effort"]) if "effort" in table else None
    return Gains(_each(table["stiffness"]), _each(table.get("damping", 0.0)), effort)


def _cone(value: Any) -> str:
    if value not in CONES:
        raise ValueError(f"cone must be one of {', '.join(CONES)}")
    return str(value)


def _timestep(value: Any) -> float:
    if not 0 < number(value) <= MAX_TIMESTEP:
        raise ValueError(f"timestep must be above 0 and at most {MAX_TIMESTEP:g}")
    return float(value)


def _iterations(value: Any) -> int:
    return whole(value, 1, MAX_ITERATIONS)


PHYSICS: dict[str, Callable[[Any], Any]] = {
    "timestep": _timestep,
    "cone": _cone,
    "impratio": positive,
    "iterations": _iterations,
    "line_search": _iterations,
}
"""Keys of the simulation's numbers, and the function that reads each."""


def _physics(value: Any) -> Physics:
    numbers: dict[str, Any] = {key: PHYSICS[key](entry) for key, entry in _table(value, tuple(PHYSICS)).items()}
    return Physics(**numbers)


ROBOT_KEYS = {
    "about": text,
    "frame_skip": _count,
    "control_hz": positive,
    "observe": _observe,
    "feet": _names,
    "body": text,
    "keyframe": _keyframe,
    "reset_noise": error_size,
    "reset_base_noise": error_size,
    "reset_joint_noise": error_size,
    "reset_velocity_noise": error_size,
    "reset_velocity_normal": flag,
    "action": _action,
    "gains": _gains,
    "floor": flag,
    "physics": _physics,
    "height": _range,
    "pitch": not_negative,
    "state_limit": not_negative,
    "velocity_clip": not_negative,
    "quantities": _sensors,
}
"""Keys of a robot in a suite's file that change it, and the function that reads each value."""
