"""Style that figures share, smoothing, and SVG that takes its text and background from its page."""

from __future__ import annotations

import functools
import io
import re
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, ParamSpec, TypeVar

import numpy as np

from robometa.compute.matplotlib_import import import_matplotlib
from robometa.escape import printable
from robometa.reports.statistics import Array

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Given = ParamSpec("Given")
Drawn = TypeVar("Drawn")

INK = "#010203"
"""Colour of text and axes while drawing; `currentColor` in the SVG."""
MAX_POINTS = 400
"""Most points of a curve; neighbours are averaged."""
TOGETHER = 9
"""Points of a learning curve in one centred mean."""


def in_plain_style(draw: Callable[Given, Drawn]) -> Callable[Given, Drawn]:
    """Draws with Matplotlib's own defaults, whatever the user's style is."""

    @functools.wraps(draw)
    def drawn(*args: Given.args, **kwargs: Given.kwargs) -> Drawn:
        import_matplotlib()
        from matplotlib import style

        with style.context("default"):
            return draw(*args, **kwargs)

    return drawn


def panel_of(width: float, height: float) -> tuple[Figure, Axes]:
    """An empty panel; sizes in inches."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height))
    panel = figure.subplots()
    plain(panel)
    return figure, panel


def plain(panel: Axes) -> None:
    """Gives a panel its grid and colours."""
    panel.grid(alpha=0.2, color=INK)
    panel.spines[["top", "right"]].set_visible(False)
    for spine in panel.spines.values():
        spine.set_color(INK)
    panel.tick_params(colors=INK, which="both", labelsize=8)
    for axis in (panel.xaxis, panel.yaxis):
        axis.label.set(color=INK, fontsize=9)
        axis.offsetText.set_color(INK)


def add_legend(panel: Axes) -> None:
    """Adds a legend above a lone panel."""
    panel.legend(
        frameon=False,
        fontsize=8,
        ncols=1 if max(map(len, panel.get_legend_handles_labels()[1]), default=0) > 40 else 3,
        loc="lower left",
        bbox_to_anchor=(-0.02, 0.98),
        labelcolor=INK,
        columnspacing=1.0,
        handletextpad=0.4,
    )


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
