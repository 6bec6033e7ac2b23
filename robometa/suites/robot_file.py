"""Reads the robot of a suite's file: a known one, a model of the user's own, or changes to either."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

from robometa.errors import unknown
from robometa.storage.paths import is_plain_file
from robometa.suites.distributions import MAX_NUMBER
from robometa.suites.mjcf_check import look_through
from robometa.suites.objectives import QUANTITIES
from robometa.suites.robots import PARTS, ROBOTS, Robot


def read_robot(value: Any, path: Path, where: str, mistakes: list[str]) -> Robot | None:
    """A known robot by name, a user's model by path, or a table that changes fields of either."""
    if value is None:
        return None
    table = {"mjcf" if str(value).endswith(".xml") else "name": value} if isinstance(value, str) else value
    if not isinstance(table, dict) or ("name" in table) == ("mjcf" in table):
        mistakes.append(f"robot must be a name, a path to an .xml file or a table with one of these, in {where}")
        return None
    if "name" in table:
        if not known_name(table["name"], ROBOTS):
            mistakes.append(unknown("robot", table["name"], ROBOTS, where) + " (or the path of an .xml file)")
            return None
        robot = ROBOTS[table["name"]]
    else:
        mjcf = path.parent / str(table["mjcf"])
        if not is_plain_file(mjcf):
            mistakes.append(f"no robot file {table['mjcf']!r} beside {where}")
            return None
        faults, _ = look_through(mjcf)
        mistakes += [f"{fault}, in {where}" for fault in faults]
        if faults:
            return None
        robot = Robot(name=mjcf.stem, about="", mjcf=mjcf, frame_skip=5)
    changes: dict[str, Any] = {}
    for key, entry in table.items():
        if key in ("name", "mjcf"):
            continue
        if key not in ROBOT_FIELDS:
            mistakes.append(unknown("key", key, ROBOT_FIELDS, f"[robot] of {where}"))
            continue
        try:
            changes[key] = ROBOT_FIELDS[key](entry)
        except (TypeError, ValueError, OverflowError) as error:
            mistakes.append(f"{key} = {entry!r} in [robot] of {where}: {error}")
    return replace(robot, **changes)


def known_name(name: Any, table: Mapping[str, Any]) -> bool:
    """Returns True for a name in the table; a file may hold any value in a name's place."""
    return isinstance(name, str) and name in table


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


ROBOT_FIELDS = {
    "about": _text,
    "frame_skip": _count,
    "observe": _parts,
    "body": _text,
    "reset_noise": _positive,
    "reset_velocity_noise": _positive,
    "reset_velocity_normal": _flag,
    "height": _range,
    "pitch": _positive,
    "state_limit": _positive,
    "velocity_clip": _positive,
    "quantities": _sensors,
}
"""Keys of a robot in a suite's file, and the function that reads each value."""
assert set(ROBOT_FIELDS) < {entry.name for entry in fields(Robot)}
