"""Meta-World's suites: their tasks, their frozen goals, and their family. Standard library only."""

from __future__ import annotations

import hashlib
import json
import tomllib
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any, ClassVar

from robometa.errors import UserError, unknown
from robometa.suites.family import Family
from robometa.suites.robots import SAWYER
from robometa.suites.shipped import folder
from robometa.suites.suite import Suite
from robometa.suites.task import Task
from robometa.suites.toml_file import learner_options

KEYS = ("about", "source", "robot", "goals", "reward", "goal_visible", "horizon", "finite", "train", "test", "learner")
SIDE_KEYS = ("tasks", "goals_per_task")
REWARDS = ("v2", "v1")
"""Versions of the reward functions, the usual one first."""
METAWORLD, MUJOCO = "3.1.1", "3.3.0"
"""The versions whose models, physics and rewards these suites are."""
HORIZON = 500
"""Control steps of an episode; upstream's environments refuse to go further."""
ROBOT = "sawyer"
"""Robot of a suite's file that makes it a suite of this family."""


@dataclass(frozen=True)
class MetaWorld(Family):
    """Meta-World's Sawyer arm: named manipulation tasks, each with several goals."""

    goals: str
    """Benchmark whose goals they are: `ML10` and so on."""
    seed: int
    """Seed with which upstream drew the goals."""
    reward: str
    """Version of the reward functions, `v1` or `v2`."""
    goal_visible: bool
    """The policy observes the goal, as in multi-task suites."""

    name: ClassVar[str] = "metaworld"
    title: ClassVar[str] = "Meta-World"
    has_goals: ClassVar[bool] = True
    has_experts: ClassVar[bool] = True
    one_simulation_per_world: ClassVar[bool] = True
    warp_obstacle: ClassVar[str | None] = "Meta-World needs mujoco 3.3.0 and MuJoCo Warp a later one"

    def has_success(self, task: Task) -> bool:
        """Returns True: every task has a success condition."""
        return True

    def rows(self, task: Task) -> Iterator[tuple[str, str]]:
        """Yields the objective, the observation, the action, the hidden parameters and the termination."""
        goal = "the goal" if self.goal_visible else "3 zeros in the goal's place"
        yield "objective", f"each task's own reward, version {self.reward}, and success condition"
        yield "horizon", f"{task.horizon} control steps"
        now = "hand, opening of the gripper, places and turns of up to two objects"
        yield "policy sees", f"39 numbers: {now} (18), the same a step before (18), {goal}"
        yield "policy moves", "4 numbers: where the hand is pulled to, x, y, z, and the gripper's effort"
        yield "hidden", "which task it is" if self.goal_visible else "which task it is, and its goal"
        yield "episode ends", f"after {task.horizon} steps; success is noted and does not end it"

    def listing(self, tasks: tuple[Task, ...]) -> tuple[str, list[str]]:
        """Lists the task names, each with its number of goals."""
        counts = Counter(task.objective for task in tasks)
        words = f"{len(counts)} {'task' if len(counts) == 1 else 'tasks'}, {counts.total()} goals"
        return words, [", ".join(f"{name} {count}" for name, count in counts.items())]

    def first(self, tasks: tuple[Task, ...], count: int) -> tuple[Task, ...]:
        """Returns the first `count` goals of each task name, in their order.

        Raises:
            UserError: If a task name has fewer.
        """
        by_name: dict[str, list[Task]] = {}
        for task in tasks:
            by_name.setdefault(task.objective, []).append(task)
        fewest = min(len(goals) for goals in by_name.values())
        if not 1 <= count <= fewest:
            raise UserError(f"goals of each task must be from 1 to {fewest}, not {count}")
        return tuple(task for goals in by_name.values() for task in goals[:count])


@cache
def frozen_goals(path: Path) -> dict[str, Any]:
    """Reads a file of frozen goals: `train` and `test`, each a table from a task's name to its goals."""
    return json.loads(path.read_text(encoding="utf-8"))


