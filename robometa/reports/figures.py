"""Figures of a comparison, as SVG that takes its text and background from the page around it."""

from __future__ import annotations

import functools
import io
import re
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from robometa.escape import printable
from robometa.reports import pooled, reference_returns
from robometa.reports.groups import Group, Section, shared_tasks
from robometa.reports.statistics import Array

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

INK = "#010203"
"""Colour of text and axes while drawing; `currentColor` in the SVG."""
COLOURS = ("#2a7fb8", "#d9661f", "#2a9d6f", "#b0487f", "#8a6fd1", "#b58900", "#4aa3a2", "#d14a4a")
DASHES = ("-", "--", ":", "-.")
"""Styles of lines, the next one for each round of the colours."""
TICKS = (0, 1, 2, 3, 10, 20, 40, 60, 200, 600, 2000)
"""Episodes of a task that an axis may name."""
MAX_POINTS = 400
"""Most points of a curve; neighbours are averaged."""
TOGETHER = 9
"""Points of a learning curve in one centred mean."""
MAX_NAMED_TASKS = 40
"""Most tasks that an axis names one by one."""
SPREAD_OF_STEPS = 20
"""Ratio of the longest training to the shortest from which the axis is logarithmic."""


def in_plain_style(draw: Callable[[Section], str | None]) -> Callable[[Section], str | None]:
    """Draws with Matplotlib's own defaults, whatever the user's style is."""

    @functools.wraps(draw)
    def drawn(section: Section) -> str | None:
        from matplotlib import style

        with style.context("default"):
            return draw(section)

    return drawn


@in_plain_style
def curves(section: Section) -> str | None:
    """Learning curves: return against environment steps, a thin line a seed; None if there are none."""
    drawn = [(number, group) for number, group in enumerate(section.groups) if any(one.curve for one in group.entries)]
    if not drawn:
        return None
    from matplotlib.ticker import EngFormatter

    figure, panel = panel_of(8.6, 4.0)
    ends = []
    for number, group in drawn:
        style: dict[str, Any] = _style(number)
        known = [one.curve for one in group.entries if one.curve is not None]
        ends += [float(curve.steps[-1]) for curve in known]
        for curve in known:
            steps, returns = thinned(curve.steps, curve.returns)
            panel.plot(steps, returns, color=style["color"], linewidth=0.6, alpha=0.4)
        steps, seeds = aligned([(curve.steps, curve.returns) for curve in known])
        middle, low, high = pooled.band(seeds)
        panel.plot(steps, middle, **style, linewidth=1.8, label=_legend(group, len(known)))
        if len(known) > 1:
            panel.fill_between(steps, low, high, color=style["color"], alpha=0.18, linewidth=0)
    if max(ends) / max(min(ends), 1) > SPREAD_OF_STEPS:
        panel.set_xscale("log")
    panel.xaxis.set_major_formatter(EngFormatter(sep=""))
    panel.set_xlabel("environment steps")
    panel.set_ylabel("return of the last shot, exploring")
    return svg(figure, f"curves-{section.suite_hash}")


@in_plain_style
def adaptation(section: Section) -> str | None:
    """Return against episodes of the task seen, with intervals and the suite's references; None without reports."""
    if not section.measured:
        return None
    figure, panel = panel_of(8.6, 4.2)
    for number, group in enumerate(section.groups):
        if not group.measured:
            continue
        style = _style(number)
        seen, found = group.measured[0].episodes_seen, group.intervals
        label = _legend(group, len(group.measured))
        panel.plot(
            seen,
            [one.middle for one in found],
            **style,
            marker="o",
            markersize=4,
            label=label,
        )
        low = [one.middle if one.low is None else one.low for one in found]
        high = [one.middle if one.high is None else one.high for one in found]
        if len(seen) == 1:
            panel.errorbar(seen, [found[0].middle], [[found[0].middle - low[0]], [high[0] - found[0].middle]], **style)
        panel.fill_between(seen, low, high, color=style["color"], alpha=0.18, linewidth=0)
    known = reference_returns.find(section.suite_hash)
    lines = {"random actions": section.random()}
    if known is not None and any(group.measured[0].split == "test" for group in section.measured):
        lines["oracle"], lines["no adaptation"] = (
            float(sample.both_means()[0]) for sample in (known.oracle, known.unadapted)
        )
    across(panel, {name: value for name, value in lines.items() if value is not None})
    episodes_axis(panel)
    panel.set_ylabel("return of an episode, mean actions")
    return svg(figure, f"adaptation-{section.suite_hash}")


@in_plain_style
def differences(section: Section) -> str | None:
    """Return of every task after the last shot, minus that of the first row; None without two rows that share tasks."""
    if len(section.measured) < 2:
        return None
    first, *others = section.measured
    pairs = [(other, shared_tasks(first, other)) for other in others]
    pairs = [(other, shared) for other, shared in pairs if len(shared) == len(first.measured[0].tasks)]
    if not pairs:
        return None
    order = np.argsort(first.by_task(-1))
    figure, panel = panel_of(8.6, 4.0)
    for other, _ in pairs:
        style = _style(section.groups.index(other)) | {"linestyle": "none"}
        difference = (other.by_task(-1) - first.by_task(-1))[order]
        panel.plot(range(len(order)), difference, **style, marker="o", markersize=4, label=_text(other.label))
    panel.axhline(0, color=INK, linewidth=0.8, alpha=0.6)
    _task_axis(panel, [first.tasks[index] for index in order])
    panel.set_ylabel(_text(f"return minus that of {first.label}"))
    return svg(figure, f"differences-{section.suite_hash}")


