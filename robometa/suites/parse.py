"""Reads suites from TOML: checked, drawn once, frozen and hashed. Standard library only."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

from robometa.errors import UserError, unknown
from robometa.suites import metaworld, mjcf_check
from robometa.suites.change import Change, read_change
from robometa.suites.command import Command, read_command
from robometa.suites.distributions import Distribution, check_form, draw, read_distribution
from robometa.suites.grounds import grounds_of, on_ground
from robometa.suites.held_out import Parameters, count_repeated
from robometa.suites.locomotion import LOCOMOTION
from robometa.suites.numbers import number
from robometa.suites.objective_file import WEIGHTED, named, own_hash, read_objective, weighted
from robometa.suites.objectives import Objective
from robometa.suites.own_model import sizes_of
from robometa.suites.robot_file import is_unchanged, read_robot
from robometa.suites.robots import Robot
from robometa.suites.seen import with_senses
from robometa.suites.sim_to_real import read_sim_to_real
from robometa.suites.suite import Suite
from robometa.suites.task import Task
from robometa.suites.toml_file import learner_options, read_content, read_table
from robometa.suites.variations import VARIATIONS

KEYS = (
    *("about", "source", "robot", "objective", "coefficients", "command", "sim_to_real", "change"),
    *("horizon", "finite", "train", "test", "learner"),
)
MAX_HORIZON = 100_000
"""Limit on the control steps of an episode."""
MAX_TASKS = 100_000
"""Limit on the tasks of a split."""


_KNOWN: dict[tuple[Path, Path], tuple[bytes, Suite]] = {}
"""Suites that were read, each with its file's content."""


def read_suite(path: Path, shown: Path) -> Suite:
    """Reads and checks a suite's file, unless it and its robot's model are as before; the error names every mistake."""
    content = read_content(path, shown)
    before, suite = _KNOWN.get((path, shown), (None, None))
    if suite is None or content != before or not is_unchanged(suite.robot):
        suite = _suite_of(read_table(content, shown), path, shown)
        _KNOWN[path, shown] = content, suite
    return suite


def _suite_of(table: dict[str, Any], path: Path, shown: Path) -> Suite:
    if table.get("robot") == metaworld.ROBOT:
        return metaworld.suite_of(path.stem, path, table, None, None)
    mistakes: list[str] = []
    where = str(shown)
    mistakes += [unknown("key", key, KEYS, where) for key in table if key not in KEYS]
    mistakes += [
        f"missing key {key!r} in {where}" for key in ("robot", "objective", "train", "test") if key not in table
    ]
    robot = read_robot(table.get("robot"), path, where, mistakes)
    horizon = _whole(table.get("horizon", 200), "horizon", 1, MAX_HORIZON, where, mistakes)
    objective: str | None = None
    terms: tuple[tuple[str, float], ...] = ()
    if "objective" in table:
        objective, terms = read_objective(table["objective"], where, mistakes)
    paid = None if objective is None else _paid(objective, terms)
    coefficients = terms or _read_coefficients(table.get("coefficients", {}), paid, objective, where, mistakes)
    if terms and "coefficients" in table:
        mistakes.append(f"[coefficients] go with a named objective; the terms of {where} have their own numbers")
    command = read_command(table.get("command"), where, mistakes)
    real = read_sim_to_real(table.get("sim_to_real"), where, mistakes)
    if robot is not None:
        robot = with_senses(on_ground(robot, real), paid, command, where, mistakes)
    finite = table.get("finite", False)
    if not isinstance(finite, bool):
        mistakes.append(f"finite must be true or false, not {finite!r}, in {where}")
    seeds = _default_seeds(table.get("train"))
    read: dict[str, tuple[list[Parameters], dict[str, Distribution]]] = {
        name: _read_tasks(name, table[name], seeds[name], robot, paid, command, where, mistakes)
        for name in ("train", "test")
        if name in table
    }
    split = {name: tasks for name, (tasks, _) in read.items()}
    learner = learner_options(table, where, mistakes)
    spreads = {name: spread for name, (tasks, spread) in read.items() if tasks}
    change = read_change(table.get("change"), spreads, where, mistakes) if len(spreads) == 2 else {}
    # Splits that could not be read are empty, and repeat nothing; no two tasks have the same uneven ground.
    if finite is False and (real is None or real.terrain is None):
        repeated = count_repeated(*(read.get(name, ([], {})) for name in ("train", "test")))
        if repeated:
            are = "task is" if repeated == 1 else "tasks are"
            mistakes.append(
                f"{repeated} {are} both in [train] and in [test] of {where}: change a seed, "
                "or say finite = true where the task set is finite"
            )
    if mistakes:
        raise UserError("\n".join(mistakes))
    assert robot is not None
    assert objective is not None
    train, test = (
        tuple(
            Task(robot, objective, coefficients, parameters, horizon, change.get(name), ground)
            for parameters, ground in zip(split[name], grounds_of(robot, table[name], seeds[name]), strict=False)
        )
        for name in ("train", "test")
    )
    return Suite(
        name=path.stem,
        about=str(table.get("about", "")),
        source=str(table.get("source", "")),
        family=LOCOMOTION,
        robot=robot,
        objective=objective,
        horizon=horizon,
        train=train,
        test=test,
        finite=finite,
        learner=learner,
        path=path,
        content_hash=_hash(robot, objective, coefficients, horizon, split, command, change, train + test),
        command=command,
        change=change.get("train"),
        spread=read["train"][1],
    )


