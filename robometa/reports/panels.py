"""Panels of a figure: small multiples of families, with axes, legends and reference lines."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from robometa.reports.drawing import INK, plain, text
from robometa.reports.families import FAMILIES, Look

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

TICKS = (0, 1, 2, 3, 10, 20, 60, 200, 600, 2000)
"""Episodes of a task that an axis names where it cannot name all that were measured."""
MAX_TICKS = 8
"""Most numbers of episodes that an axis names."""
MAX_NAMED_TASKS = 40
"""Most tasks that an axis names one by one."""
MAX_TOGETHER = 4
"""Most rows that share a panel whatever their families; more of them get one for each family."""
MAX_LINES = 6
"""Most rows of a family in one panel; more of them are divided."""
WIDTH = 8.6
"""Width of a figure, inches."""
HEIGHT, FAMILY_HEIGHT = 3.4, 1.95
"""Height of a lone panel, and of each of several below each other, inches."""
MAX_LEGEND = 26
"""Longest line of a legend, characters."""
BESIDE = 0.98
"""Room between a panel and its legend for the names of horizontal lines, inches."""


@dataclass(frozen=True)
class Part:
    """Rows of a comparison that are drawn together, in a panel or in several side by side."""

    panels: tuple[Axes, ...]
    """One for each horizontal axis. `[axis]`"""
    rows: tuple[int, ...]
    """Indices of its rows."""
    kin: tuple[int, ...] = ()
    """Indices of the rows of the same family in other parts."""


def panels(looks: Sequence[Look], axes: int = 1, alike: bool = True) -> tuple[Figure, list[Part]]:
    """Panels for a few rows, else for each family, the families below each other; all share their vertical axis.

    Args:
        looks: Look of each row.
        axes: Panels side by side, each with a horizontal axis of its own.
        alike: Share a horizontal axis among the panels below each other.
    """
    from matplotlib.figure import Figure

    shares = _shares(looks)
    down = len(shares)
    figure = Figure(figsize=(WIDTH, HEIGHT if down == 1 else 0.4 + FAMILY_HEIGHT * down), layout="constrained")
    grid = figure.subplots(down, axes, sharex="col" if alike else False, sharey=True, squeeze=False)
    parts = []
    for panels, (title, rows, kin) in zip(grid, shares, strict=True):
        for panel in panels:
            plain(panel)
            panel.tick_params(labelbottom=True)
        if down > 1:
            panels[0].set_title(title, loc="left", fontsize=9, color=INK)
        parts.append(Part(tuple(panels), rows, kin))
    return figure, parts


def _shares(looks: Sequence[Look]) -> list[tuple[str, tuple[int, ...], tuple[int, ...]]]:
    """Title, rows and kindred rows of each part."""
    if len(looks) <= MAX_TOGETHER:
        return [("", tuple(range(len(looks))), ())]
    shares = []
    for family in FAMILIES:
        members = [index for index, look in enumerate(looks) if look.family is family]
        members.sort(key=lambda index: looks[index].place % len(family.colours))  # rows of a learner side by side
        count = -(-len(members) // MAX_LINES)
        for number, rows in enumerate(np.array_split(members, count) if count else []):
            title = family.name if count == 1 else f"{family.name} ({number + 1} of {count})"
            chosen = tuple(map(int, rows))
            shares.append((title, chosen, tuple(index for index in members if index not in chosen)))
    return shares


def name_axes(parts: Sequence[Part], across: Sequence[str], up: str) -> None:
    """Names the horizontal axes of the last part, and the vertical axis of all.

    Args:
        parts: Parts of a figure.
        across: Name of each horizontal axis. `[axis]`
        up: Name of the vertical axis.
    """
    for panel, name in zip(parts[-1].panels, across, strict=True):
        panel.set_xlabel(name)
    figure = parts[0].panels[0].get_figure(root=True)
    if len(parts) == 1 or figure is None:
        parts[0].panels[0].set_ylabel(up)
    else:
        figure.supylabel(up.replace("\n", " "), fontsize=9, color=INK)


def add_legends(parts: Sequence[Part], beside: float = 0.0) -> None:
    """Adds a legend to the right of each part, where it covers nothing.

    Args:
        parts: Parts of a figure.
        beside: Room to leave for the names of horizontal lines, inches.
    """
    from matplotlib.transforms import ScaledTranslation

    for part in parts:
        handles, labels = part.panels[0].get_legend_handles_labels()
        figure, last = part.panels[0].get_figure(root=True), part.panels[-1]
        if not labels or figure is None:
            continue
        last.legend(
            handles,
            [textwrap.fill(label, MAX_LEGEND, break_long_words=True) for label in labels],
            frameon=False,
            fontsize=8,
            loc="upper left",
            bbox_to_anchor=(1.0, 1.04),
            bbox_transform=last.transAxes + ScaledTranslation(beside, 0, figure.dpi_scale_trans),
            labelcolor=INK,
            labelspacing=0.35,
            handletextpad=0.5,
            handlelength=1.8,
        )


def add_note(panel: Axes, words: str) -> None:
    """Adds a sentence in a corner of a panel, where curves that rise leave room."""
    where = {"xy": (0.99, 0.03), "xycoords": "axes fraction", "ha": "right", "va": "bottom"}
    panel.annotate(textwrap.fill(text(words), 44), **where, fontsize=7, color=INK, alpha=0.7)  # type: ignore[arg-type]


def episodes_axis(parts: Sequence[Part], seen: Sequence[Sequence[float]]) -> None:
    """Makes the horizontal axes ones of episodes of the task seen: logarithmic from the first that was measured on.

    Args:
        parts: Parts of a figure.
        seen: Episodes at which something was measured. `[part, place]`
    """
    from matplotlib.ticker import NullLocator

    for part, measured in zip(parts, seen, strict=True):
        first = min((place for place in measured if place > 0), default=1.0)
        (panel,) = part.panels
        panel.set_xscale("symlog", linthresh=first)
        panel.set_xlim(-0.45 * first, 1.3 * max([*measured, 1.2 * first]))  # it would go on to negative numbers
        ticks = {f"{place:.3g}" if place < 1000 else f"{place:.0f}": place for place in sorted(measured)}
        if len(ticks) > MAX_TICKS:
            ticks = {str(count): float(count) for count in TICKS if count == 0 or first <= count <= max(measured)}
        panel.set_xticks([*ticks.values()], [*ticks])
        panel.xaxis.set_minor_locator(NullLocator())


def lines_across(parts: Sequence[Part], lines: dict[str, float]) -> None:
    """Draws horizontal lines through all panels, with their names to the right, none upon another."""
    ordered = sorted(lines, key=lambda name: lines[name])
    for panel in (panel for part in parts for panel in part.panels):
        for name in ordered:
            panel.axhline(lines[name], color=INK, linestyle=(0, (4, 3)), linewidth=0.8, alpha=0.7)
    low, high = parts[0].panels[0].get_ylim()
    heights = apart([(lines[name] - low) / (high - low) for name in ordered], 0.055 if len(parts) == 1 else 0.1)
    for part in parts:
        for name, height in zip(ordered, heights, strict=True):
            where = {"xy": (1.01, height), "xycoords": "axes fraction", "va": "center"}
            part.panels[-1].annotate(name, **where, fontsize=8, color=INK)  # type: ignore[arg-type]


def apart(places: Sequence[float], least: float) -> list[float]:
    """Places in ascending order, of which all but the last move down until they are at least so far apart."""
    moved = list(places)
    for index in range(len(moved) - 2, -1, -1):
        moved[index] = min(moved[index], moved[index + 1] - least)
    return moved


def task_axis(parts: Sequence[Part], names: Sequence[str]) -> None:
    """Names the tasks below the last part, or counts them where there are many."""
    for part in parts[:-1]:
        part.panels[0].tick_params(labelbottom=False)
    panel = parts[-1].panels[0]
    if len(names) <= MAX_NAMED_TASKS:
        short = [text(name if len(name) <= 24 else name[:21] + "...") for name in names]
        panel.set_xticks(range(len(names)), short, rotation=90, fontsize=7)
    else:
        panel.set_xlabel("held-out tasks, by the return of the first row")
