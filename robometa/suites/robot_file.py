"""Reads the robot of a suite's file: a known one, a model of the user's own, or changes to either."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

from robometa.errors import UserError, unknown
from robometa.storage.paths import is_plain_file
from robometa.suites.mjcf_check import look_through
from robometa.suites.numbers import flag, not_negative, positive, text, whole
from robometa.suites.objectives import QUANTITIES
from robometa.suites.observation import NAMES, Term, read_term
from robometa.suites.own_model import sizes_of
from robometa.suites.robots import PARTS, ROBOTS, Robot

MAX_TERMS = 100
"""Most terms of an observation, and most feet."""
MAX_SKIP = 1000
"""Most physics steps of a control step."""


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
    hz = changes.pop("control_hz", None)
    terms = tuple(term for term in changes.get("observe", ()) if isinstance(term, Term))
    if terms:
        changes |= {"terms": terms, "observe": ()}
    robot = replace(robot, **changes)
    return robot if hz is None else _at_rate(robot, hz, "frame_skip" in table, where, mistakes)


def _at_rate(robot: Robot, hz: float, skips: bool, where: str, mistakes: list[str]) -> Robot:
    """A robot with so many control steps a second, a whole number of physics steps each."""
    if skips:
        mistakes.append(f"control_hz and frame_skip in [robot] of {where} exclude each other")
        return robot
    try:
        step = sizes_of(robot).timestep
    except UserError as error:
        mistakes.append(str(error))
        return robot
    skip = round(1 / (hz * step))
    if not 1 <= skip <= MAX_SKIP or abs(skip * step * hz - 1) > 1e-6:
        nearest = sorted({max(1, int(1 / (hz * step))), max(1, int(1 / (hz * step)) + 1)})
        rates = " or ".join(f"{1 / (count * step):g}" for count in nearest)
        mistakes.append(f"control_hz = {hz:g} in [robot] of {where}: physics steps of {step:g} s allow {rates} nearby")
        return robot
    return replace(robot, frame_skip=skip)


def known_name(name: Any, table: Mapping[str, Any]) -> bool:
    """Returns True for a name in the table; a file may hold any value in a name's place."""
    return isinstance(name, str) and name in table


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
    try:
        return tuple(read_term(entry) for entry in value)
    except ValueError as error:
        raise ValueError(f"must be a list of {names}; {error}") from None


def _names(value: Any) -> tuple[str, ...]:
    if not isinstance(value, list) or not 0 < len(value) <= MAX_TERMS or len({*map(text, value)}) < len(value):
        raise ValueError(f"must be a list of at most {MAX_TERMS} different names")
    return tuple(value)


def _sensors(value: Any) -> tuple[tuple[str, str], ...]:
    if not isinstance(value, dict) or any(name not in QUANTITIES for name in value):
        raise ValueError(f"must be a table from a quantity to a sensor's name; quantities: {', '.join(QUANTITIES)}")
    return tuple((name, text(sensor)) for name, sensor in value.items())


ROBOT_FIELDS = {
    "about": text,
    "frame_skip": _count,
    "control_hz": positive,
    "observe": _observe,
    "feet": _names,
    "body": text,
    "reset_noise": not_negative,
    "reset_velocity_noise": not_negative,
    "reset_velocity_normal": flag,
    "height": _range,
    "pitch": not_negative,
    "state_limit": not_negative,
    "velocity_clip": not_negative,
    "quantities": _sensors,
}
"""Keys of a robot in a suite's file, and the function that reads each value."""
assert set(ROBOT_FIELDS) - {"control_hz"} < {entry.name for entry in fields(Robot)}
