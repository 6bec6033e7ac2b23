"""The figures of the results: returns against experience of the task, and learning curves of the long runs."""

from __future__ import annotations

from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

import numpy as np

from robometa.reports.figures import episodes_axis
from study import plan
from study.rows import Row, on_how_many

if TYPE_CHECKING:
    from matplotlib.figure import Figure

LINES = {"random": "#9aa0ad", "oracle": "#111111", "no-adaptation": "#7a8194"}
"""What stands as a horizontal line, and its colour."""


TOGETHER = 9
"""Points of a learning curve whose mean is drawn at the last of them."""


def adaptation(suite: str, rows: list[Row], picture: Path) -> None:
    """Return against episodes of the task seen: a line per learner with its interval; random and oracle across."""
    pyplot = _pyplot()
    figure, panel = pyplot.subplots(figsize=(9, 5.5))
    colours = pyplot.get_cmap("tab20")
    moving = [row for row in rows if row.learner not in LINES]
    for number, row in enumerate(moving):
        middle, low, high = zip(*row.mean_action, strict=True)
        colour = colours(number % 20)
        panel.plot(
            row.episodes_seen,
            middle,
            marker="o",
            markersize=3,
            color=colour,
            label=row.learner + on_how_many(row, suite),
        )
        panel.fill_between(row.episodes_seen, low, high, color=colour, alpha=0.15, linewidth=0)
    across = sorted((row for row in rows if row.learner in LINES), key=lambda row: -row.mean_action[0][0])
    for row in across:
        place = (1.0, row.mean_action[0][0])
        panel.axhline(place[1], color=LINES[row.learner], linestyle="--", linewidth=1)
        beside = "bottom" if row is across[0] else "top"  # two that stand close are not to be written over each other
        panel.annotate(row.learner, place, xycoords=("axes fraction", "data"), va=beside)
    episodes_axis(panel)
    panel.set_ylabel("return of an episode, mean actions")
    panel.set_title(f"{suite}: adaptation to held-out tasks", fontsize=10)
    panel.grid(alpha=0.2)
    panel.spines[["top", "right"]].set_visible(False)
    if moving:
        panel.legend(frameon=False, fontsize=8, ncols=6, loc="upper center", bbox_to_anchor=(0.5, -0.12))
    _save(figure, picture)


def curves(cells: list[plan.Cell], picture: Path) -> None:
    """Return of each training's last rollout, exploring, against environment steps; means over a few points, too."""
    pyplot = _pyplot()
    figure, panel = pyplot.subplots(figsize=(9, 4))
    for cell in cells:
        steps, returns = cell.curve()
        count = min(TOGETHER, len(steps))
        (every,) = panel.plot(steps, returns, linewidth=0.7, alpha=0.35)
        mean = np.convolve(returns, np.full(count, 1 / count), mode="valid")
        panel.plot(steps[count - 1 :], mean, color=every.get_color(), label=cell.learner)
    panel.set_xscale("log")  # one that plans takes hundreds of times fewer steps than one that does not
    panel.set_xlabel("environment steps")
    panel.set_ylabel("return after adaptation, exploring")
    panel.grid(alpha=0.2)
    panel.spines[["top", "right"]].set_visible(False)
    panel.legend(frameon=False, fontsize=8)
    _save(figure, picture)


def _pyplot() -> ModuleType:
    """Matplotlib, without a screen; loaded when something is drawn."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    return pyplot


def _save(figure: Figure, picture: Path) -> None:
    figure.tight_layout()
    picture.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(picture, dpi=110)
    _pyplot().close(figure)
