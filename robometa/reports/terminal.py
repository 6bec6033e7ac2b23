"""Reports as tables for the terminal."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from rich.text import Text

from robometa.console import PROSE_WIDTH, PlainConsole, WholeTable, styled
from robometa.escape import counted
from robometa.suites.task import shortened

if TYPE_CHECKING:
    from robometa.reports.report import Report

PROSE = ("recovered", "learner", "about", "meaning", "hidden", "paper", "", "mean action", "exploring")
"""Columns with text that may wrap."""

CONTROL = (
    "control: the same policy with its adaptation forgotten before every rollout, in the same resets; what is adapted "
    "within an episode stays; after - control: mean of the differences"
)
"""Explanation of the control's columns."""


def plain_table(*columns: str) -> WholeTable:
    """Makes a table without lines."""
    return WholeTable(*columns, prose=PROSE)


def print_report(report: Report) -> None:
    """Prints the results of an evaluation: a row per task, then, last, a row per shot and references below."""
    console = PlainConsole()
    _print_tasks(console, report)
    summary = report.summary()
    gap = "gap_closed" in summary[0] and report.gap_obstacle() is None
    gap_scale = "; gap: 0 % = no adaptation, 100 % = oracle, interval with both references resampled" if gap else ""
    console.print(
        Text.assemble(
            styled(report.learner),
            " on ",
            styled(report.suite),
            f" ({report.split}), ",
            *_extent(report),
            "; return: interquartile mean [95 % stratified bootstrap]; seen, steps: episodes and steps of the task so "
            f"far{gap_scale}",
        )
    )
    if report.has_success:
        resampled = "goals" if report.names else "episodes"
        console.print(
            f"\nsuccess of episodes, by their end [95 % stratified bootstrap over {resampled}] and at any step"
        )
        console.print(_successes(report, summary))
        for sentence in _course(summary[-1]["mean_action"]):
            console.print(sentence)
        console.print("\nreturn")
    console.print(_returns(report, summary))
    if gap:
        console.print("\ngap closed, mean action")
        console.print(_gaps(summary))
    for sentence in (*_first_episode(summary[0]), *([] if report.control is None else [CONTROL])):
        console.print(sentence)
    change = report.since_change()
    if change is not None:
        from robometa.reports.since_change import title

        console.print(f"\n{title(change)}")
        console.print(since_change_table([("", change)]))
    for sentence in report.warnings():
        console.print(Text.assemble(("warning: ", "bold"), sentence))


def _print_tasks(console: PlainConsole, report: Report) -> None:
    """Prints the results of each task, and an empty line."""
    if report.names:
        console.print("mean action, means over the goals of each task: success by the end, at any step, return")
        console.print(_by_name(report))
    else:
        table, whole = _by_task(report, console.width)
        console.print("mean return of each task, mean action" + ("" if whole else "; tasks.csv has all hidden numbers"))
        console.print(table)
    console.print()


def _gaps(summary: Sequence[Mapping[str, Any]]) -> WholeTable:
    """Share of the gap between no adaptation and the oracle that each shot closes."""
    from robometa.reports.gap import BY_MEANS, BY_TASK, words_of_gap

    table = plain_table("shot", "gap", "by means", "by task")
    for row in summary:
        table.add_row(row["label"], words_of_gap(row), words_of_gap(row, BY_MEANS), words_of_gap(row, BY_TASK))
    return table


def _returns(report: Report, summary: Sequence[Mapping[str, Any]]) -> WholeTable:
    """Returns of each shot, and those of random actions, no adaptation and the oracle."""
    from robometa.reports.statistics import words_of

    columns = ["shot", "seen", "steps", "mean action", "mean", "exploring"]
    columns += [] if report.control is None else ["control", "after - control"]
    table = plain_table(*columns)
    for row in summary:
        table.add_row(
            row["label"],
            f"{row['episodes_seen']:g}",
            str(row["steps_seen"]),
            words_of(row["mean_action"]),
            f"{row['mean_action']['mean']:.1f}",
            words_of(row["exploring"]),
            *_control(row),
        )
    chance = report.measures(report.random, 0)
    table.add_row("random", "", "", "", f"{chance['mean']:.1f}", words_of(chance))
    known = report.reference()
    if known is not None:
        for name, sample in (("no adaptation", known.unadapted), ("oracle", known.oracle)):
            middle, mean = sample.both_means()
            table.add_row(name, "", "", f"{middle:.1f}", f"{mean:.1f}")
    return table


def _control(row: Mapping[str, Any]) -> list[str]:
    """Mean return of the control at a shot, and what adapting adds to it; nothing if it was not measured."""
    from robometa.reports.statistics import words_of_gain

    return [f"{row['control']['mean']:.1f}", words_of_gain(row["after_minus_control"])] if "control" in row else []


