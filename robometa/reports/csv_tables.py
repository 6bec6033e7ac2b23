"""Tables of a report as comma-separated values."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from robometa.reports.scores import Scores

if TYPE_CHECKING:
    from robometa.reports.report import Report


def episodes(report: Report) -> str:
    """A row per task, shot and world, as comma-separated values."""
    rows = []
    for name, scores in report.kinds():
        for place in np.ndindex(scores.returns.shape):
            shot, task, world = place
            won = (int(scores.success[place]), int(scores.success_any_step[place])) if report.has_success else ("", "")
            measured = (scores.returns[place], *won, int(scores.spoilt[place]))
            rows.append((name.replace("_", " "), shot, task, report.tasks[task], world, *measured))
    return lines("acting,shot,task,parameters,world,return,success,success_any_step,diverged", rows)


def goals(report: Report) -> str:
    """A row per shot and goal: means over its episodes."""
    goal = [report.goals_of(name).index(task) for task, name in enumerate(report.names)]
    rows = [
        (kind.replace("_", " "), shot, name, goal[task], *means(scores, shot, [task]).values())
        for kind, scores in report.kinds()
        for shot in range(len(scores.returns))
        for task, name in enumerate(report.names)
    ]
    return lines("acting,shot,name,goal,return,success,success_any_step", rows)


def names(report: Report) -> str:
    """A row per shot and task: means over its goals."""
    rows = [
        (kind.replace("_", " "), shot, row["task"], row["goals"], *by_kind[kind].values())
        for row in report.by_name()
        for shot, by_kind in enumerate(row["shots"])
        for kind in by_kind
    ]
    return lines("acting,shot,name,goals,return,success,success_any_step", rows)


def means(scores: Scores, shot: int, tasks: list[int]) -> dict[str, float]:
    """Means of some tasks after a shot: return, success by the end of an episode, and at any step."""
    return {
        "return": float(scores.returns[shot, tasks].mean()),
        "success": float(scores.success[shot, tasks].mean()),
        "success_any_step": float(scores.success_any_step[shot, tasks].mean()),
    }


def lines(header: str, rows: Sequence[Sequence[Any]]) -> str:
    """Comma-separated values."""
    table = io.StringIO(newline="")
    csv.writer(table).writerows((header.split(","), *rows))
    return table.getvalue()