def _whole(value: Any, key: str, low: int, high: int, where: str, mistakes: list[str]) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
        fault = "is missing in" if value is None else f"must be a whole number from {low} to {high}, not {value!r}, in"
        mistakes.append(f"{key} {fault} {where}")
        return low
    return value


def _paid(name: str, terms: tuple[tuple[str, float], ...]) -> Objective:
    return weighted(tuple(term for term, _ in terms if "." not in term)) if name == WEIGHTED else named(name)


def _read_coefficients(
    table: Any, paid: Objective | None, objective: Any, where: str, mistakes: list[str]
) -> tuple[tuple[str, float], ...]:
    if paid is None:
        return ()
    known = paid.coefficients
    if not isinstance(table, dict):
        mistakes.append(f"coefficients must be a table, not {table!r}, in {where}")
        return ()
    values = dict(known)
    for name, value in table.items():
        if name not in known:
            mistakes.append(unknown("coefficient", name, known, f"{where} (objective {objective})"))
            continue
        try:
            values[name] = number(value)
        except ValueError as error:
            mistakes.append(f"coefficient {name} = {value!r} in {where}: {error}")
    return tuple(sorted(values.items()))


def _default_seeds(train: Any) -> dict[str, int]:
    """Seeds of the splits where the file gives none: the held-out tasks' is not the training's."""
    own = train.get("seed", 0) if isinstance(train, dict) else 0
    return {"train": 0, "test": 1 if own == 0 or not isinstance(own, int) else 0}


