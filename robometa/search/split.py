"""Validation tasks of a search, cut from the training tasks; held-out tasks stay out of it."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

from robometa import suites
from robometa.errors import UserError
from robometa.storage import atomic
from robometa.suites.suite import Suite
from robometa.suites.task import Task
from robometa.suites.toml_file import read_toml, written

FOLDER = "suite"
"""Folder, below a search's, of the suite that its trials are trained on."""


def validation_indices(suite: Suite, share: float, seed: int) -> list[int]:
    """Places of the training tasks that become validation tasks; none for a finite suite: all its tasks are known.

    Raises:
        UserError: If the suite cannot be divided.
    """
    if suite.family.has_goals:
        raise UserError(
            f"suite {suite.name} cannot be searched: its goals belong to named tasks, none can be spared for validation"
        )
    if suite.finite:
        return []
    count = len(suite.train)
    most = count - 1
    if most < 1:
        raise UserError(f"suite {suite.name} has one training task: none can be spared for validation")
    chosen = random.Random(f"validation/{suite.content_hash}/{seed}").sample(
        range(count), min(most, max(1, round(share * count)))
    )
    return sorted(chosen)


def write_validation_suite(suite: Suite, folder: Path, indices: list[int]) -> Path:
    """Writes the file of the suite that trials are trained on: its held-out tasks are the validation tasks.

    The file is an ordinary suite, which does not hold the held-out tasks of the original.

    Returns:
        Its path.
    """
    table = read_toml(suite.path, suite.path)
    table["robot"] = _with_absolute_model(table["robot"], suite.path)
    table["about"] = f"{suite.about} Cut for a search: its held-out tasks are validation tasks."
    chosen = {*indices}
    train = [task for index, task in enumerate(suite.train) if index not in chosen]
    table["train"] = _listed(train)
    table["test"] = _listed([suite.train[index] for index in indices] or train)
    inside = folder / FOLDER
    inside.mkdir(exist_ok=True)
    path = inside / f"{suite.name}-validation.toml"
    atomic.replace_file(path, written(table).encode())
    suites.load(path)  # a mistake is reported before anything is trained
    return path


def _listed(tasks: list[Task]) -> dict[str, Any]:
    """The table of a split that lists its tasks one by one."""
    names = [name for name, _ in tasks[0].parameters]
    values = {name: {"values": [list(dict(task.parameters)[name]) for task in tasks]} for name in names}
    return {"tasks": len(tasks), **values}


def _with_absolute_model(robot: Any, path: Path) -> Any:
    """The robot of a suite's file; a model's path is absolute, because the new file is elsewhere."""
    if isinstance(robot, str):
        return str((path.parent / robot).resolve()) if robot.endswith(".xml") else robot
    return robot | {"mjcf": str((path.parent / robot["mjcf"]).resolve())} if "mjcf" in robot else robot
