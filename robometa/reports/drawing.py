"""Parts that figures share: panels, axes, smoothing, and SVG that takes its text and background from its page."""

from __future__ import annotations

import functools
import io
import re
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, ParamSpec, TypeVar

import numpy as np

from robometa.compute.matplotlib_import import import_matplotlib
from robometa.escape import printable
from robometa.reports.families import FAMILIES, Look
from robometa.reports.statistics import Array

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Given = ParamSpec("Given")
Drawn = TypeVar("Drawn")

INK = "#010203"
"""Colour of text and axes while drawing; `currentColor` in the SVG."""
TICKS = (0, 1, 2, 3, 10, 20, 60, 200, 600, 2000)
"""Episodes of a task that an axis may name."""
MAX_POINTS = 400
"""Most points of a curve; neighbours are averaged."""
TOGETHER = 9
"""Points of a learning curve in one centred mean."""
MAX_NAMED_TASKS = 40
"""Most tasks that an axis names one by one."""
MAX_TOGETHER = 4
"""Most rows in one panel; more of them get a panel for each family."""
WIDTH = 8.6
"""Width of a figure, inches."""


def in_plain_style(draw: Callable[Given, Drawn]) -> Callable[Given, Drawn]:
    """Draws with Matplotlib's own defaults, whatever the user's style is."""

    @functools.wraps(draw)
    def drawn(*args: Given.args, **kwargs: Given.kwargs) -> Drawn:
        import_matplotlib()
        from matplotlib import style

        with style.context("default"):
            return draw(*args, **kwargs)

    return drawn


