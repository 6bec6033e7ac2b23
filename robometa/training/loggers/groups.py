"""Names of metrics in groups, for loggers that draw curves over environment steps."""

from __future__ import annotations

from collections.abc import Mapping

from robometa.training.loggers.logger import SAMPLING, TIMES, UPDATE

TITLES = ("return", "success")
"""Beginnings of metrics of a shot, such as `return_1`, that have a group of their own."""


def grouped(row: Mapping[str, float]) -> dict[str, float]:
    """Renames an iteration's metrics to `return/1`, `success/1`, `time/sampling` or `train/NAME`, and adds its rate."""
    seconds = row[SAMPLING] + row[UPDATE]
    named = {_grouped(name): value for name, value in row.items() if name != "steps"}
    return named | ({"time/steps_per_second": row["iteration_steps"] / seconds} if seconds > 0 else {})


def _grouped(name: str) -> str:
    for title in TITLES:
        if name.startswith(f"{title}_"):
            return f"{title}/{name.removeprefix(f'{title}_')}"
        if title in name:  # such as a return on held-out tasks
            return f"{title}/{name}"
    return f"time/{name}" if name in (*TIMES, "iteration", "iteration_steps") else f"train/{name}"
