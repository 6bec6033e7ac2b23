"""The figures of the results: returns against experience of the task, and learning curves of the long runs."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from robometa.reports.curve import Curve
from robometa.reports.curve_figures import Trained, curves_of
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


def curves(cells: list[plan.Cell], picture: Path) -> None:
    """Return of the last rollout of trainings, exploring, against environment steps, over the seeds of each learner."""
    learners = list(dict.fromkeys(cell.learner for cell in cells))
    rows = [Trained(name, [_curve(cell) for cell in cells if cell.learner == name]) for name in learners]
    save(curves_of(rows, looks(learners)), picture)


def _curve(cell: plan.Cell) -> Curve:
    """The learning curve in a cell's record, which has no processor time along the way."""
    steps, returns = cell.curve()
    return Curve(np.array(steps, dtype=float), np.array(returns, dtype=float))


def first_episode(learners: dict[str, list[tuple[float, float]]], picture: Path) -> None:
    """Reward along the first episode, of learners that adapt within it and of those to compare them with."""
    save(paces(list(learners.items()), looks(list(learners))), picture)


def save(figure: Figure, picture: Path) -> None:
    """Writes a figure as PNG on white."""
    picture.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(picture, dpi=110, bbox_inches="tight", facecolor="white", metadata={"Software": None})
