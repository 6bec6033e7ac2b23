"""Suites: named distributions of tasks, read from TOML, drawn once, frozen and hashed. Standard library only."""

from __future__ import annotations

import hashlib
import json
import tomllib
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from functools import cache
from pathlib import Path
from typing import Any

from robometa import benchmarks, model_file
from robometa.benchmarks import Benchmark
from robometa.distributions import Distribution, draw, read_distribution
from robometa.errors import UserError, unknown
from robometa.robot_table import known_name, read_number, read_robot
from robometa.sim.objectives import OBJECTIVES
from robometa.sim.robots import SAWYER, Robot
from robometa.sim.variations import VARIATIONS
from robometa.toml_file import read_toml

KEYS = ("about", "source", "robot", "objective", "coefficients", "horizon", "finite", "train", "test", "learner")
MAXIMUM_HORIZON = 100_000
MAXIMUM_TASKS = 100_000


@dataclass(frozen=True)
class Task:
    """One Markov decision process: a robot, an objective, the numbers that the policy must find out, a horizon."""

    robot: Robot
    objective: str
    coefficients: tuple[tuple[str, float], ...]
    parameters: tuple[tuple[str, tuple[float, ...]], ...]
    """The hidden numbers, by name."""
    horizon: int
    """Control steps per episode."""

    def describe(self) -> str:
        """The hidden numbers in a few words, such as `velocity 1.25`."""
        words = []
        for name, value in self.parameters:
            shown = " ".join(f"{number:.3g}" for number in value[:6])
            words.append(f"{name} {shown}" + (f" ... ({len(value)} numbers)" if len(value) > 6 else ""))
        return ", ".join(words) or "no hidden parameters"


@dataclass(frozen=True)
class Suite:
    """A named distribution of tasks: a fixed set to train on and a disjoint one held out."""

    name: str
    about: str
    source: str
    robot: Robot
    objective: str
    horizon: int
    train: tuple[Task, ...]
    test: tuple[Task, ...]
    finite: bool
    """The task set is finite, and training and held-out tasks are the same, as for two directions."""
    learner: Mapping[str, Mapping[str, Any]] = field(hash=False, compare=False)
    """What a learner needs differently here: options by learner."""
    path: Path = field(hash=False, compare=False)
    content_hash: str
    """SHA-256 of everything that a result depends on: model, observation, reward, horizon and every task."""
    benchmark: Benchmark | None = None
    """What it is besides if its tasks are Meta-World's."""
    spread: Mapping[str, Distribution] = field(default_factory=dict, hash=False, compare=False)
    """How the parameters of its training tasks are distributed."""

    @property
    def has_success(self) -> bool:
        """Whether its tasks have a success condition."""
        return self.benchmark is not None or OBJECTIVES[self.objective].has_success

    @property
    def endless(self) -> bool:
        """Whether there are more tasks like those to train on than the listed ones, see `drawn`."""
        listed = any("values" in one for one in self.spread.values())
        return not self.finite and not listed and any("constant" not in one for one in self.spread.values())

    def drawn(self, seed: int, index: int) -> Task:
        """A task of the training tasks' distributions that is on no list. Of an endless suite."""
        key = f"drawn/{seed}/{index}"
        parameters = tuple((name, draw(self.spread[name], f"{key}/{name}", 0)) for name in sorted(self.spread))
        return replace(self.train[0], parameters=parameters)

    def tasks(self, split: str) -> tuple[Task, ...]:
        """The tasks of a split, `train` or `test`."""
        if split not in ("train", "test"):
            raise UserError(unknown("split", split, ("train", "test")))
        return self.train if split == "train" else self.test


def folder() -> Path:
    """Where the shipped suites are: packed into the wheel, or beside the package in a checkout."""
    packed = Path(__file__).parent / "tasks"
    return packed if packed.is_dir() else Path(__file__).parents[1] / "tasks"


def names() -> list[str]:
    """Names of the shipped suites."""
    return sorted(path.stem for path in folder().glob("*.toml"))


def benchmark_names() -> list[str]:
    """Names of the shipped suites of Meta-World's tasks, `ml1` standing for one suite of each task."""
    return sorted(path.stem for path in (folder() / "metaworld").glob("*.toml"))


