"""Figures of a comparison; each returns None where there is nothing to show."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from robometa.reports import reference_returns
from robometa.reports.drawing import INK, in_plain_style, svg, text
from robometa.reports.families import Look, looks
from robometa.reports.groups import Group, Section, looks_of, shared_tasks
from robometa.reports.panels import (
    BESIDE,
    add_legends,
    episodes_axis,
    lines_across,
    name_axes,
    panels,
    task_axis,
)
from robometa.reports.pooled import Interval

if TYPE_CHECKING:
    from matplotlib.figure import Figure

SPREAD = 18.0
"""Greatest distance between the points of rows that were measured at the same place, points of a typographer."""


@dataclass(frozen=True)
class Points:
    """Returns of a row after each shot, with intervals."""

    label: str
    learner: str
    seen: Sequence[float]
    """Episodes of the task seen. `[shot]`"""
    intervals: Sequence[tuple[float, float, float]]
    """Return and the ends of its interval. `[shot]`"""
    adapts_within_episode: bool
    """Its first episode is not before adaptation: drawn hollow."""


def adaptation(section: Section) -> str | None:
    """Return against episodes of the task seen, with intervals and the suite's references."""
    if not section.measured:
        return None
    rows = [
        Points(
            _legend(group, len(group.measured)),
            group.entries[0].learner,
            group.measured[0].episodes_seen,
            [_ends(interval) for interval in group.intervals],
            group.measured[0].adapts_within_episode,
        )
        for group in section.measured
    ]
    known = reference_returns.find(section.suite_hash)
    lines = {"random actions": section.random()}
    if known is not None and any(group.measured[0].split == "test" for group in section.measured):
        for name, sample in (("oracle", known.oracle), ("no adaptation", known.unadapted)):
            lines[name] = float(sample.both_means()[0])
    styles = looks_of(section.groups, section.measured)
    figure = adaptation_points(rows, styles, {name: value for name, value in lines.items() if value is not None})
    return svg(figure, f"adaptation-{section.suite_hash}")


@in_plain_style
def adaptation_points(rows: Sequence[Points], styles: Sequence[Look], lines: dict[str, float]) -> Figure:
    """Figure of returns after each shot: points where something was measured, and nothing between them.

    Args:
        rows: Returns of each row.
        styles: Look of each row.
        lines: Returns of the references, by name.
    """
    from matplotlib.transforms import ScaledTranslation

    figure, parts = panels(styles, alike=False)
    for (panel,), members in ((part.panels, part.rows) for part in parts):
        for number, (row, look) in enumerate((rows[index], styles[index]) for index in members):
            across = min(6.0, SPREAD / max(len(members) - 1, 1)) * (number - (len(members) - 1) / 2) / 72
            place = panel.transData + ScaledTranslation(across, 0, figure.dpi_scale_trans)
            middle, low, high = (np.array(values) for values in zip(*row.intervals, strict=True))
            style = look.points | {"markersize": 5, "transform": place}
            ends = [middle - low, high - middle]
            panel.errorbar(row.seen, middle, ends, fmt="none", ecolor=look.colour, elinewidth=1.2, transform=place)
            solid = 1 if row.adapts_within_episode and len(row.seen) > 1 else 0
            panel.plot(row.seen[solid:], middle[solid:], **style, label=row.label)
            panel.plot(row.seen[:solid], middle[:solid], **style, fillstyle="none")
        for row in (rows[index] for index in members):
            pairs = zip(row.seen, row.intervals, strict=True)
            panel.update_datalim([(seen, value) for seen, ends in pairs for value in ends])
        panel.autoscale_view()
    episodes_axis(parts, [[seen for index in part.rows for seen in rows[index].seen] for part in parts])
    lines_across(parts, lines)
    name_axes(parts, ["episodes of the task seen"], "return of an episode, mean actions")
    add_legends(parts, BESIDE if lines else 0.0)
    return figure


@in_plain_style
def within_episode(section: Section) -> str | None:
    """Mean reward of a step along the first episode, of learners that adapt within it."""
    drawn = [group for group in section.measured if group.pace is not None]
    if not drawn:
        return None
    figure = paces([(group.label, group.pace) for group in drawn if group.pace], looks_of(section.groups, drawn))
    return svg(figure, f"within-{section.suite_hash}")


