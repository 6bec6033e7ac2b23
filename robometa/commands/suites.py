"""`robometa suites`: its arguments and its work, tables for the terminal."""

from __future__ import annotations

import argparse
from collections import Counter
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from robometa import suites
from robometa.commands.arguments import Parser
from robometa.evaluation import protocols
from robometa.suites.objectives import OBJECTIVES
from robometa.suites.shipped import benchmark_names
from robometa.suites.suite import Suite
from robometa.suites.variations import VARIATIONS

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table


def add_arguments(command: Callable[..., Parser]) -> None:
    """Adds `robometa suites` to the parser."""
    add = command("suites", "list the suites, or show one: its tasks, and what the policy sees")
    add.add_argument("suite", metavar="NAME", nargs="?", help="a suite's name, or the path of a .toml file")


def _suites(asked: argparse.Namespace, rest: list[str]) -> None:
    if asked.suite is None:
        print_suites()
    else:
        suite = suites.load(asked.suite)
        if suite.learner and asked.suite.endswith(".toml"):  # a file of the user's own
            from robometa.registry.options import check_options

            check_options(suite)
        print_suite(suite)


SHOWN = 12
"""Tasks of a split that are shown one by one."""


def print_suites() -> None:
    """Every shipped suite in a line."""
    from rich.console import Console

    from robometa.reports.terminal import _table

    table = _table("suite", "train/test", "horizon", "about")
    for name in suites.names():
        _suite_row(table, name, suites.load(name))
    for name in benchmark_names():
        parameterised = name == "ml1"
        _suite_row(table, "ml1/TASK" if parameterised else name, suites.load("ml1/reach-v3" if parameterised else name))
    Console().print(table, highlight=False)
    print("\none of them: robometa suites NAME; a file of your own: robometa suites ./mine.toml")
    print(
        "ml1, ml10, ... are Meta-World's (pip install 'robometa[metaworld]'); ml10/v1 and so on: with its first rewards"
    )


def _suite_row(table: Table, name: str, suite: Suite) -> None:
    counts = f"{len(suite.train)}/{len(suite.test)}" + (" (same)" if suite.finite else "")
    table.add_row(name, counts, str(suite.horizon), suite.about)


def print_suite(suite: Suite) -> None:
    """A suite: robot, objective, what the policy sees, what is hidden, the tasks."""
    from rich.console import Console

    from robometa.reports.terminal import _table

    console = Console()
    console.print(f"[bold]{suite.name}[/bold]: {suite.about}", highlight=False)
    table = _table("", "")
    table.show_header = False
    for row in (
        ("source", suite.source),
        ("robot", f"{suite.robot.name}: {suite.robot.about}"),
        *(_objective_rows(suite) if suite.benchmark is None else _benchmark_rows(suite)),
        ("hash", suite.content_hash),
    ):
        table.add_row(*row)
    console.print(table, highlight=False)
    for split in ("train", "test"):
        if suite.benchmark is None:
            _print_tasks(console, suite, split)
        else:
            counts = Counter(task.objective for task in suite.tasks(split))
            told = ", ".join(f"{name} {count}" for name, count in counts.items())
            words = f"{len(counts)} {'task' if len(counts) == 1 else 'tasks'}, {counts.total()} goals"
            console.print(f"\n[bold]{split}[/bold]: {words}\n  {told}", highlight=False)


def _print_tasks(console: Console, suite: Suite, split: str) -> None:
    tasks = suite.tasks(split)
    console.print(f"\n[bold]{split}[/bold]: {len(tasks)} tasks", highlight=False)
    for index, task in enumerate(tasks[:SHOWN]):
        console.print(f"  {index:3d}  {task.describe()}", highlight=False)
    if len(tasks) > SHOWN:
        console.print(f"  ... and {len(tasks) - SHOWN} more", highlight=False)


def _objective_rows(suite: Suite) -> Iterator[tuple[str, str]]:
    """What a suite of a robot and an objective is."""
    weights = ", ".join(f"{name} {value:g}" for name, value in suite.train[0].coefficients)
    hidden = [f"{name} ({_meaning(name, suite)})" for name, _ in suite.train[0].parameters]
    yield "objective", f"{suite.objective}: {OBJECTIVES[suite.objective].about}"
    yield "coefficients", weights
    yield "horizon", f"{suite.horizon} control steps"
    yield "policy sees", _seen(suite)
    yield "hidden", "; ".join(hidden) or "nothing"
    yield "episode ends", _ending(suite)


def _benchmark_rows(suite: Suite) -> Iterator[tuple[str, str]]:
    """What a suite of Meta-World's tasks is."""
    benchmark = suite.benchmark
    assert benchmark is not None
    goal = "the goal" if benchmark.goal_visible else "3 zeros in the goal's place"
    protocol = protocols.default(suite)
    yield "objective", f"each task's own reward, version {benchmark.reward}, and success condition"
    yield "horizon", f"{suite.horizon} control steps"
    yield (
        "policy sees",
        (
            f"39 numbers: hand, opening of the gripper, places and turns of up to two objects (18), the same a step "
            f"before (18), {goal}"
        ),
    )
    yield "policy moves", "4 numbers: where the hand is pulled to, x, y, z, and the gripper's effort"
    yield "hidden", "which task it is" if benchmark.goal_visible else "which task it is, and its goal"
    yield "episode ends", f"after {suite.horizon} steps; success is noted and does not end it"
    yield "protocol", f"{protocol.name}: {protocol.words()}" if protocol else "none of its own"


def _meaning(name: str, suite: Suite) -> str:
    return VARIATIONS[name].about if name in VARIATIONS else f"parameter of the objective {suite.objective}"


def _seen(suite: Suite) -> str:
    words = {
        "joint_positions": "positions of the joints (all but the body's place in the plane)",
        "velocities": "velocities",
        "position": "the body's place in the plane",
        "sensors": "sensors",
    }
    return ", ".join(words[part] for part in suite.robot.observe)


def _ending(suite: Suite) -> str:
    robot = suite.robot
    rules = []
    if robot.height is not None:
        rules.append(f"height outside {robot.height[0]:g}..{robot.height[1]:g} m")
    if robot.pitch is not None:
        rules.append(f"pitch beyond {robot.pitch:g} rad")
    if robot.state_limit is not None:
        rules.append(f"state beyond {robot.state_limit:g}")
    return ", or ".join([*rules, f"after {suite.horizon} steps"])