def load(name: str | Path) -> Suite:
    """The suite of a shipped name, or of a TOML file of the user's own.

    A suite of Meta-World's tasks may end with the version of its rewards, as in `ml10/v1`; `ml1/reach-v3` and so on are
    suites of one task.

    Raises: UserError: If there is no such suite, or naming every mistake that its file makes.
    """
    text = str(name)
    if text.partition("/")[0] in benchmark_names():
        return _read_shipped_benchmark(text)
    if text.endswith(".toml") or "/" in text:
        path = Path(text)
        try:
            found = path.is_file()
        except OSError:  # no file can have this name
            found = False
        if not found:
            raise UserError(f"no suite file {text!r}; a shipped suite goes by its name: {', '.join(names())}")
    elif text not in names():
        raise UserError(unknown("suite", text, [*names(), *benchmark_names()]) + " (or the path of a .toml file)")
    else:
        path = folder() / f"{text}.toml"
    return _read(path.resolve(), path)


@cache
def _read(path: Path, shown: Path) -> Suite:
    """Reads and checks a suite's file; all mistakes are told at once."""
    table = read_toml(path, shown)
    if table.get("robot") == benchmarks.ROBOT:
        return _of_benchmark(path.stem, path, table, None, None)
    mistakes: list[str] = []
    where = str(shown)
    mistakes += [unknown("key", key, KEYS, where) for key in table if key not in KEYS]
    mistakes += [
        f"missing key {key!r} in {where}" for key in ("robot", "objective", "train", "test") if key not in table
    ]
    robot = read_robot(table.get("robot"), path, where, mistakes)
    horizon = _whole(table.get("horizon", 200), "horizon", 1, MAXIMUM_HORIZON, where, mistakes)
    objective = table.get("objective")
    if objective is not None and not known_name(objective, OBJECTIVES):
        mistakes.append(unknown("objective", objective, OBJECTIVES, where))
        objective = None
    coefficients = _read_coefficients(table.get("coefficients", {}), objective, where, mistakes)
    finite = table.get("finite", False)
    if not isinstance(finite, bool):
        mistakes.append(f"finite must be true or false, not {finite!r}, in {where}")
    read: dict[str, tuple[list[Parameters], dict[str, Distribution]]] = {
        name: _read_tasks(name, table[name], robot, objective, where, mistakes)
        for name in ("train", "test")
        if name in table
    }
    split = {name: tasks for name, (tasks, _) in read.items()}
    learner = table.get("learner", {})
    if not isinstance(learner, dict) or not all(isinstance(value, dict) for value in learner.values()):
        mistakes.append(f"learner must hold one table of options per learner, as [learner.pearl], in {where}")
    if not mistakes:
        shared = set(split["train"]) & set(split["test"])
        if shared and not finite:
            mistakes.append(
                f"{len(shared)} tasks are both in [train] and in [test] of {where}: change a seed, "
                "or say finite = true where the task set is finite"
            )
    if mistakes:
        raise UserError("\n".join(mistakes))
    assert robot is not None
    assert objective is not None
    train, test = (
        tuple(Task(robot, objective, coefficients, parameters, horizon) for parameters in split[name])
        for name in ("train", "test")
    )
    return Suite(
        name=path.stem,
        about=str(table.get("about", "")),
        source=str(table.get("source", "")),
        robot=robot,
        objective=objective,
        horizon=horizon,
        train=train,
        test=test,
        finite=finite,
        learner=learner,
        path=path,
        content_hash=_hash(robot, objective, coefficients, horizon, split),
        spread=read["train"][1],
    )


@cache
def _read_shipped_benchmark(name: str) -> Suite:
    """A shipped suite of Meta-World's tasks, by its whole name."""
    stem, *rest = name.split("/")
    reward = rest.pop() if rest and rest[-1] in benchmarks.REWARDS else None
    path = folder() / "metaworld" / f"{stem}.toml"
    known = benchmarks.task_names(folder())
    if stem == "ml1":
        if len(rest) != 1 or rest[0] not in known:
            raise UserError(unknown("task", "/".join(rest), known, "ml1/TASK"))
    elif rest:
        raise UserError(unknown("reward", "/".join(rest), benchmarks.REWARDS, f"{stem}/REWARD"))
    table = tomllib.loads(path.read_text(encoding="utf-8"))
    return _of_benchmark(name, path, table, rest[0] if rest else None, reward)


