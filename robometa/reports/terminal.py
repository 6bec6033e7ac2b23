"""Reports as tables for the terminal."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from rich.table import Table
from rich.text import Text

from robometa.console import PlainConsole, styled

if TYPE_CHECKING:
    from robometa.reports.report import Report

PROSE = ("about", "meaning", "hidden", "paper", "", "mean action", "exploring")
"""Columns whose text may wrap."""


def plain_table(*columns: str) -> Table:
    """Makes a table without lines."""
    table = Table(box=None, pad_edge=False, padding=(0, 1, 0, 0), header_style="bold")
    for column in columns:
        table.add_column(column, overflow="fold", no_wrap=column not in PROSE)
    return table


def print_report(report: Report) -> None:
    """Prints the results of an evaluation: a row per shot, random actions below, then the tasks."""
    from robometa.reports.statistics import words_of

    console = PlainConsole()
    summary = report.summary()
    gap = "gap_closed" in summary[0]
    gap_scale = "; gap: 0 % = no adaptation, 100 % = oracle" if gap else ""
    console.print(
        Text.assemble(
            styled(report.learner),
            " on ",
            styled(report.suite),
            f" ({report.split}), ",
            *_extent(report),
            f"; return: interquartile mean [95 % stratified bootstrap]; seen: episodes of the task so far{gap_scale}",
        )
    )
    if report.names:
        told = "\nsuccess: at any step of an episode [95 % stratified bootstrap over goals], and at its last"
        console.print(told)
        console.print(_successes(report, summary))
        console.print("\nreturn")
    success = report.has_success and not report.names
    columns = ["shot", "seen", "steps", "mean action", "exploring"]
    table = plain_table(*columns, *(["gap"] if gap else []), *(["success"] if success else []))
    for row in summary:
        further = [_gap(row["gap_closed"])] if gap else []
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
    console.print(table)
    if report.names:
        console.print("\nmean action, means over the goals of each task: success, at end, return")
        console.print(_by_name(report))
    else:
        console.print("\nmean return of each task, mean action")
        console.print(_by_task(report))
    for sentence in report.warnings():
        console.print(Text.assemble(("warning: ", "bold"), sentence))


def _gap(share: float | None) -> str:
    """Writes the gap closed, or a dash where too much diverged."""
    return "\N{EN DASH}" if share is None else f"{share:.0%}"


def _extent(report: Report) -> Sequence[Text | str]:
    """Describes the extent of the evaluation, and its protocol."""
    episodes = f"{report.exploring.returns.shape[2]} episodes"
    if not report.names:
        return (f"{len(report.tasks)} tasks, {episodes} each",)
    names = len(set(report.names))
    extent = f"{names} {'task' if names == 1 else 'tasks'}, goals: {len(report.names)}, {episodes} of each"
    return (styled(report.protocol), f": {extent}") if report.protocol else (extent,)


def _label(row: Mapping[str, Any]) -> str:
    return "before" if row["shot"] == 0 else str(row["shot"])


def _successes(report: Report, summary: Sequence[Mapping[str, Any]]) -> Table:
    """Shares of episodes that succeed at any step, with their intervals, and at the last."""
    table = plain_table("shot", "seen", "mean action", "at end", "exploring", "at end")
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
    table = plain_table("task", "goals", *(what for shot in shots for what in (shot, "at end", "return")))
    for row in report.by_name():
        found = [shot["mean_action"] for shot in row["shots"]]
        cells = [(f"{one['success']:.0%}", f"{one['success_at_end']:.0%}", f"{one['return']:.0f}") for one in found]
        table.add_row(row["task"], str(row["goals"]), *(cell for three in cells for cell in three))
    return table


def _by_task(report: Report) -> Table:
    """Mean return of each task."""
    shots = range(len(report.episodes_seen))
    table = plain_table("task", "hidden", *("before" if shot == 0 else f"after {shot}" for shot in shots))
    for index, words in enumerate(report.tasks):
        means = [f"{report.mean_action.returns[shot, index].mean():.1f}" for shot in shots]
        table.add_row(str(index), words, *means)
    return table
