"""Hidden parameters as they can be read from an adaptation: the result of a probe, and its file."""

from __future__ import annotations

import csv
import io
import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from robometa.errors import UserError
from robometa.escape import printable
from robometa.reports.measured import MAX_RETURN, content
from robometa.reports.statistics import Array
from robometa.storage.table import Table

if TYPE_CHECKING:
    import pandas

FILE = "probe.json"
RIDGE, NETWORK = "ridge", "network"
TRAINED, UNTRAINED = "trained", "untrained"
WORST = -1e9
"""Least R2 of a file."""
MAX_BYTES = 1 << 24
MAX_POINTS, MAX_NAMES = 100, 2000
"""Most places of a trial, and most hidden parameters."""


@dataclass(frozen=True, eq=False)
class Probed:
    """R2 of every hidden parameter, read from the adaptation along a trial. `robometa.probe` makes it.

    An R2 of 1 is a perfect reading, 0 that of the mean over the other tasks.
    """

    suite: str
    suite_hash: str
    learner: str
    seed: int
    """Seed of the probe."""
    tasks: int
    """Tasks that were read."""
    worlds: int
    """Trials of each task; 1 where an adaptation pools its worlds."""
    names: tuple[str, ...]
    """Hidden parameters. `[parameter]`"""
    steps: tuple[int, ...]
    """Environment steps of the task that the adaptation has seen. `[point]`"""
    trained: dict[str, Array]
    """By reader, R2 and the ends of its interval. `[point, parameter, 3]`"""
    untrained: dict[str, Array]
    """Likewise of an untrained learner, which acts by itself. `[point, parameter, 3]`"""

    file = FILE

    def __repr__(self) -> str:
        """Learner, suite and the mean R2 at the end."""
        best = max(float(values[-1, :, 0].mean()) for values in self.trained.values())
        return f"<probe of {printable(self.learner)} on {printable(self.suite)}: R2 {best:.2f} in the end>"

    def kinds(self) -> tuple[tuple[str, dict[str, Array]], ...]:
        """Readings of the trained learner and of an untrained one."""
        return (TRAINED, self.trained), (UNTRAINED, self.untrained)

    def rows(self) -> list[dict[str, Any]]:
        """A row for each learner, reader, parameter and point."""
        return [
            {
                "learner": kind,
                "reader": reader,
                "parameter": name,
                "steps": steps,
                **dict(zip(("r2", "low", "high"), values[point, number].tolist(), strict=True)),
            }
            for kind, readings in self.kinds()
            for reader, values in readings.items()
            for number, name in enumerate(self.names)
            for point, steps in enumerate(self.steps)
        ]

    def to_frame(self) -> pandas.DataFrame:
        """A pandas table with a row for each learner, reader, parameter and point.

        Raises:
            UserError: If pandas is not installed.
        """
        from robometa.reports.notebook import frame

        text, rows = io.StringIO(newline=""), self.rows()
        writer = csv.DictWriter(text, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
        return frame(text.getvalue())

    def text(self) -> str:
        """Content of `probe.json`."""
        described = {
            "suite": self.suite,
            "suite_hash": self.suite_hash,
            "learner": self.learner,
            "seed": self.seed,
            "tasks": self.tasks,
            "worlds": self.worlds,
            "names": list(self.names),
            "steps": list(self.steps),
        }
        for kind, readings in self.kinds():
            described[kind] = {reader: np.round(values, 4).tolist() for reader, values in readings.items()}
        return json.dumps(described) + "\n"


def read(folder: Path) -> Probed | None:
    """Reads the probe in a folder; None if there is none.

    Raises:
        UserError: If its file is damaged.
    """
    path = folder / FILE
    if not path.is_file():
        return None
    try:
        described = json.loads(content(folder, FILE, MAX_BYTES))
    except (ValueError, RecursionError) as error:
        raise UserError(f"{path} is damaged: {str(error)[:200]}") from None
    table = Table(described, str(path))
    names, steps = table.content.get("names"), table.content.get("steps")
    if not isinstance(names, list) or not 0 < len(names) <= MAX_NAMES or any(type(one) is not str for one in names):
        raise UserError(f"{path} is damaged: names must be a list of 1 to {MAX_NAMES} texts")
    if not isinstance(steps, list) or not 0 < len(steps) <= MAX_POINTS or not all(map(_is_count, steps)):
        raise UserError(f"{path} is damaged: steps must be a list of 1 to {MAX_POINTS} whole numbers from 0")
    shape = (len(steps), len(names), 3)
    return Probed(
        suite=table.text("suite"),
        suite_hash=table.text("suite_hash"),
        learner=table.text("learner"),
        seed=table.whole("seed"),
        tasks=table.whole("tasks", 1),
        worlds=table.whole("worlds", 1),
        names=tuple(names),
        steps=tuple(steps),
        trained=_readings(table.table(TRAINED), shape),
        untrained=_readings(table.table(UNTRAINED), shape),
    )


def _is_count(value: object) -> bool:
    """Tests if a value is a number of steps that a figure can show."""
    return type(value) is int and 0 <= value <= MAX_RETURN


def _readings(table: Table, shape: tuple[int, ...]) -> dict[str, Array]:
    """Reads the numbers of both readers.

    Raises:
        UserError: If they are not finite, or not as many as they must be.
    """
    readings = {}
    for reader in (RIDGE, NETWORK):
        try:
            values = np.array(table.content.get(reader), dtype=float)
        except (TypeError, ValueError, OverflowError):
            values = np.array(np.nan)
        if values.shape != shape or not (values >= WORST).all() or not (values <= 1).all():
            size = " x ".join(map(str, shape))
            raise UserError(f"{table.where} is damaged: {reader} must hold {size} numbers up to 1")
        readings[reader] = values
    return readings