def task_names(folder: Path) -> list[str]:
    """Names of all fifty tasks."""
    return list(frozen_goals(folder / "metaworld" / "ml1.json")["train"])


Side = tuple[tuple[str, tuple[float, ...]], ...]
"""The tasks of one side of a suite: name and goal of each."""


def read(
    table: Mapping[str, Any], folder: Path, where: str, task: str | None, reward: str | None
) -> tuple[MetaWorld, Side, Side]:
    """Reads a suite's table: the family, the training tasks and the held-out tasks.

    Args:
        table: Table of the suite's file.
        folder: Folder of the shipped suites, with the frozen goals.
        where: Name of the file, for error messages.
        task: The task of a suite that has only one (`ml1`).
        reward: Version of the reward functions; the file's if None.

    Returns:
        The family, the tasks to train on and the tasks held out.

    Raises:
        UserError: Naming every mistake.
    """
    mistakes = [unknown("key", key, KEYS, where) for key in table if key not in (*KEYS, "change")]
    mistakes += [f"Meta-World's tasks stay as they are: no [change] in {where}"] if "change" in table else []
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
    learner_options(table, where, mistakes)
    sides = {}
    for split in ("train", "test"):
        held_out = "train" if finite and split == "test" else split
        sides[split] = _side(table, split, frozen[held_out], task, where, mistakes)
    shared = set(sides["train"]) & set(sides["test"])
    if shared and finite is not True:
        are = "task is" if len(shared) == 1 else "tasks are"
        mistakes.append(f"{len(shared)} {are} both in [train] and in [test] of {where}")
    if mistakes:
        raise UserError("\n".join(mistakes))
    return MetaWorld(str(frozen["benchmark"]), int(frozen["seed"]), version, visible), sides["train"], sides["test"]


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
    if not isinstance(names, list) or not names or not all(isinstance(name, str) for name in names):
        mistakes.append(f"tasks must be a list of names of tasks, not {names!r}, in {here}")
        return ()
    mistakes += [unknown("task", name, list(frozen), here) for name in names if name not in list(frozen)]
    each = asked.get("goals_per_task", 50)
    if isinstance(each, bool) or not isinstance(each, int) or not 1 <= each <= 50:
        mistakes.append(f"goals_per_task must be a whole number from 1 to 50, not {each!r}, in {here}")
        each = 1
    chosen = [(name, goal) for name in dict.fromkeys(names) if name in list(frozen) for goal in frozen[name][:each]]
    return tuple((name, tuple(float(number) for number in goal)) for name, goal in chosen)


def content_hash(family: MetaWorld, train: Side, test: Side) -> str:
    """Hashes all that a result depends on; upstream's version represents models and rewards."""
    content = [
        f"metaworld {METAWORLD}",
        f"mujoco {MUJOCO}",
        family.reward,
        family.goal_visible,
        HORIZON,
        train,
        test,
    ]
    return hashlib.sha256(json.dumps(content).encode()).hexdigest()


@cache
def read_shipped(name: str) -> Suite:
    """Reads a shipped suite of Meta-World's tasks by its whole name, such as `ml1/reach-v3/v1`."""
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
    return suite_of(name, path, table, rest[0] if rest else None, reward)


def suite_of(name: str, path: Path, table: Mapping[str, Any], task: str | None, reward: str | None) -> Suite:
    """Builds a suite of Meta-World's tasks from the table of its file."""
    family, *sides = read(table, folder(), path.name, task, reward)
    robot = replace(SAWYER, observe=("arm", "objects", "goal") if family.goal_visible else ("arm", "objects"))
    train, test = (tuple(Task(robot, name, (), (("goal", goal),), HORIZON) for name, goal in side) for side in sides)
    return Suite(
        name=name,
        about=str(table.get("about", "")),
        source=str(table.get("source", "")),
        family=family,
        robot=robot,
        objective="manipulation",
        horizon=HORIZON,
        train=train,
        test=test,
        finite=bool(table.get("finite", False)),
        learner=table.get("learner", {}),
        path=path,
        content_hash=content_hash(family, *sides),
    )
