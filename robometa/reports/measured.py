"""Returns of a measured policy, read from the files of its report."""

from __future__ import annotations

import csv
import io
import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from robometa.errors import UserError
from robometa.reports import since_change
from robometa.reports.statistics import Array
from robometa.storage.open_folder import opened
from robometa.storage.table import Table, is_finite
from robometa.suites.task import shortened

REPORT, EPISODES = "report.json", "tasks.csv"
MAX_REPORT_BYTES, MAX_EPISODES_BYTES = 1 << 24, 1 << 27
"""Largest files of a report, bytes."""
MAX_STRETCHES = 1000
"""Most stretches of a first episode."""
MAX_CELLS = 10**7
"""Most episodes of a report."""
MAX_RETURN = 1e15
"""Largest return, or number of steps or episodes, that a figure can show."""
MEAN_ACTION, CONTROL = "mean action", "control"
"""Words in the first column of the episodes that are compared, and of those with the adaptation forgotten."""
SUCCESS, ANY_STEP, FORMER_SUCCESS = "success", "success_any_step", "success_at_end"
"""Columns of the successes by the end of an episode and at any step; in early reports the former name, or none."""


@dataclass(frozen=True, eq=False)
class Measured:
    """Returns of one policy after every shot, acting without noise."""

    learner: str
    suite: str
    suite_hash: str
    split: str
    protocol: str
    seed: int
    """Seed of the evaluation."""
    tasks: tuple[str, ...]
    """Hidden parameters of each task, in a few words. `[task]`"""
    names: tuple[str, ...]
    """Name of the task that each goal belongs to; empty without such names. `[task]`"""
    episodes_seen: tuple[float, ...]
    """Episodes of a task that the adaptation has seen. `[shot]`"""
    returns: Array
    """Return of every episode. `[shot, task, world]`"""
    success: Array | None
    """1 for every episode that ended in success; None where the suite has no such condition. `[shot, task, world]`"""
    control: Array | None
    """Return of every episode of the control; None if it was not measured. `[shot, task, world]`"""
    random: float | None
    """Interquartile mean of random actions on the same tasks."""
    random_mean: float | None
    """Mean of random actions."""
    adapts_within_episode: bool
    """Its first episode is not before adaptation."""
    pace: tuple[tuple[float, float], ...]
    """Middle step and mean reward of each stretch of the first episode; empty if not recorded. `[stretch]`"""
    since_change: dict[str, Any] | None
    """Rewards around the changes of tasks (`since_change.described`); None if they do not change."""

    @property
    def protocol_key(self) -> tuple[str, str, tuple[float, ...], int]:
        """Everything that two evaluations must share to be pooled as seeds, besides the tasks."""
        return self.split, self.protocol, self.episodes_seen, self.returns.shape[2]


def read(folder: Path) -> Measured | None:
    """Reads the report in a folder; None if there is none.

    Raises:
        UserError: If a file of it is damaged.
    """
    if not (folder / REPORT).is_file():
        return None
    described_text = content(folder, REPORT, MAX_REPORT_BYTES)
    try:
        described = json.loads(described_text, parse_constant=lambda _: None)
    except (ValueError, RecursionError) as error:
        raise UserError(f"{folder / REPORT} is damaged: {str(error)[:200]}") from None
    table = Table(described, str(folder / REPORT))
    shots, random = table.tables("shots"), table.table("random")
    text = content(folder, EPISODES, MAX_EPISODES_BYTES)
    rows, forgetful = _episodes(text, folder), _rows(text, CONTROL, folder)
    returns = _filled(rows, "return", len(shots), folder)
    texts = {int(row["task"]): row["parameters"] for row in rows}
    tasks = tuple(shortened(texts[index]) for index in range(returns.shape[1]))
    has_names = "by_name" in described
    success = SUCCESS if ANY_STEP in rows[0] else FORMER_SUCCESS
    return Measured(
        learner=table.text("learner"),
        suite=table.text("suite"),
        suite_hash=table.text("suite_hash"),
        split=table.text("split"),
        protocol=table.optional("protocol", table.text) or "",
        seed=table.whole("seed"),
        tasks=tasks,
        names=tuple(task.partition(":")[0] for task in tasks) if has_names else (),
        episodes_seen=tuple(shot.number("episodes_seen", 0, MAX_RETURN) for shot in shots),
        returns=returns,
        success=_filled(rows, success, len(shots), folder) if rows[0].get(success) else None,
        control=_filled(forgetful, "return", len(shots), folder) if forgetful else None,
        random=random.optional("interquartile_mean", random.number),
        random_mean=random.optional("mean", random.number),
        adapts_within_episode=described.get("adapts_within_episode") is True,
        pace=_pace(shots[0]) if shots else (),
        since_change=table.optional("since_change", lambda key: since_change.read(table.table(key))),
    )


