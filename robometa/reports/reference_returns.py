"""Reference returns of a suite: of a policy that does not adapt, and of an oracle that sees the task's parameters.

The numbers are in `references.json` beside the shipped suites; `make results` writes it.
"""

from __future__ import annotations

import json
from dataclasses import dataclass

from robometa import suites

FILE = "references.json"
TELLING = 0.1
"""Least advantage of the oracle over no adaptation, as a fraction of its advantage over random actions."""


@dataclass(frozen=True)
class Reference:
    """Interquartile means of mean actions on a suite's held-out tasks."""

    unadapted: float
    """Return of a policy trained on all tasks, without adaptation."""
    oracle: float
    """Return of the same policy, trained and run with the task's parameters in its observation."""
    tasks: int
    """Number of tasks measured: all held-out tasks of the suite."""

    def gap_closed(self, value: float) -> float:
        """Position of a return between no adaptation, 0, and the oracle, 1; it may lie outside."""
        return (value - self.unadapted) / (self.oracle - self.unadapted)


def find(content_hash: str) -> Reference | None:
    """Finds the reference of the suite with this hash; None if there is none or the oracle is hardly better."""
    path = suites.folder() / FILE
    if not path.is_file():
        return None
    known = json.loads(path.read_text(encoding="utf-8"))
    entry = next((entry for entry in known.values() if entry["suite_hash"] == content_hash), None)
    if entry is None or entry["oracle"] - entry["unadapted"] <= TELLING * abs(entry["oracle"] - entry["random"]):
        return None
    return Reference(entry["unadapted"], entry["oracle"], entry["tasks"])
