"""The figures of the results: returns against experience of the task, and learning curves of the long runs."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from robometa.reports.drawing import add_legends, centred, in_plain_style, name_axes, panels
from robometa.reports.families import looks
from robometa.reports.figures import Points, adaptation_points, paces
from study import plan
from study.rows import Row, on_how_many

if TYPE_CHECKING:
    from matplotlib.figure import Figure

ACROSS = ("random", "oracle", "no-adaptation")
"""Learners that are drawn as a horizontal line."""


def adaptation(suite: str, rows: list[Row], picture: Path) -> None:
    """Return against episodes of the task seen: points per learner with intervals, a panel per family."""
    moving = [row for row in rows if row.learner not in ACROSS]
    points = [
        Points(
            row.learner + on_how_many(row, suite), row.learner, row.episodes_seen, row.mean_action, row.first_episode
        )
        for row in moving
    ]
    lines = {row.learner: row.mean_action[0][0] for row in rows if row.learner in ACROSS}
    save(adaptation_points(points, looks([row.learner for row in moving]), lines), picture)


@in_plain_style
def curves(cells: list[plan.Cell], picture: Path) -> None:
    """Return of each training's last rollout, exploring, against environment steps, with centred means."""
    styles = looks([cell.learner for cell in cells])
    figure, parts = panels(styles)
    for panel, members in parts:
        for index in members:
            steps, returns = (np.array(values, dtype=float) for values in cells[index].curve())
            panel.plot(steps, returns, color=styles[index].colour, linewidth=0.7, alpha=0.35)
            panel.plot(steps, centred(returns), **styles[index].line, label=cells[index].learner)
        panel.set_xscale("log")  # one that plans takes hundreds of times fewer steps than one that does not
    name_axes(figure, "environment steps", "return after adaptation, exploring\n(sum of an episode's rewards)")
    add_legends(figure)
    save(figure, picture)


def first_episode(learners: dict[str, list[tuple[float, float]]], picture: Path) -> None:
    """Reward along the first episode, of learners that adapt within it and of those to compare them with."""
    save(paces(list(learners.items()), looks(list(learners))), picture)


def save(figure: Figure, picture: Path) -> None:
    """Writes a figure as PNG on white."""
    picture.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(picture, dpi=110, bbox_inches="tight", facecolor="white", metadata={"Software": None})