def panels(looks: Sequence[Look]) -> tuple[Figure, list[tuple[Axes, list[int]]]]:
    """One panel for a few rows, else one for each family; all share their axes.

    Args:
        looks: Look of each row.

    Returns:
        The figure, and each panel with the indices of its rows.
    """
    from matplotlib.figure import Figure

    families = [family for family in FAMILIES if any(look.family is family for look in looks)]
    parts = [[index for index, look in enumerate(looks) if look.family is family] for family in families]
    if len(looks) <= MAX_TOGETHER or len(parts) == 1:
        families, parts = [], [list(range(len(looks)))]
    across = 1 if len(parts) == 1 else len(parts) if len(parts) == 3 else 2
    down = -(-len(parts) // across)
    figure = Figure(figsize=(WIDTH, 4.0 if down == across == 1 else 3.6 * down))
    grid = figure.subplots(down, across, sharex=True, sharey=True, squeeze=False)
    for unused in grid.flat[len(parts) :]:
        unused.set_visible(False)
    used = list(grid.flat[: len(parts)])
    for number, panel in enumerate(used):
        _plain(panel)
        if families:
            panel.set_title(families[number].name, loc="left", fontsize=9, color=INK)
            panel.tick_params(labelbottom=True)
    return figure, list(zip(used, parts, strict=True))


def panel_of(width: float, height: float) -> tuple[Figure, Axes]:
    """An empty panel; sizes in inches."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height))
    panel = figure.subplots()
    _plain(panel)
    return figure, panel


def _plain(panel: Axes) -> None:
    panel.grid(alpha=0.2, color=INK)
    panel.spines[["top", "right"]].set_visible(False)
    for spine in panel.spines.values():
        spine.set_color(INK)
    panel.tick_params(colors=INK, which="both", labelsize=8)
    for axis in (panel.xaxis, panel.yaxis):
        axis.label.set(color=INK, fontsize=9)
        axis.offsetText.set_color(INK)


def name_axes(figure: Figure, across: str, up: str) -> None:
    """Names the horizontal axis of every panel, and the vertical one of the first in a row."""
    for panel in figure.axes:
        panel.set_xlabel(across)
        if panel.get_subplotspec() is None or panel.get_subplotspec().is_first_col():  # type: ignore[union-attr]
            panel.set_ylabel(up)


def add_legends(figure: Figure) -> None:
    """Adds a legend above every panel, below its title."""
    visible = [panel for panel in figure.axes if panel.get_visible()]
    several = len(visible) > 1
    labels = [panel.get_legend_handles_labels()[1] for panel in visible]
    longest = max((len(label) for some in labels for label in some), default=0)
    columns = (2 if longest < 30 else 1) if several else 1 if longest > 40 else 3
    lines = max(-(-len(some) // columns) for some in labels)
    for panel in (panel for panel, some in zip(visible, labels, strict=True) if some):
        panel.legend(
            frameon=False,
            fontsize=7.5 if several else 8,
            ncols=columns,
            loc="lower left",
            bbox_to_anchor=(-0.02, 0.98),
            labelcolor=INK,
            columnspacing=1.0,
            handletextpad=0.4,
        )
        title = panel.get_title("left")
        panel.set_title(title, loc="left", fontsize=9, color=INK, pad=6 + 12.5 * lines if title else 0)
    if several:
        figure.set_layout_engine("constrained", h_pad=0.1)


def episodes_axis(figure: Figure) -> None:
    """Makes the horizontal axes of all panels one of episodes of the task seen: linear to 1, then logarithmic."""
    from matplotlib.ticker import NullLocator

    for panel in figure.axes:
        panel.set_xscale("symlog", linthresh=1)
    for panel in figure.axes:
        panel.set_xlim(
            left=-0.45, right=1.3 * max(panel.get_xlim()[1], 1.2)
        )  # this scale would go on to negative numbers
        ticks = [count for count in TICKS if count <= panel.get_xlim()[1]]
        panel.set_xticks(ticks, [str(count) for count in ticks])
        panel.xaxis.set_minor_locator(NullLocator())


def lines_across(figure: Figure, lines: dict[str, float]) -> None:
    """Draws horizontal lines through all panels, with their names beside the last of each row."""
    ordered = sorted(lines, key=lambda name: -lines[name])
    visible = [panel for panel in figure.axes if panel.get_visible()]
    for number, panel in enumerate(visible):
        place = panel.get_subplotspec()
        is_last = place is None or place.is_last_col() or number == len(visible) - 1
        for name in ordered:
            panel.axhline(lines[name], color=INK, linestyle=(0, (4, 3)), linewidth=0.8, alpha=0.7)
            if is_last:
                side = "bottom" if name == ordered[0] else "top"  # two that stand close must not overlap
                where = (1.005, lines[name])
                panel.annotate(name, where, xycoords=("axes fraction", "data"), va=side, fontsize=8, color=INK)


def task_axis(panel: Axes, names: Sequence[str]) -> None:
    """Names the tasks, or counts them where there are many."""
    if len(names) <= MAX_NAMED_TASKS:
        short = [text(name if len(name) <= 24 else name[:21] + "...") for name in names]
        panel.set_xticks(range(len(names)), short, rotation=90, fontsize=7)
    else:
        panel.set_xlabel("held-out tasks, by the return of the first row")


def text(words: str) -> str:
    """A text as Matplotlib shows it: no mathematics, and no underscore first, which would hide it in a legend."""
    shown = printable(words).replace("$", r"\$")
    return f" {shown}" if shown.startswith("_") else shown


def thinned(steps: Array, returns: Array) -> tuple[Array, Array]:
    """Averages neighbouring points until there are at most `MAX_POINTS`."""
    size = -(-len(steps) // MAX_POINTS)
    starts = np.arange(0, len(steps), size)
    counts = np.diff(np.append(starts, len(steps)))
    return np.add.reduceat(steps, starts) / counts, np.add.reduceat(returns, starts) / counts


def aligned(seeds: Sequence[tuple[Array, Array]]) -> tuple[Array, Array]:
    """Curves of several seeds at the same steps, up to the end of the shortest, each a centred mean over points.

    Args:
        seeds: Steps and returns of each seed.

    Returns:
        The steps. `[point]`
        The returns. `[seed, point]`
    """
    begin = max(float(steps[0]) for steps, _ in seeds)
    end = max(begin, min(float(steps[-1]) for steps, _ in seeds))
    grid = np.unique(np.linspace(begin, end, min(MAX_POINTS, max(len(steps) for steps, _ in seeds))))
    return grid, np.stack([np.interp(grid, steps, centred(returns)) for steps, returns in seeds])


def centred(returns: Array) -> Array:
    """Means over `TOGETHER` points around each; near the begin, where curves rise, over as many before as after."""
    sums = np.concatenate(([0.0], np.cumsum(returns)))
    places = np.arange(len(returns))
    half = np.minimum(TOGETHER // 2, places)
    low, high = places - half, np.minimum(places + half + 1, len(returns))
    return (sums[high] - sums[low]) / (high - low)


def svg(figure: Figure, name: str) -> str:
    """SVG of a figure for a page with others; `name` makes its identifiers unique there."""
    import matplotlib

    written = io.StringIO()
    with matplotlib.rc_context({"svg.fonttype": "none", "svg.hashsalt": printable(name)}):
        figure.savefig(written, format="svg", bbox_inches="tight", transparent=True, metadata={"Date": None})
    drawn = written.getvalue()
    drawn = drawn[drawn.index("<svg") :]
    drawn = re.sub(r"<metadata>.*?</metadata>", "", drawn, flags=re.DOTALL)
    prefix = re.sub(r"\W", "", name)[:24]
    drawn = re.sub(r'\bid="', f'id="{prefix}-', drawn)
    drawn = re.sub(r'(url\(|href=")#', rf"\g<1>#{prefix}-", drawn)
    return drawn.replace(INK, "currentColor")