@in_plain_style
def paces(rows: Sequence[tuple[str, Sequence[tuple[float, float]]]], styles: Sequence[Look]) -> Figure:
    """Figure of the reward along the first episode: a tread for each stretch of it, over which it is a mean.

    Args:
        rows: Label, and middle step and mean reward of each stretch, of each row.
        styles: Look of each row.
    """
    figure, parts = panels(styles)
    for (panel,), members in ((part.panels, part.rows) for part in parts):
        for index in members:
            steps, rewards = (np.array(values) for values in zip(*rows[index][1], strict=True))
            edges = np.append(0.0, steps + steps[0])  # a stretch begins where the one before it ends
            panel.stairs(rewards, edges, baseline=None, **styles[index].line, linewidth=1.4, label=text(rows[index][0]))
    name_axes(parts, ["control steps of the first episode"], "mean reward of a step")
    add_legends(parts)
    return figure


@in_plain_style
def since_change(section: Section) -> str | None:
    """Mean reward of a step against the time since a change of the task, with what counts as recovered."""
    if not section.changes:
        return None
    labels = [label for label, _ in section.changes]
    known = {group.label: group.entries[0].learner for group in section.groups}
    styles = looks([known[label.rpartition(", seed ")[0] if label not in known else label] for label in labels])
    figure, parts = panels(styles)
    for (panel,), members in ((part.panels, part.rows) for part in parts):
        for index in members:
            label, change = section.changes[index]
            seconds, look = change["stretch_seconds"], styles[index]
            rewards = [np.nan if one is None else one for one in change["rewards"]]
            times = [-0.5, *(seconds * (place + 0.5) for place in range(len(rewards)))]
            before = np.nan if change["before"] is None else change["before"]
            line = {"linestyle": "-", "markersize": 3.5, "linewidth": 0.8, "label": text(label)}
            panel.plot(times, [before, *rewards], **(look.points | line))
            if change["level"] is not None:
                panel.axhline(change["level"], color=look.colour, linewidth=0.8, linestyle=":")
        panel.axvline(0, color=INK, linewidth=0.8, alpha=0.6)
    name_axes(parts, ["seconds since the task changed"], "mean reward of a step")
    add_legends(parts)
    return svg(figure, f"change-{section.suite_hash}")


@in_plain_style
def differences(section: Section) -> str | None:
    """Return of every task after the last shot, minus that of the first row, for rows that share all tasks with it."""
    if len(section.measured) < 2:
        return None
    first, *others = section.measured
    alike = [other for other in others if len(shared_tasks(first, other)) == len(first.measured[0].tasks)]
    if not alike:
        return None
    order = np.argsort(first.by_task(-1))
    styles = looks_of(section.groups, alike)
    figure, parts = panels(styles)
    for (panel,), rows in ((part.panels, part.rows) for part in parts):
        for row in rows:
            difference = (alike[row].by_task(-1) - first.by_task(-1))[order]
            panel.plot(range(len(order)), difference, **styles[row].points, markersize=4, label=text(alike[row].label))
        panel.axhline(0, color=INK, linewidth=0.8, alpha=0.6)
    name_axes(parts, [""], text(f"return minus that of {first.label}"))
    task_axis(parts, [first.tasks[index] for index in order])
    add_legends(parts)
    return svg(figure, f"differences-{section.suite_hash}")


@in_plain_style
def tasks(section: Section) -> str | None:
    """Return of every task before the first shot and after the last, if one row alone has a report."""
    if len(section.measured) != 1:
        return None
    group = section.measured[0]
    (look,) = looks_of(section.groups, [group])
    order = np.argsort(group.by_task(-1))
    figure, parts = panels([look])
    (panel,) = parts[0].panels
    before, after = group.by_task(0)[order], group.by_task(-1)[order]
    places = np.arange(len(order))
    panel.vlines(places, before, after, color=look.colour, alpha=0.4, linewidth=1)
    style: dict[str, Any] = {"marker": "o", "linestyle": "none", "markersize": 4, "color": look.colour}
    first = "first episode" if group.measured[0].adapts_within_episode else "before"
    panel.plot(places, before, fillstyle="none", **style, label=first)
    panel.plot(places, after, **style, label="after the last shot")
    name_axes(parts, [""], "mean return of an episode")
    task_axis(parts, [group.tasks[index] for index in order])
    add_legends(parts)
    return svg(figure, f"tasks-{section.suite_hash}")


def _ends(interval: Interval) -> tuple[float, float, float]:
    """An interval's middle and ends; the middle for an end that is not known."""
    middle, low, high = interval.middle, interval.low, interval.high
    return middle, middle if low is None else low, middle if high is None else high


def _legend(group: Group, seeds: int) -> str:
    return text(group.label if seeds == 1 else f"{group.label}, {seeds} seeds")
