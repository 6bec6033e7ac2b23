"""A probe as a table for the terminal."""

from __future__ import annotations

import numpy as np
from rich.text import Text

from robometa.console import PlainConsole, WholeTable, styled
from robometa.escape import counted
from robometa.reports.probed import TRAINED, Probed
from robometa.reports.statistics import Array

MAX_POINTS = 5
"""Most places of a trial in the table."""
MAX_ROWS = 12
"""Most hidden parameters in the table: those that are read best."""


def print_probe(probed: Probed) -> None:
    """Prints the R2 of the parameters along a trial, of a trained and of an untrained learner."""
    console = PlainConsole()
    extent = counted(probed.tasks, "task") + (f", {probed.worlds} trials each" if probed.worlds > 1 else "")
    console.print(
        Text.assemble(
            *(styled(probed.learner), " on ", styled(probed.suite), f", {extent}: R2 of the hidden parameters, "),
            "read from the adaptation of tasks that were not fitted on, after so many environment steps of the task",
        )
    )
    console.print(_table(probed))
    left = len(probed.names) - MAX_ROWS
    if left > 0:
        console.print(f"and {left} more, which are read less well: probe.json has all")


def _table(probed: Probed) -> WholeTable:
    places = _places(len(probed.steps))
    table = WholeTable("hidden parameter", "read by", *(f"{probed.steps[place]:,}" for place in places))
    last = np.max([values[-1, :, 0] for values in probed.trained.values()], axis=0)
    shown = np.argsort(-last, kind="stable")[:MAX_ROWS]
    rows: list[tuple[str, list[int]]] = [(probed.names[number], [int(number)]) for number in shown]
    if len(probed.names) > 1:
        rows.insert(0, ("mean", list(range(len(probed.names)))))
    for name, numbers in rows:
        lines = [
            (("" if kind == TRAINED else f"{kind}, ") + reader, *_cells(values[places][:, numbers]))
            for kind, readings in probed.kinds()
            for reader, values in readings.items()
        ]
        for place, line in enumerate(lines):
            table.add_row("" if place else name, *line)
    return table


def _cells(values: Array) -> list[str]:
    """R2 at each place, the last one with its interval if it is of one parameter. `[point, parameter, 3]`."""
    cells = [f"{middle:.2f}" for middle in values[:, :, 0].mean(axis=1)]
    if values.shape[1] == 1:
        cells[-1] += f" [{values[-1, 0, 1]:.2f}, {values[-1, 0, 2]:.2f}]"
    return cells


def _places(count: int) -> list[int]:
    """Indices of the places of a trial that are shown: some, evenly, with first and last."""
    return sorted({round(place) for place in np.linspace(0, count - 1, min(count, MAX_POINTS))})
