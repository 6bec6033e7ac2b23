"""Reads the robot of a suite's file: a known one, a model of the user's own, or changes to either."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields, replace
from functools import cache
from pathlib import Path
from typing import Any

from robometa.errors import UserError, unknown
from robometa.storage.paths import is_plain_file
from robometa.suites.mjcf_check import digest, look_through
from robometa.suites.observation import Term
from robometa.suites.own_model import main_body, sizes_of
from robometa.suites.robot_keys import MAX_SKIP, ROBOT_KEYS
from robometa.suites.robots import ROBOTS, Robot, package_folder
from robometa.suites.shipped import folder as shipped_folder

SOURCES = ("name", "mjcf", "package")
"""Keys that say which robot it is."""


def read_robot(value: Any, path: Path, where: str, mistakes: list[str]) -> Robot | None:
    """A known robot by name, a user's model by path, or a table that changes fields of either."""
    if value is None:
        return None
    table = {"mjcf" if str(value).endswith(".xml") else "name": value} if isinstance(value, str) else value
    if not isinstance(table, dict) or ("name" in table) == ("mjcf" in table):
        mistakes.append(f"robot must be a name, a path to an .xml file or a table with one of these, in {where}")
        return None
    if "name" in table:
        if "package" in table:
            mistakes.append(f"package is for mjcf, and a named robot needs none, in {where}")
        if not known_name(table["name"], ROBOTS):
            mistakes.append(unknown("robot", table["name"], ROBOTS, where) + " (or the path of an .xml file)")
            return None
        robot = ROBOTS[table["name"]]
    else:
        own = _own(table, path, where, mistakes)
        if own is None:
            return None
        robot = own
    changes: dict[str, Any] = {}
    for key, entry in table.items():
        if key in SOURCES:
            continue
        if key not in ROBOT_KEYS:
            mistakes.append(unknown("key", key, ROBOT_KEYS, f"[robot] of {where}"))
            continue
        try:
            changes[key] = ROBOT_KEYS[key](entry)
        except (TypeError, ValueError, OverflowError) as error:
            mistakes.append(f"{key} = {entry!r} in [robot] of {where}: {error}")
    if "name" in table and "physics" in changes:
        mistakes.append(f"physics in [robot] of {where} is for a model of your own; {table['name']} keeps its numbers")
    hz = changes.pop("control_hz", None)
    terms = tuple(term for term in changes.get("observe", ()) if isinstance(term, Term))
    if terms:
        changes |= {"terms": terms, "observe": ()}
    robot = replace(robot, **changes)
    robot = robot if "name" in table or "body" in changes else _with_body(robot, where, mistakes)
    return robot if hz is None else _at_rate(robot, hz, "frame_skip" in table, where, mistakes)


def _own(table: Mapping[str, Any], path: Path, where: str, mistakes: list[str]) -> Robot | None:
    """A robot of a model file beside the suite's, or of an installed package."""
    named, package = Path(str(table["mjcf"])), table.get("package")
    beside, root = path.parent, path.parent
    if package is not None:
        folder = package_folder(str(package))
        if folder is None:
            mistakes.append(f"package {package!r} is not installed, in {where}; the extra robots holds several")
            return None
        beside = root = folder
    outside = named.is_absolute() or ".." in named.parts
    if outside and package is not None:
        mistakes.append(f"mjcf must be a path within the package {package}, not {str(named)!r}, in {where}")
        return None
    mjcf = beside / named
    if not is_plain_file(mjcf):
        mistakes.append(f"no robot file {table['mjcf']!r} {'in' if package else 'beside'} {package or where}")
        return None
    folder = mjcf.parent if outside else root
    faults, _ = look_through(mjcf, folder)
    mistakes += [f"{fault}, in {where}" for fault in faults]
    if faults:
        return None
    sha256 = digest(mjcf, folder)
    careful = sha256 not in _shipped_models()
    return Robot(mjcf.stem, "", mjcf, frame_skip=5, root=folder, careful=careful, package=package, digest=sha256)


def is_unchanged(robot: Robot) -> bool:
    """True if a robot's model is as it was when the robot was read."""
    try:
        return robot.digest is None or robot.digest == digest(robot.mjcf, robot.root)
    except UserError:
        return False


@cache
def _shipped_models() -> set[str]:
    """Digests of the models beside the shipped suites, wherever a copy of one is; they begin as they always have."""
    return {digest(path) for path in (shipped_folder() / "robots").glob("*.xml")}


def _with_body(robot: Robot, where: str, mistakes: list[str]) -> Robot:
    """The robot with the body that its model leaves no choice about."""
    try:
        return replace(robot, body=main_body(robot))
    except UserError as error:
        mistakes += [line if where in line else f"{line}, in {where}" for line in str(error).split("\n")]
        return robot


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
    steps = 1 / max(hz * step, 1 / (2 * MAX_SKIP))
    skip = round(steps)
    if not 1 <= skip <= MAX_SKIP or abs(skip * step * hz - 1) > 1e-6:
        nearest = sorted({min(max(1, int(steps) + more), MAX_SKIP) for more in (0, 1)})
        rates = " or ".join(f"{1 / (count * step):g}" for count in nearest)
        mistakes.append(f"control_hz = {hz:g} in [robot] of {where}: physics steps of {step:g} s allow {rates} nearby")
        return robot
    return replace(robot, frame_skip=skip)


def known_name(name: Any, table: Mapping[str, Any]) -> bool:
    """Returns True for a name in the table; a file may hold any value in a name's place."""
    return isinstance(name, str) and name in table


assert set(ROBOT_KEYS) - {"control_hz"} < {entry.name for entry in fields(Robot)}