def _pace(first: Table) -> tuple[tuple[float, float], ...]:
    """Reads the rewards along the first episode; none if one of them is no number."""
    acting = first.optional("mean_action", first.table)
    stretches = None if acting is None else acting.content.get("pace")
    if acting is None or not isinstance(stretches, list) or not 0 < len(stretches) <= MAX_STRETCHES:
        return ()
    long = (acting.optional("steps", acting.whole) or len(stretches)) / len(stretches)
    known = [(long * (place + 0.5), float(one)) for place, one in enumerate(stretches) if is_finite(one)]
    return tuple(known) if len(known) == len(stretches) and all(abs(one) <= MAX_RETURN for _, one in known) else ()


def content(folder: Path, name: str, most: int) -> str:
    """Reads a file of a folder as text; follows no link.

    Raises:
        UserError: If it is no such file, is larger than `most` bytes, or is not UTF-8.
    """
    path = folder / name
    with opened(folder) as open_folder:
        if not open_folder.has_file(name):
            raise UserError(f"{path} is not a file")
        with open_folder.file(name, "rb") as file:
            read_ = file.read(most + 1)
    if len(read_) > most:
        raise UserError(f"{path} is damaged: it has more than {most} bytes")
    try:
        return read_.decode()
    except UnicodeDecodeError:
        raise UserError(f"{path} is damaged: it is not UTF-8") from None


def _rows(text: str, acting: str, folder: Path) -> list[dict[str, Any]]:
    """The rows of one way of acting."""
    try:
        return [row for row in csv.DictReader(io.StringIO(text, newline="")) if row.get("acting") == acting]
    except csv.Error as error:
        raise UserError(f"{folder / EPISODES} is damaged: {error}") from None


def _episodes(text: str, folder: Path) -> list[dict[str, Any]]:
    """The rows of the episodes with mean actions."""
    rows = _rows(text, MEAN_ACTION, folder)
    needed = ("shot", "task", "world", "parameters", "return")
    if not rows or any(row.get(name) is None for row in rows for name in needed):
        raise UserError(f"{folder / EPISODES} is damaged: a row lacks one of {', '.join(needed)}")
    return rows


def _filled(rows: list[dict[str, Any]], column: str, shots: int, folder: Path) -> Array:
    """Puts a column in its place, as `[shot, task, world]`.

    Raises:
        UserError: If a number is none, or a place is missing or filled twice.
    """
    path = folder / EPISODES
    try:
        places = np.array([[int(row[axis]) for axis in ("shot", "task", "world")] for row in rows], dtype=np.int64)
        values = np.array([float(row[column]) for row in rows])
    except (KeyError, TypeError, ValueError, OverflowError) as error:
        raise UserError(f"{path} is damaged: {str(error)[:200]}") from None
    shape = tuple(int(size) for size in places.max(axis=0) + 1)
    if (
        places.min() < 0
        or shape[0] != shots
        or math.prod(shape) > MAX_CELLS
        or len(np.unique(places, axis=0)) != math.prod(shape)
        or len(rows) != math.prod(shape)
        or not (np.abs(values) <= MAX_RETURN).all()
    ):
        raise UserError(
            f"{path} is damaged: it must hold one finite {column} for each of {shots} shots, task and world"
        )
    filled = np.empty(shape)
    filled[tuple(places.T)] = values
    return filled
