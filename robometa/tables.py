"""Tables for the terminal: suites, learners, reports."""

from __future__ import annotations

import ast
import inspect
import itertools
from dataclasses import asdict
from typing import TYPE_CHECKING

from rich.console import Console
from rich.table import Table

from robometa import learners, suites
from robometa.card import words_of
from robometa.sim.objectives import OBJECTIVES
from robometa.sim.variations import VARIATIONS
from robometa.suites import Suite

if TYPE_CHECKING:
    from robometa.report import Report

PROSE = ("about", "meaning", "hidden", "paper", "", "mean action", "exploring")
"""Columns whose text may wrap."""
SHOWN = 12
"""Tasks of a split that are shown one by one."""


def _table(*columns: str, title: str | None = None) -> Table:
    table = Table(
        title=title, title_justify="left", box=None, pad_edge=False, padding=(0, 1, 0, 0), header_style="bold"
    )
    for column in columns:
        table.add_column(column, overflow="fold", no_wrap=column not in PROSE)
    return table


def print_suites() -> None:
    """Every shipped suite in a line."""
    table = _table("suite", "train/test", "horizon", "about")
    for name in suites.names():
        suite = suites.load(name)
        counts = f"{len(suite.train)}/{len(suite.test)}" + (" (same)" if suite.finite else "")
        table.add_row(name, counts, str(suite.horizon), suite.about)
    Console().print(table, highlight=False)
    print("\none of them: robometa suites NAME; a file of your own: robometa suites ./mine.toml")


def print_suite(suite: Suite) -> None:
    """A suite: robot, objective, what the policy sees, what is hidden, the tasks."""
    console = Console()
    robot, objective = suite.robot, OBJECTIVES[suite.objective]
    console.print(f"[bold]{suite.name}[/bold]: {suite.about}", highlight=False)
    table = _table("", "")
    table.show_header = False
    weights = ", ".join(f"{name} {value:g}" for name, value in suite.train[0].coefficients)
    hidden = [f"{name} ({_meaning(name, suite)})" for name, _ in suite.train[0].parameters]
    for row in (
        ("source", suite.source),
        ("robot", f"{robot.name}: {robot.about}"),
        ("objective", f"{suite.objective}: {objective.about}"),
        ("coefficients", weights),
        ("horizon", f"{suite.horizon} control steps"),
        ("policy sees", _seen(suite)),
        ("hidden", "; ".join(hidden) or "nothing"),
        ("episode ends", _ending(suite)),
        ("hash", suite.content_hash),
    ):
        table.add_row(*row)
    console.print(table, highlight=False)
    for split in ("train", "test"):
        tasks = suite.tasks(split)
        console.print(f"\n[bold]{split}[/bold]: {len(tasks)} tasks", highlight=False)
        for index, task in enumerate(tasks[:SHOWN]):
            console.print(f"  {index:3d}  {task.describe()}", highlight=False)
        if len(tasks) > SHOWN:
            console.print(f"  ... and {len(tasks) - SHOWN} more", highlight=False)


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


def print_learners() -> None:
    """Every learner in a line."""
    table = _table("learner", "paper", "about")
    for name, entry in learners.LEARNERS.items():
        table.add_row(name, entry.paper, entry.about)
    Console().print(table, highlight=False)
    print(
        "\none of them with its options: robometa learners NAME; one of your own: robometa learners ./mine.py:MyLearner"
    )


def print_learner(name: str) -> None:
    """A learner: what it does, its paper, its options in every preset."""
    entry = learners.find(name)
    presets = entry.presets()
    console = Console()
    console.print(f"[bold]{learners.label(name)}[/bold]: {entry.about}\npaper: {entry.paper}", highlight=False)
    table = _table("option", *presets, "meaning")
    meanings = _meanings(type(next(iter(presets.values()))))
    for option in asdict(next(iter(presets.values()))):
        values = [str(asdict(preset)[option]) for preset in presets.values()]
        table.add_row(f"--{option.replace('_', '-')}", *values, meanings.get(option, ""))
    console.print(table, highlight=False)


def _meanings(configuration: type) -> dict[str, str]:
    """The words under each field of a configuration, by the field's name."""
    tables = [ast.parse(inspect.getsource(kind)).body[0] for kind in configuration.__mro__[-2::-1]]
    return {
        field.target.id: " ".join(line.value.value.split())
        for table in tables
        if isinstance(table, ast.ClassDef)
        for field, line in itertools.pairwise(table.body)
        if isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name)
        if isinstance(line, ast.Expr) and isinstance(line.value, ast.Constant) and isinstance(line.value.value, str)
    }


def print_report(report: Report) -> None:
    """What the evaluator found: a row per shot, random actions below, then the tasks."""
    console = Console()
    worlds = report.exploring.returns.shape[2]
    summary = report.summary()
    gap = "gap_closed" in summary[0]
    told = "; gap: closed between a policy that does not adapt and an oracle" if gap else ""
    console.print(
        f"[bold]{report.learner}[/bold] on [bold]{report.suite}[/bold] ({report.split}), {len(report.tasks)} tasks, "
        f"{worlds} episodes each; return: interquartile mean [95 % stratified bootstrap] with so many episodes and "
        f"steps of the task seen{told}",
        highlight=False,
    )
    columns = ["shot", "seen", "steps", "mean action", "exploring"]
    table = _table(*columns, *(["gap"] if gap else []), *(["success"] if report.has_success else []))
    for row in summary:
        success = [f"{row['gap_closed']:.0%}"] if gap else []
        success += [f"{row['mean_action']['success']:.0%}"] if report.has_success else []
        label = "before" if row["shot"] == 0 else str(row["shot"])
        table.add_row(
            label,
            f"{row['episodes_seen']:g}",
            str(row["steps_seen"]),
            words_of(row["mean_action"]),
            words_of(row["exploring"]),
            *success,
        )
    empty = [""] * (gap + report.has_success)
    table.add_row("random", "", "", "", words_of(report.random.interval(0)), *empty)
    console.print(table, highlight=False)
    shots = len(report.episodes_seen)
    per_task = _table("task", "hidden", *("before" if shot == 0 else f"after {shot}" for shot in range(shots)))
    for index, words in enumerate(report.tasks):
        means = [f"{report.mean_action.returns[shot, index].mean():.1f}" for shot in range(shots)]
        per_task.add_row(str(index), words, *means)
    console.print("\nmean return of each task, mean action", highlight=False)
    console.print(per_task, highlight=False)
    diverged = report.mean_action.diverged + report.exploring.diverged
    if diverged:
        console.print(f"{diverged} simulation steps diverged; they ended their episode and were paid nothing")
