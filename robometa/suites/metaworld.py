"""Meta-World's suites: which of its fifty tasks stand on which side, and their frozen goals. Standard library only."""

from __future__ import annotations

import hashlib
import json
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

from robometa.errors import UserError, unknown
from robometa.suites.robots import SAWYER
from robometa.suites.shipped import folder
from robometa.suites.suite import Benchmark, Suite, Task

KEYS = ("about", "source", "robot", "goals", "reward", "goal_visible", "horizon", "finite", "train", "test", "learner")
SIDE_KEYS = ("tasks", "goals_per_task")
REWARDS = ("v2", "v1")
"""Versions of the reward functions, the usual one first."""
METAWORLD, MUJOCO = "3.1.1", "3.3.0"
"""The versions whose models, physics and rewards these suites are."""
HORIZON = 500
"""Control steps of an episode; upstream's environments refuse to go further."""
ROBOT = "sawyer"


@cache
def frozen_goals(path: Path) -> dict[str, Any]:
    """The goals that a file holds: `train` and `test`, each a table from a task's name to its goals."""
    return json.loads(path.read_text(encoding="utf-8"))


def task_names(folder: Path) -> list[str]:
    """Names of all fifty tasks."""
    return list(frozen_goals(folder / "metaworld" / "ml1.json")["train"])


Side = tuple[tuple[str, tuple[float, ...]], ...]
"""The tasks of one side of a suite: name and goal of each."""


def read(
    table: Mapping[str, Any], folder: Path, where: str, task: str | None, reward: str | None
) -> tuple[Benchmark, Side, Side]:
    """What a suite's file says of a benchmark and its two sides.

    Args:
        table: The file's.
        folder: Where the frozen goals are.
        where: The file, for errors.
        task: The task of a suite that has one (`ml1`).
        reward: Another version of the reward than the file's.
    Raises: UserError: Naming every mistake.
    """
    mistakes = [unknown("key", key, KEYS, where) for key in table if key not in KEYS]
    known = sorted(path.stem for path in (folder / "metaworld").glob("*.json"))
    goals = table.get("goals", "ml1")
    if goals not in known:
        mistakes.append(unknown("goals", goals, known, where))
        goals = "ml1"
    frozen = frozen_goals(folder / "metaworld" / f"{goals}.json")
    version = reward or table.get("reward", REWARDS[0])
    if version not in REWARDS:
        mistakes.append(unknown("reward", version, REWARDS, where))
    visible, finite = table.get("goal_visible", False), table.get("finite", False)
    mistakes += [
        f"{name} must be true or false, not {value!r}, in {where}"
        for name, value in (("goal_visible", visible), ("finite", finite))
        if not isinstance(value, bool)
    ]
    if table.get("horizon", HORIZON) != HORIZON:
        mistakes.append(f"horizon must be {HORIZON}, as upstream's, not {table['horizon']!r}, in {where}")
    sides = {}
    for split in ("train", "test"):
        held_out = "train" if finite and split == "test" else split
        sides[split] = _side(table, split, frozen[held_out], task, where, mistakes)
    shared = set(sides["train"]) & set(sides["test"])
    if shared and finite is not True:
        mistakes.append(f"{len(shared)} tasks are both in [train] and in [test] of {where}")
    if mistakes:
        raise UserError("\n".join(mistakes))
    return Benchmark(str(frozen["benchmark"]), int(frozen["seed"]), version, visible), sides["train"], sides["test"]


def _side(
    table: Mapping[str, Any],
    split: str,
    frozen: Mapping[str, Sequence[Sequence[float]]],
    task: str | None,
    where: str,
    mistakes: list[str],
) -> Side:
    """The tasks of one side."""
    here = f"[{split}] of {where}"
    asked = table.get(split, {})
    if not isinstance(asked, dict):
        mistakes.append(f"{here} must be a table")
        return ()
    mistakes += [unknown("key", key, SIDE_KEYS, here) for key in asked if key not in SIDE_KEYS]
    names = [task] if task is not None else asked.get("tasks", list(frozen))
    if not isinstance(names, list) or not names:
        mistakes.append(f"tasks must be a list of names of tasks, not {names!r}, in {here}")
        return ()
    mistakes += [unknown("task", name, list(frozen), here) for name in names if name not in list(frozen)]
    each = asked.get("goals_per_task", 50)
    if isinstance(each, bool) or not isinstance(each, int) or not 1 <= each <= 50:
        mistakes.append(f"goals_per_task must be a whole number from 1 to 50, not {each!r}, in {here}")
        each = 1
    chosen = [(name, goal) for name in dict.fromkeys(names) if name in list(frozen) for goal in frozen[name][:each]]
    return tuple((name, tuple(float(number) for number in goal)) for name, goal in chosen)


def content_hash(benchmark: Benchmark, train: Side, test: Side) -> str:
    """SHA-256 of all that a result depends on: upstream's version stands for models and rewards."""
    content = [
        f"metaworld {METAWORLD}",
        f"mujoco {MUJOCO}",
        benchmark.reward,
        benchmark.goal_visible,
        HORIZON,
        train,
        test,
    ]
    return hashlib.sha256(json.dumps(content).encode()).hexdigest()


@cache
def _read_shipped_benchmark(name: str) -> Suite:
    """A shipped suite of Meta-World's tasks, by its whole name."""
    stem, *rest = name.split("/")
    reward = rest.pop() if rest and rest[-1] in REWARDS else None
    path = folder() / "metaworld" / f"{stem}.toml"
    known = task_names(folder())
    if stem == "ml1":
        if len(rest) != 1 or rest[0] not in known:
            raise UserError(unknown("task", "/".join(rest), known, "ml1/TASK"))
    elif rest:
        raise UserError(unknown("reward", "/".join(rest), REWARDS, f"{stem}/REWARD"))
    table = tomllib.loads(path.read_text(encoding="utf-8"))
    return _of_benchmark(name, path, table, rest[0] if rest else None, reward)


def _of_benchmark(name: str, path: Path, table: Mapping[str, Any], task: str | None, reward: str | None) -> Suite:
    """A suite of Meta-World's tasks."""
    benchmark, *sides = read(table, folder(), path.name, task, reward)
    robot = replace(SAWYER, observe=("arm", "objects", "goal") if benchmark.goal_visible else ("arm", "objects"))
    train, test = (tuple(Task(robot, told, (), (("goal", goal),), HORIZON) for told, goal in side) for side in sides)
    return Suite(
        name=name,
        about=str(table.get("about", "")),
        source=str(table.get("source", "")),
        robot=robot,
        objective="manipulation",
        horizon=HORIZON,
        train=train,
        test=test,
        finite=bool(table.get("finite", False)),
        learner=table.get("learner", {}),
        path=path,
        content_hash=content_hash(benchmark, *sides),
        benchmark=benchmark,
    )
