"""Readers of the values in a robot's table of a suite's file. Standard library only."""

from __future__ import annotations

from typing import Any

from robometa.errors import unknown
from robometa.suites.distributions import MAX_NUMBER
from robometa.suites.objectives import QUANTITIES
from robometa.suites.robots import PARTS, ActionMap, Gains

CENTRES = ("keyframe", "range")
"""Controls that an action of 0 may stand for."""


def read_number(value: Any) -> float:
    """A finite number, or ValueError."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not abs(value) <= MAX_NUMBER:
        raise ValueError("must be a finite number")
    return float(value)


def _positive(value: Any) -> float:
    if read_number(value) < 0:
        raise ValueError("must not be negative")
    return float(value)


def _count(value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= 1000:
        raise ValueError("must be a whole number from 1 to 1000")
    return value


def _range(value: Any) -> tuple[float, float]:
    """Low and high; either may be infinite, for no limit on that side."""
    good = isinstance(value, list) and len(value) == 2 and all(type(limit) in (int, float) for limit in value)
    if not good or not value[0] < value[1]:
        raise ValueError("must be a range [low, high]; inf and -inf are no limit")
    return float(value[0]), float(value[1])


def _parts(value: Any) -> tuple[str, ...]:
    if not isinstance(value, list) or not value or any(part not in PARTS for part in value):
        raise ValueError(f"must be a list of {', '.join(PARTS)}")
    return tuple(part for part in PARTS if part in value)


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise ValueError("must be a text")
    return value


def _flag(value: Any) -> bool:
    if not isinstance(value, bool):
        raise ValueError("must be true or false")
    return value


def _sensors(value: Any) -> tuple[tuple[str, str], ...]:
    if not isinstance(value, dict) or any(name not in QUANTITIES for name in value):
        raise ValueError(f"must be a table from a quantity to a sensor's name; quantities: {', '.join(QUANTITIES)}")
    return tuple((name, _text(sensor)) for name, sensor in value.items())


def _each(value: Any) -> tuple[float, ...]:
    """One number for all actuators, or one for each; none negative."""
    numbers = value if isinstance(value, list) and value else [value]
    return tuple(map(_positive, numbers))


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


ROBOT_KEYS = {
    "about": _text,
    "frame_skip": _count,
    "observe": _parts,
    "body": _text,
    "keyframe": _text,
    "reset_noise": _positive,
    "reset_base_noise": _positive,
    "reset_joint_noise": _positive,
    "reset_velocity_noise": _positive,
    "reset_velocity_normal": _flag,
    "action": _action,
    "gains": _gains,
    "floor": _flag,
    "height": _range,
    "pitch": _positive,
    "state_limit": _positive,
    "velocity_clip": _positive,
    "quantities": _sensors,
}
"""Keys of a robot in a suite's file that change a field of it, and the function that reads each value."""