def _first_episode(row: Mapping[str, Any]) -> list[str]:
    """Describes the adaptation within the first episode, if the learner adapts there."""
    acting = row["mean_action"]
    if acting.get("first_quarter") is None:
        return []
    return [
        f"within the first episode, mean action: return {acting['first_quarter']:.1f} in its first quarter, "
        f"{acting['last_quarter']:.1f} in its last"
    ]


def _course(acting: Mapping[str, Any]) -> list[str]:
    """Describes the course of the last shot's episodes, if it was measured."""
    if acting.get("lasted") is None or acting.get("on_target") is None:
        return []
    ends = "" if acting["lasted_low"] is None else f" [{acting['lasted_low']:.1%}, {acting['lasted_high']:.1%}]"
    return [
        f"mean action, last shot: {acting['lasted']:.1%}{ends} of "
        f"the episodes lasted to the time limit, {acting['on_target']:.1%} of all steps met the condition of success"
    ]


def _extent(report: Report) -> Sequence[Text | str]:
    """Describes the extent of the evaluation, and its protocol."""
    episodes = counted(report.exploring.returns.shape[2], "episode")
    if not report.names:
        return (f"{counted(len(report.tasks), 'task')}, {episodes} each",)
    names = len(set(report.names))
    extent = f"{counted(names, 'task')}, goals: {len(report.names)}, {episodes} of each"
    return (styled(report.protocol), f": {extent}") if report.protocol else (extent,)


def _successes(report: Report, summary: Sequence[Mapping[str, Any]]) -> WholeTable:
    """Shares of episodes that succeed by their end, with intervals, and at any step; random's and no adaptation's."""
    table = plain_table("shot", "seen", "mean action", "any step", "exploring", "any step")
    for row in summary:
        shares = [part for kind in ("mean_action", "exploring") for part in shares_of(row[kind])]
        table.add_row(row["label"], f"{row['episodes_seen']:g}", *shares)
    table.add_row("random", "", "", "", *shares_of(report.measures(report.random, 0)))
    known = report.reference()
    if known is not None and known.success != (None, None):
        table.add_row(
            "no adaptation", "", *shares_of(dict(zip(("success", "success_any_step"), known.success, strict=True)))
        )
    return table


def shares_of(row: Mapping[str, Any]) -> tuple[str, str]:
    """Writes the success by the end with its interval, and that at any step; a dash where it was not measured."""
    shares = ["\N{EN DASH}" if row.get(key) is None else f"{row[key]:.1%}" for key in ("success", "success_any_step")]
    if row.get("success_low") is not None:
        shares[0] += f" [{row['success_low']:.1%}, {row['success_high']:.1%}]"
    return shares[0], shares[1]


def _by_name(report: Report) -> WholeTable:
    """Success and return of each task with several goals."""
    shots = [_column(report, shot) for shot in range(len(report.episodes_seen))]
    table = plain_table("task", "goals", *(what for shot in shots for what in (shot, "any step", "return")))
    for row in report.by_name():
        scores = [shot["mean_action"] for shot in row["shots"]]
        cells = [(f"{one['success']:.0%}", f"{one['success_any_step']:.0%}", f"{one['return']:.0f}") for one in scores]
        table.add_row(row["task"], str(row["goals"]), *(cell for three in cells for cell in three))
    return table


def _column(report: Report, shot: int) -> str:
    return f"after {shot}" if shot else report.label(0)


def _by_task(report: Report, width: int) -> tuple[WholeTable, bool]:
    """Mean return of each task, a line each: as many hidden numbers as fit; True if none is left out."""
    shots = range(len(report.episodes_seen))
    head = [_column(report, shot) for shot in shots]
    rows = [
        [f"{report.mean_action.returns[shot, task].mean():.1f}" for shot in shots] for task in range(len(report.tasks))
    ]
    taken = len("task ") + sum(max(map(len, column)) + 1 for column in zip(head, *rows, strict=True))
    room = max(PROSE_WIDTH, width - taken - 1)
    hidden = tuple(textwrap.shorten(shortened(words), room, placeholder=" ...") for words in report.tasks)
    table = plain_table("task", "hidden", *head)
    for task, (words, means) in enumerate(zip(hidden, rows, strict=True)):
        table.add_row(str(task), words, *means)
    return table, hidden == report.tasks


def since_change_table(rows: Sequence[tuple[str, dict[str, Any]]]) -> WholeTable:
    """Rewards before and since a change, and the time to recover, of labelled rows."""
    from robometa.reports.since_change import columns, row

    named = any(label for label, _ in rows)
    labels = columns([change for _, change in rows])
    table = plain_table(*(["learner"] if named else []), *labels)
    for name, change in rows:
        table.add_row(*([name] if named else []), *row(change, labels))
    return table
