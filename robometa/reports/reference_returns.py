"""What a suite's returns mean: those of a policy that does not adapt, and of an oracle that sees the task's parameters.

The figures are in `references.json` beside the shipped suites; `make results` writes it.
"""

from __future__ import annotations

import json
from dataclasses import dataclass

from robometa import suites

FILE = "references.json"
TELLING = 0.1
"""How much better than not adapting an oracle must be, as a part of how much better it is than random actions."""


@dataclass(frozen=True)
class Reference:
    """Interquartile means of mean actions on a suite's held-out tasks."""

    unadapted: float
    """Of a policy trained for all tasks at once, which does not adapt."""
    oracle: float
    """Of the same, seeing the task's parameters."""
    tasks: int
    """How many tasks they were measured on: all that the suite holds out."""

    def gap_closed(self, value: float) -> float:
        """How far a return is from not adapting, 0, to the oracle, 1; below and beyond are possible."""
        return (value - self.unadapted) / (self.oracle - self.unadapted)


def find(content_hash: str) -> Reference | None:
    """The reference of the suite with this hash, or None if none was measured or the oracle is hardly better."""
    path = suites.folder() / FILE
    if not path.is_file():
        return None
    known = json.loads(path.read_text(encoding="utf-8"))
    entry = next((entry for entry in known.values() if entry["suite_hash"] == content_hash), None)
    if entry is None or entry["oracle"] - entry["unadapted"] <= TELLING * abs(entry["oracle"] - entry["random"]):
        return None
    return Reference(entry["unadapted"], entry["oracle"], entry["tasks"])