@in_plain_style
def tasks(section: Section) -> str | None:
    """Return of every task before the first shot and after the last; None unless one row alone has a report."""
    if len(section.measured) != 1:
        return None
    group = section.measured[0]
    order = np.argsort(group.by_task(-1))
    figure, panel = panel_of(8.6, 4.0)
    before, after = group.by_task(0)[order], group.by_task(-1)[order]
    places = np.arange(len(order))
    panel.vlines(places, before, after, color=COLOURS[0], alpha=0.4, linewidth=1)
    panel.plot(
        places, before, marker="o", linestyle="none", markersize=4, fillstyle="none", color=COLOURS[1], label="before"
    )
    panel.plot(places, after, marker="o", linestyle="none", markersize=4, color=COLOURS[0], label="after the last shot")
    _task_axis(panel, [group.tasks[index] for index in order])
    panel.set_ylabel("mean return of an episode")
    return svg(figure, f"tasks-{section.suite_hash}")


def episodes_axis(panel: Axes) -> None:
    """Makes the horizontal axis one of episodes of the task seen: linear to 1, then logarithmic."""
    from matplotlib.ticker import NullLocator

    panel.set_xscale("symlog", linthresh=1)
    panel.set_xlim(left=-0.15)  # this scale would go on to negative numbers
    ticks = [count for count in TICKS if count <= panel.get_xlim()[1]]
    panel.set_xticks(ticks, [str(count) for count in ticks])
    panel.xaxis.set_minor_locator(NullLocator())
    panel.set_xlabel("episodes of the task seen")


def across(panel: Axes, lines: dict[str, float]) -> None:
    """Draws horizontal lines with their names beside the panel."""
    ordered = sorted(lines, key=lambda name: -lines[name])
    for name in ordered:
        panel.axhline(lines[name], color=INK, linestyle=(0, (4, 3)), linewidth=0.8, alpha=0.7)
        side = "bottom" if name == ordered[0] else "top"  # two that stand close must not overlap
        place = (1.005, lines[name])
        panel.annotate(name, place, xycoords=("axes fraction", "data"), va=side, fontsize=8, color=INK)


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
    """Means over `TOGETHER` points around each; over fewer near the ends."""
    half = min(TOGETHER, len(returns)) // 2
    sums = np.concatenate(([0.0], np.cumsum(returns)))
    places = np.arange(len(returns))
    low, high = np.maximum(places - half, 0), np.minimum(places + half + 1, len(returns))
    return (sums[high] - sums[low]) / (high - low)


def svg(figure: Figure, name: str) -> str:
    """SVG of a figure, to stand in a page with others; `name` tells its identifiers from theirs."""
    import matplotlib

    text = io.StringIO()
    for panel in figure.axes:
        labels = panel.get_legend_handles_labels()[1]
        if labels:
            columns = 1 if max(map(len, labels)) > 40 else 3
            figure.legend(
                frameon=False, fontsize=8, ncols=columns, loc="lower left", bbox_to_anchor=(0.11, 0.89), labelcolor=INK
            )
    with matplotlib.rc_context({"svg.fonttype": "none", "svg.hashsalt": printable(name)}):
        figure.savefig(text, format="svg", bbox_inches="tight", transparent=True, metadata={"Date": None})
    drawn = text.getvalue()
    drawn = drawn[drawn.index("<svg") :]
    drawn = re.sub(r"<metadata>.*?</metadata>", "", drawn, flags=re.DOTALL)
    prefix = re.sub(r"\W", "", name)[:24]
    drawn = re.sub(r'\bid="', f'id="{prefix}-', drawn)
    drawn = re.sub(r'(url\(|href=")#', rf"\g<1>#{prefix}-", drawn)
    return drawn.replace(INK, "currentColor")


def panel_of(width: float, height: float) -> tuple[Figure, Axes]:
    """An empty panel."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height))
    panel = figure.subplots()
    panel.grid(alpha=0.2, color=INK)
    panel.spines[["top", "right"]].set_visible(False)
    for spine in panel.spines.values():
        spine.set_color(INK)
    panel.tick_params(colors=INK, which="both", labelsize=8)
    for axis in (panel.xaxis, panel.yaxis):
        axis.label.set(color=INK, fontsize=9)
    return figure, panel


def _style(number: int) -> dict[str, Any]:
    """Colour and style of the line of a row."""
    return {"color": COLOURS[number % len(COLOURS)], "linestyle": DASHES[number // len(COLOURS) % len(DASHES)]}


def _legend(group: Group, seeds: int) -> str:
    return _text(f"{group.label}, {seeds} {'seed' if seeds == 1 else 'seeds'}")


def _text(text: str) -> str:
    """A text as Matplotlib shows it: no mathematics, and no underscore first, which would hide it in a legend."""
    shown = printable(text).replace("$", r"\$")
    return f" {shown}" if shown.startswith("_") else shown


def _task_axis(panel: Axes, names: Sequence[str]) -> None:
    """Names the tasks, or counts them where there are many."""
    if len(names) <= MAX_NAMED_TASKS:
        short = [_text(name if len(name) <= 24 else name[:21] + "...") for name in names]
        panel.set_xticks(range(len(names)), short, rotation=90, fontsize=7)
    else:
        panel.set_xlabel("held-out tasks, by the return of the first row")