def _of_benchmark(name: str, path: Path, table: Mapping[str, Any], task: str | None, reward: str | None) -> Suite:
    """A suite of Meta-World's tasks."""
    benchmark, *sides = benchmarks.read(table, folder(), path.name, task, reward)
    robot = replace(SAWYER, observe=("arm", "objects", "goal") if benchmark.goal_visible else ("arm", "objects"))
    train, test = (
        tuple(Task(robot, told, (), (("goal", goal),), benchmarks.HORIZON) for told, goal in side) for side in sides
    )
    return Suite(
        name=name,
        about=str(table.get("about", "")),
        source=str(table.get("source", "")),
        robot=robot,
        objective="manipulation",
        horizon=benchmarks.HORIZON,
        train=train,
        test=test,
        finite=bool(table.get("finite", False)),
        learner=table.get("learner", {}),
        path=path,
        content_hash=benchmarks.content_hash(benchmark, *sides),
        benchmark=benchmark,
    )


def _whole(value: Any, key: str, low: int, high: int, where: str, mistakes: list[str]) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
        found = "is missing in" if value is None else f"must be a whole number from {low} to {high}, not {value!r}, in"
        mistakes.append(f"{key} {found} {where}")
        return low
    return value


def _read_coefficients(table: Any, objective: Any, where: str, mistakes: list[str]) -> tuple[tuple[str, float], ...]:
    if objective not in OBJECTIVES:
        return ()
    known = OBJECTIVES[objective].coefficients
    if not isinstance(table, dict):
        mistakes.append(f"coefficients must be a table, not {table!r}, in {where}")
        return ()
    values = dict(known)
    for name, value in table.items():
        if name not in known:
            mistakes.append(unknown("coefficient", name, known, f"{where} (objective {objective})"))
            continue
        try:
            values[name] = read_number(value)
        except ValueError as error:
            mistakes.append(f"coefficient {name} = {value!r} in {where}: {error}")
    return tuple(sorted(values.items()))


Parameters = tuple[tuple[str, tuple[float, ...]], ...]


def _read_tasks(
    split: str, table: Any, robot: Robot | None, objective: Any, where: str, mistakes: list[str]
) -> tuple[list[Parameters], dict[str, Distribution]]:
    """The parameters of every task of a split, drawn from the split's seed, and what they were drawn from."""
    where = f"[{split}] of {where}"
    if not isinstance(table, dict):
        mistakes.append(f"{where} must be a table")
        return [], {}
    needed = dict(OBJECTIVES[objective].parameters) if objective in OBJECTIVES else {}
    known = {*needed, *VARIATIONS}
    spread = {key: value for key, value in table.items() if key not in ("tasks", "seed")}
    if objective in OBJECTIVES:
        mistakes += [unknown("parameter", name, known, where) for name in spread if name not in known]
        mistakes += [f"missing parameter {name!r} in {where}" for name in needed if name not in spread]
    seed = _whole(table.get("seed", 0), "seed", 0, 2**63 - 1, where, mistakes)
    distributions = {}
    sizes = None
    if robot is not None and any(name in VARIATIONS for name in spread):
        try:
            sizes = robot.count()
        except ValueError as error:
            mistakes.append(f"{robot.mjcf.name} is not a model that MuJoCo can load: {error}")
    for name, value in spread.items():
        if name in needed:
            size = needed[name]
        elif name in VARIATIONS and sizes is not None:
            size = VARIATIONS[name].size(sizes)
        else:
            continue
        try:
            distributions[name] = read_distribution(value, size)
        except ValueError as error:
            mistakes.append(f"{name} in {where}: {error}")
    lists = [len(spread["values"]) for spread in distributions.values() if "values" in spread]
    tasks = _whole(table.get("tasks", max(lists, default=None)), "tasks", 1, MAXIMUM_TASKS, where, mistakes)
    mistakes += [f"{length} values for {tasks} tasks in {where}" for length in lists if length != tasks]
    if len(distributions) < len(spread) or lists.count(tasks) < len(lists):
        return [], {}
    drawn = [
        tuple((name, draw(distributions[name], f"{seed}/{name}/{index}", index)) for name in sorted(distributions))
        for index in range(tasks)
    ]
    return drawn, distributions


def _hash(robot: Robot, objective: str, coefficients: Any, horizon: int, split: Mapping[str, Any]) -> str:
    described = asdict(robot) | {
        "mjcf": model_file.digest(robot.mjcf),
        "about": "",
        "sizes": None,
    }
    content = [described, objective, coefficients, horizon, split["train"], split["test"]]
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()
