"""The files that a user's own suite consists of, for a copy that works on another machine. Standard library only."""

from __future__ import annotations

import os
import tomllib
from functools import cache
from pathlib import Path, PurePosixPath
from xml.etree import ElementTree

from robometa.errors import UserError
from robometa.suites import mjcf_check
from robometa.suites.load import suite_reference
from robometa.suites.robots import ROBOTS
from robometa.suites.suite import Suite

MODEL = "model"
"""Folder of a copied robot model whose place in the suite's file leads out of the suite's folder."""


@cache
def portable_files(suite: Suite) -> dict[str, bytes]:
    """Contents of a suite's file and of its robot's model, by their places below one folder; the suite's file is first.

    The contents are those of the first call: a file that changes during a training has no effect on its policy.

    Returns:
        Nothing for a shipped suite.

    Raises:
        UserError: If a file cannot be read, or the model names a file by an absolute path.
    """
    if suite_reference(suite) == suite.name:
        return {}
    try:
        return _files(suite)
    except OSError as error:
        raise UserError(f"{error.filename} of suite {suite.name} cannot be read: {error.strerror}") from None


def _files(suite: Suite) -> dict[str, bytes]:
    content = suite.path.read_bytes()
    named = _named_model(content)
    if named is None or any(suite.robot.mjcf == known.mjcf for known in ROBOTS.values()):
        return {suite.path.name: content}
    place = PurePosixPath(Path(named).as_posix())
    if place.is_absolute() or ".." in place.parts:
        place = PurePosixPath(MODEL) / place.name
        content = _with_model(content, named, str(place), suite.path)
    files = {suite.path.name: content}
    model = mjcf_check.read_model(suite.robot.mjcf, suite.robot.root)
    for at, path in model.places.items():
        beside = os.path.relpath(at, Path(model.place).parent)
        where = os.path.normpath(place.parent / beside)
        files[where] = model.content[path]
        _require_relative(path, files[where])
    return files


def _named_model(content: bytes) -> str | None:
    """Path of the robot's model as a suite's file has it; None for a shipped robot, or one in an installed package."""
    robot = tomllib.loads(content.decode()).get("robot")
    if isinstance(robot, dict) and "package" in robot:
        return None
    named = robot.get("mjcf") if isinstance(robot, dict) else robot
    return named if isinstance(named, str) and named.endswith(".xml") else None


def _with_model(content: bytes, named: str, place: str, path: Path) -> bytes:
    """A suite's file that names its robot's model at another place.

    Raises:
        UserError: If its path is not written plainly.
    """
    for quote in ('"', "'"):
        changed = content.replace(f"{quote}{named}{quote}".encode(), f"{quote}{place}{quote}".encode())
        if _named_model(changed) == place:
            return changed
    raise UserError(f"write the path of the robot's model in {path} without escapes: {named}")


def _require_relative(path: Path, content: bytes) -> None:
    """Raises the mistake if a model's file names others by absolute paths, which no other machine has."""
    if path.suffix.lower() != ".xml":
        return
    for element in ElementTree.fromstring(content).iter():
        for name in (*mjcf_check.FILES, *mjcf_check.FOLDERS):
            value = element.get(name, "")
            if Path(value).is_absolute():
                raise UserError(f"<{element.tag}> of {path.name} names {value}: name it relative to the model's folder")
