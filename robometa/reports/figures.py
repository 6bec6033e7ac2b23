"""Figures of a comparison; each returns None where there is nothing to show."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from robometa.reports import pooled, reference_returns
from robometa.reports.drawing import (
    INK,
    add_legends,
    aligned,
    episodes_axis,
    in_plain_style,
    lines_across,
    name_axes,
    panels,
    svg,
    task_axis,
    text,
    thinned,
)
from robometa.reports.entries import Curve
from robometa.reports.families import Look, looks
from robometa.reports.groups import Group, Section, shared_tasks
from robometa.reports.pooled import Interval

if TYPE_CHECKING:
    from matplotlib.figure import Figure

SPREAD_OF_STEPS = 20
"""Ratio of the longest training to the shortest from which the axis is logarithmic."""
SPREAD = 12.0
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


def curves(section: Section) -> str | None:
    """Learning curves: return against environment steps, a thin line a seed."""
    figure = learning_curves(section.groups)
    return None if figure is None else svg(figure, f"curves-{section.suite_hash}")


@in_plain_style
def learning_curves(groups: Sequence[Group]) -> Figure | None:
    """Figure of the returns of trainings, with smoothed means over seeds."""
    drawn = [group for group in groups if any(one.curve for one in group.entries)]
    if not drawn:
        return None
    styles = _looks(groups, drawn)
    figure, parts = panels(styles)
    for panel, rows in parts:
        for group, look in ((drawn[row], styles[row]) for row in rows):
            known = [one.curve for one in group.entries if one.curve is not None]
            for curve in known:
                steps, returns = thinned(curve.steps, curve.returns)
                panel.plot(steps, returns, color=look.colour, linewidth=0.6, alpha=0.4)
            steps, seeds = aligned([(curve.steps, curve.returns) for curve in known])
            middle, low, high = pooled.band(seeds)
            panel.plot(steps, middle, **look.line, linewidth=1.8, label=_legend(group, len(known)))
            if len(known) > 1:
                panel.fill_between(steps, low, high, color=look.colour, alpha=0.18, linewidth=0)
    _steps_axis(figure, [one.curve for group in drawn for one in group.entries if one.curve is not None])
    name_axes(figure, "environment steps", "return of the last shot, exploring\n(sum of an episode's rewards)")
    add_legends(figure)
    return figure


@in_plain_style
def held_out(section: Section) -> str | None:
    """Held-out returns during the training: points where they were measured, small ones for the seeds."""
    drawn = [group for group in section.groups if any(one.held_out for one in group.entries)]
    if not drawn:
        return None
    styles = _looks(section.groups, drawn)
    figure, parts = panels(styles)
    for panel, rows in parts:
        for group, look in ((drawn[row], styles[row]) for row in rows):
            known = [one.held_out for one in group.entries if one.held_out is not None]
            shared = sorted(set.intersection(*(set(curve.steps.tolist()) for curve in known)))
            seeds = [one.returns[np.searchsorted(one.steps, shared)] for one in known]
            for curve in known if len(known) > 1 else ():
                panel.plot(curve.steps, curve.returns, **look.points, markersize=2.5, alpha=0.5, zorder=1)
            if shared:
                panel.plot(
                    shared, np.mean(seeds, axis=0), **look.points, markersize=5.5, label=_legend(group, len(known))
                )
    _steps_axis(figure, [one.held_out for group in drawn for one in group.entries if one.held_out is not None])
    name_axes(figure, "environment steps", "held-out return of the last shot, mean actions")
    add_legends(figure)
    return svg(figure, f"heldout-{section.suite_hash}")


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
    styles = _looks(section.groups, section.measured)
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

    figure, parts = panels(styles)
    for panel, members in parts:
        for number, (row, look) in enumerate((rows[index], styles[index]) for index in members):
            across = min(5.0, SPREAD / max(len(members) - 1, 1)) * (number - (len(members) - 1) / 2) / 72
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
    lines_across(figure, lines)
    episodes_axis(figure)
    name_axes(figure, "episodes of the task seen", "return of an episode, mean actions")
    add_legends(figure)
    return figure


@in_plain_style
def within_episode(section: Section) -> str | None:
    """Mean reward of a step along the first episode, of learners that adapt within it."""
    drawn = [group for group in section.measured if group.pace is not None]
    if not drawn:
        return None
    figure = paces([(group.label, group.pace) for group in drawn if group.pace], _looks(section.groups, drawn))
    return svg(figure, f"within-{section.suite_hash}")


@in_plain_style
def paces(rows: Sequence[tuple[str, Sequence[tuple[float, float]]]], styles: Sequence[Look]) -> Figure:
    """Figure of the reward along the first episode: a point for each stretch of it.

    Args:
        rows: Label, and middle step and mean reward of each stretch, of each row.
        styles: Look of each row.
    """
    figure, parts = panels(styles)
    for panel, members in parts:
        for index in members:
            steps, rewards = zip(*rows[index][1], strict=True)
            panel.plot(
                steps,
                rewards,
                **(styles[index].points | {"linestyle": "-"}),
                markersize=3.5,
                linewidth=0.8,
                label=text(rows[index][0]),
            )
    name_axes(figure, "control steps of the first episode", "mean reward of a step")
    add_legends(figure)
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
    for panel, members in parts:
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
    name_axes(figure, "seconds since the task changed", "mean reward of a step")
    add_legends(figure)
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
    styles = _looks(section.groups, alike)
    figure, parts = panels(styles)
    for panel, rows in parts:
        for row in rows:
            difference = (alike[row].by_task(-1) - first.by_task(-1))[order]
            panel.plot(range(len(order)), difference, **styles[row].points, markersize=4, label=text(alike[row].label))
        panel.axhline(0, color=INK, linewidth=0.8, alpha=0.6)
    name_axes(figure, "", text(f"return minus that of {first.label}"))
    for panel, _ in parts:
        task_axis(panel, [first.tasks[index] for index in order])
    add_legends(figure)
    return svg(figure, f"differences-{section.suite_hash}")


@in_plain_style
def tasks(section: Section) -> str | None:
    """Return of every task before the first shot and after the last, if one row alone has a report."""
    if len(section.measured) != 1:
        return None
    group = section.measured[0]
    (look,) = _looks(section.groups, [group])
    order = np.argsort(group.by_task(-1))
    figure, ((panel, _),) = panels([look])
    before, after = group.by_task(0)[order], group.by_task(-1)[order]
    places = np.arange(len(order))
    panel.vlines(places, before, after, color=look.colour, alpha=0.4, linewidth=1)
    style: dict[str, Any] = {"marker": "o", "linestyle": "none", "markersize": 4, "color": look.colour}
    first = "first episode" if group.measured[0].adapts_within_episode else "before"
    panel.plot(places, before, fillstyle="none", **style, label=first)
    panel.plot(places, after, **style, label="after the last shot")
    name_axes(figure, "", "mean return of an episode")
    task_axis(panel, [group.tasks[index] for index in order])
    add_legends(figure)
    return svg(figure, f"tasks-{section.suite_hash}")


def _steps_axis(figure: Figure, drawn: Sequence[Curve]) -> None:
    """Makes the horizontal axes one of environment steps; logarithmic where trainings differ much in length."""
    from matplotlib.ticker import EngFormatter

    ends = [float(curve.steps[-1]) for curve in drawn]
    for panel in figure.axes:
        if max(ends) / max(min(ends), 1) > SPREAD_OF_STEPS:
            panel.set_xscale("log")
        panel.xaxis.set_major_formatter(EngFormatter(sep=""))


def _ends(interval: Interval) -> tuple[float, float, float]:
    """An interval's middle and ends; the middle for an end that is not known."""
    middle, low, high = interval.middle, interval.low, interval.high
    return middle, middle if low is None else low, middle if high is None else high


def _looks(groups: Sequence[Group], some: Sequence[Group]) -> list[Look]:
    """Looks of some of a comparison's rows, the same in all its figures."""
    learners = [group.entries[0].learner for group in groups]
    by_group = dict(zip(map(id, groups), looks(learners), strict=True))
    return [by_group[id(group)] for group in some]


def _legend(group: Group, seeds: int) -> str:
    return text(f"{group.label}, {seeds} {'seed' if seeds == 1 else 'seeds'}")
