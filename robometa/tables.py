"""Tables for the terminal: suites, learners, reports."""

from __future__ import annotations

import ast
import inspect
import itertools
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.table import Table

from robometa import learners, protocols, suites
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
        title=title,
        title_justify="left",
        title_style="",
        box=None,
        pad_edge=False,
        padding=(0, 1, 0, 0),
        header_style="bold",
    )
    for column in columns:
        table.add_column(column, overflow="fold", no_wrap=column not in PROSE)
    return table


def print_suites() -> None:
    """Every shipped suite in a line."""
    table = _table("suite", "train/test", "horizon", "about")
    for name in suites.names():
        _suite_row(table, name, suites.load(name))
    for name in suites.benchmark_names():
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
    summary = report.summary()
    gap = "gap_closed" in summary[0]
    told = "; gap: closed between a policy that does not adapt and an oracle" if gap else ""
    console.print(
        f"[bold]{report.learner}[/bold] on [bold]{report.suite}[/bold] ({report.split}), {_extent(report)}; "
        f"return: interquartile mean [95 % stratified bootstrap] with so many episodes and "
        f"steps of the task seen{told}",
        highlight=False,
    )
    if report.names:
        told = "\nsuccess: at any step of an episode [95 % stratified bootstrap over goals], and at its last"
        console.print(told, highlight=False)
        console.print(_successes(report, summary), highlight=False)
        console.print("\nreturn", highlight=False)
    success = report.has_success and not report.names
    columns = ["shot", "seen", "steps", "mean action", "exploring"]
    table = _table(*columns, *(["gap"] if gap else []), *(["success"] if success else []))
    for row in summary:
        further = [f"{row['gap_closed']:.0%}"] if gap else []
        further += [f"{row['mean_action']['success']:.0%}"] if success else []
        table.add_row(
            _label(row),
            f"{row['episodes_seen']:g}",
            str(row["steps_seen"]),
            words_of(row["mean_action"]),
            words_of(row["exploring"]),
            *further,
        )
    empty = [""] * (gap + success)
    table.add_row("random", "", "", "", words_of(report.interval(report.random, 0)), *empty)
    console.print(table, highlight=False)
    if report.names:
        console.print("\nmean action, means over the goals of each task: success, at end, return", highlight=False)
        console.print(_by_name(report), highlight=False)
    else:
        console.print("\nmean return of each task, mean action", highlight=False)
        console.print(_by_task(report), highlight=False)
    diverged = report.mean_action.diverged + report.exploring.diverged
    if diverged:
        console.print(f"{diverged} simulation steps diverged; they ended their episode and were paid nothing")


def _extent(report: Report) -> str:
    """How much was measured, and by which protocol."""
    episodes = f"{report.exploring.returns.shape[2]} episodes"
    if not report.names:
        return f"{len(report.tasks)} tasks, {episodes} each"
    names = len(set(report.names))
    extent = f"{names} {'task' if names == 1 else 'tasks'}, goals: {len(report.names)}, {episodes} of each"
    return f"[bold]{report.protocol}[/bold]: {extent}" if report.protocol else extent


def _label(row: Mapping[str, Any]) -> str:
    return "before" if row["shot"] == 0 else str(row["shot"])


def _successes(report: Report, summary: Sequence[Mapping[str, Any]]) -> Table:
    """Shares of episodes that succeed at any step, with their intervals, and at the last."""
    table = _table("shot", "seen", "mean action", "at end", "exploring", "at end")
    for row in summary:
        shares = [part for kind in ("mean_action", "exploring") for part in _shares(row[kind])]
        table.add_row(_label(row), f"{row['episodes_seen']:g}", *shares)
    table.add_row("random", "", "", "", *_shares(report.successes(report.random, 0)))
    return table


def _shares(row: Mapping[str, Any]) -> tuple[str, str]:
    share = f"{row['success']:.1%}"
    if row["success_low"] is not None:
        share += f" [{row['success_low']:.1%}, {row['success_high']:.1%}]"
    return share, f"{row['success_at_end']:.1%}"


def _by_name(report: Report) -> Table:
    """Success and return of each task with several goals."""
    shots = ["before" if shot == 0 else f"after {shot}" for shot in range(len(report.episodes_seen))]
    table = _table("task", "goals", *(what for shot in shots for what in (shot, "at end", "return")))
    for row in report.by_name():
        found = [shot["mean_action"] for shot in row["shots"]]
        cells = [(f"{one['success']:.0%}", f"{one['success_at_end']:.0%}", f"{one['return']:.0f}") for one in found]
        table.add_row(row["task"], str(row["goals"]), *(cell for three in cells for cell in three))
    return table


def _by_task(report: Report) -> Table:
    """Mean return of each task."""
    shots = range(len(report.episodes_seen))
    table = _table("task", "hidden", *("before" if shot == 0 else f"after {shot}" for shot in shots))
    for index, words in enumerate(report.tasks):
        means = [f"{report.mean_action.returns[shot, index].mean():.1f}" for shot in shots]
        table.add_row(str(index), words, *means)
    return table
