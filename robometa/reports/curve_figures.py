"""Figures of returns along trainings, against environment steps and against processor time."""

from __future__ import annotations

import textwrap
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from robometa.reports import pooled
from robometa.reports.curve import Curve
from robometa.reports.drawing import INK, aligned, in_plain_style, svg, text, thinned
from robometa.reports.families import Look
from robometa.reports.groups import Group, Section, looks_of
from robometa.reports.panels import Part, add_legends, add_note, name_axes, panels
from robometa.reports.statistics import Array

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

SPREAD_OF_LENGTHS = 20
"""Ratio of the longest training to the shortest from which an axis is logarithmic."""


@dataclass(frozen=True)
class Trained:
    """Curves of a row: one for each seed."""

    label: str
    curves: Sequence[Curve]

    @property
    def legend(self) -> str:
        """Name of the row, with the number of seeds if there are several."""
        return text(self.label if len(self.curves) == 1 else f"{self.label}, {len(self.curves)} seeds")


def _short(number: float) -> str:
    """A number of steps in a few signs, such as 2.5M."""
    for unit, name in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if number >= unit:
            return f"{number / unit:g}{name}"
    return f"{number:g}"


@dataclass(frozen=True)
class Axis:
    """A horizontal axis of a learning curve."""

    name: str
    number: Callable[[float], str]
    """Writes a number on it."""
    of: Callable[[Curve], Array | None]

    def known(self, row: Trained) -> list[tuple[Array, Array]]:
        """Places and returns of the seeds that have this axis."""
        pairs = [(self.of(curve), curve.returns) for curve in row.curves]
        return [(places, returns) for places, returns in pairs if places is not None]


STEPS = Axis("environment steps", _short, lambda curve: curve.steps)
MINUTES = Axis("core-minutes", "{:g}".format, lambda curve: curve.core_minutes)
MAX_NAME = 24
"""Longest name of a row in a panel that lacks it, characters."""
Draw = Callable[["Axes", Sequence[tuple[Array, Array]], Look, str], None]


def curves(section: Section) -> str | None:
    """Learning curves: return against environment steps and core-minutes, a thin line for each seed."""
    figure = learning_curves(section.groups)
    return None if figure is None else svg(figure, f"curves-{section.suite_hash}")


def learning_curves(groups: Sequence[Group]) -> Figure | None:
    """Figure of the returns of trainings; None if no row has a curve."""
    drawn = [group for group in groups if any(one.curve for one in group.entries)]
    rows = [Trained(group.label, [one.curve for one in group.entries if one.curve is not None]) for group in drawn]
    return curves_of(rows, looks_of(groups, drawn)) if rows else None


@in_plain_style
def curves_of(rows: Sequence[Trained], styles: Sequence[Look]) -> Figure:
    """Figure of the returns of trainings, with centred means over seeds.

    Args:
        rows: Curves of each row.
        styles: Look of each row.
    """
    return _figure(rows, styles, "return of the last shot, exploring\n(sum of an episode's rewards)", _lines)


@in_plain_style
def held_out(section: Section) -> str | None:
    """Held-out returns during the training: points where they were measured, small ones for the seeds."""
    drawn = [group for group in section.groups if any(one.held_out for one in group.entries)]
    rows = [Trained(group.label, [o.held_out for o in group.entries if o.held_out is not None]) for group in drawn]
    if not rows:
        return None
    figure = _figure(rows, looks_of(section.groups, drawn), "held-out return of the last shot,\nmean actions", _points)
    return svg(figure, f"heldout-{section.suite_hash}")


def _figure(rows: Sequence[Trained], styles: Sequence[Look], up: str, draw: Draw) -> Figure:
    """Figure with a panel for each axis, and for each family where there are many rows."""
    axes = [axis for axis in (STEPS, MINUTES) if any(axis.known(row) for row in rows)]
    figure, parts = panels(styles, len(axes))
    for part in parts:
        for axis, panel in zip(axes, part.panels, strict=True):
            for row in (rows[index] for index in part.kin):
                if draw is _lines and (seeds := axis.known(row)):
                    places, returns = aligned(seeds)
                    panel.plot(places, returns.mean(axis=0), color=INK, alpha=0.13, linewidth=1.2)
            for index in part.rows:
                if seeds := axis.known(rows[index]):
                    draw(panel, seeds, styles[index], rows[index].legend)
    _scale(parts, axes, [[float(places[-1]) for row in rows for places, _ in axis.known(row)] for axis in axes])
    _name_missing(parts, rows, axes)
    name_axes(parts, [axis.name for axis in axes], up)
    add_legends(parts)
    return figure


def _lines(panel: Axes, seeds: Sequence[tuple[Array, Array]], look: Look, legend: str) -> None:
    """Draws a thin line for each seed, and their centred mean with its interval."""
    for places, returns in seeds:
        panel.plot(*thinned(places, returns), color=look.colour, linewidth=0.5, alpha=0.35 if len(seeds) == 1 else 0.2)
    places, returns = aligned(seeds)
    middle, low, high = pooled.band(returns)
    panel.plot(places, middle, **look.line, linewidth=1.6, label=legend)
    if len(seeds) > 1:
        panel.fill_between(places, low, high, color=look.colour, alpha=0.18, linewidth=0)


def _points(panel: Axes, seeds: Sequence[tuple[Array, Array]], look: Look, legend: str) -> None:
    """Draws a point where something was measured: the mean where all seeds were, and small ones for the seeds."""
    shared = sorted(set.intersection(*(set(places.tolist()) for places, _ in seeds)))
    for places, returns in seeds if len(seeds) > 1 else ():
        label = "" if shared else legend
        panel.plot(places, returns, **look.points, markersize=2.5, alpha=0.5, zorder=1, label=label)
        legend = legend if shared else ""
    if shared:
        means = np.mean([returns[np.searchsorted(places, shared)] for places, returns in seeds], axis=0)
        panel.plot(shared, means, **look.points, markersize=5, label=legend)


def _scale(parts: Sequence[Part], axes: Sequence[Axis], ends: Sequence[Sequence[float]]) -> None:
    """Makes the axes logarithmic where trainings differ much in length by one of them, and writes numbers short.

    Args:
        parts: Parts of the figure.
        axes: Its horizontal axes.
        ends: Ends of all curves on each axis. `[axis, curve]`
    """
    from matplotlib.ticker import FuncFormatter

    is_far = any(max(some) > SPREAD_OF_LENGTHS * min(some) for some in ends)
    for panel, axis in (pair for part in parts for pair in zip(part.panels, axes, strict=True)):
        if is_far and min(map(min, ends)) > 0:
            panel.set_xscale("log")
        panel.xaxis.set_major_formatter(FuncFormatter(lambda place, _, number=axis.number: number(place)))


def _name_missing(parts: Sequence[Part], rows: Sequence[Trained], axes: Sequence[Axis]) -> None:
    """Names the rows that a panel lacks."""
    for part in parts:
        for axis, panel in zip(axes, part.panels, strict=True):
            lacking = [rows[index].label for index in part.rows if not axis.known(rows[index])]
            missing = [textwrap.shorten(label, MAX_NAME, placeholder=" ...") for label in lacking]
            if missing:
                add_note(panel, f"no {axis.name}: {', '.join(missing)}")