def _read_tasks(
    split: str,
    table: Any,
    default_seed: int,
    robot: Robot | None,
    paid: Objective | None,
    command: Command | None,
    where: str,
    mistakes: list[str],
) -> tuple[list[Parameters], dict[str, Distribution]]:
    """Draws the parameters of every task of a split from its seed; returns them and their distributions."""
    where = f"[{split}] of {where}"
    if not isinstance(table, dict):
        mistakes.append(f"{where} must be a table")
        return [], {}
    commanded = () if command is None else command.names
    needed = {} if paid is None else {name: size for name, size in paid.parameters.items() if name not in commanded}
    spread = {key: value for key, value in table.items() if key not in ("tasks", "seed")}
    optional = {} if paid is None else {name: size for name, size in paid.optional.items() if name in spread}
    known = {*needed, *optional, *VARIATIONS}
    if paid is not None:
        mistakes += [
            f"{name} in {where} is hidden, and visible in [command]: one of the two"
            for name in commanded
            if name in spread
        ]
        mistakes += [unknown("parameter", name, known, where) for name in spread if name not in known]
        mistakes += [f"missing parameter {name!r} in {where}" for name in needed if name not in spread]
    seed = _whole(table.get("seed", default_seed), "seed", 0, 2**63 - 1, where, mistakes)
    distributions = {}
    sizes = None
    if robot is not None and any(name in VARIATIONS for name in spread):
        try:
            sizes = sizes_of(robot)
        except UserError as error:
            mistakes.append(str(error))
    size: int | None
    for name, value in spread.items():
        if name in needed or name in optional:
            size = (needed | optional)[name]
        elif name in VARIATIONS:
            size = None if sizes is None else VARIATIONS[name].size(sizes)
        else:
            continue
        try:
            if size is None:
                check_form(value)
            else:
                distributions[name] = read_distribution(value, size)
        except ValueError as error:
            mistakes.append(f"{name} in {where}: {error}")
    lists = [len(spread["values"]) for spread in distributions.values() if "values" in spread]
    tasks = _whole(table.get("tasks", max(lists, default=None)), "tasks", 1, MAX_TASKS, where, mistakes)
    mistakes += [f"{length} values for {tasks} tasks in {where}" for length in lists if length != tasks]
    if len(distributions) < len(spread) or lists.count(tasks) < len(lists):
        return [], {}
    drawn = [
        tuple((name, draw(distributions[name], f"{seed}/{name}/{index}", index)) for name in sorted(distributions))
        for index in range(tasks)
    ]
    mistakes += filter(None, (_impossible(name, drawn, where) for name in distributions if name in VARIATIONS))
    return drawn, distributions


def _impossible(variation: str, drawn: list[Parameters], where: str) -> str:
    """Describes the first number of a variation that no model can have; an empty string if there is none."""
    allowed = VARIATIONS[variation].allowed
    for task, parameters in enumerate(drawn):
        wrong = [number for number in dict(parameters)[variation] if number not in allowed]
        if wrong:
            return f"{variation} must be {allowed.words}, not {wrong[0]:.3g} as in task {task}, in {where}"
    return ""


UNSEEN = ("about", "sizes", "root", "package", "digest")
"""Fields of a robot that no result depends on."""
FIRST = frozenset(
    (
        *("name", "mjcf", "frame_skip", "observe", "body", "reset_noise", "reset_velocity_noise"),
        *("reset_velocity_normal", "height", "pitch", "state_limit", "velocity_clip", "sensors", "quantities"),
    )
)
"""Fields of a robot that a hash is always of; of a later one only where it differs from its default."""
READING = 2
"""Version of how a model of a user's own is read: where episodes begin, what actions mean."""


def _hash(
    robot: Robot,
    objective: str,
    coefficients: Any,
    horizon: int,
    split: Mapping[str, Any],
    command: Command | None,
    change: Mapping[str, Change],
    tasks: tuple[Task, ...],
) -> str:
    described = {name: value for name, value in asdict(robot).items() if name not in UNSEEN}
    for field in fields(Robot):
        if field.name not in FIRST and getattr(robot, field.name) == field.default:
            described.pop(field.name, None)
    described |= {"mjcf": mjcf_check.digest(robot.mjcf, robot.root), "about": "", "sizes": None}
    if described.pop("careful", False):
        described["reading"] = READING
    if described.get("real") and robot.real is not None and robot.real.terrain is None:
        described["real"].pop("terrain")  # as before there were any
    content = [described, objective, coefficients, horizon, split["train"], split["test"]]
    content += [] if command is None else [asdict(command)]
    content += [{"change": {name: asdict(rule) for name, rule in change.items()}}] if change else []
    content += [{"ground": [task.ground for task in tasks]}] if any(task.ground for task in tasks) else []
    content += [sha256] if (sha256 := own_hash(objective)) else []
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()
