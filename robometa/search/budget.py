"""Budgets of a search: processor time, or environment steps, which are the same on every machine."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass

from robometa.errors import UserError

UNITS = {"s": 1.0, "m": 60.0, "min": 60.0, "h": 3600.0, "d": 86400.0}
"""Seconds of each unit of time."""
SECONDS, STEPS = "seconds", "steps"


@dataclass(frozen=True)
class Budget:
    """An amount of work."""

    amount: float
    unit: str
    """`seconds` of processor time, or environment `steps`."""

    def words(self, amount: float | None = None) -> str:
        """The amount, or another one, in words."""
        value = self.amount if amount is None else amount
        if self.unit == STEPS:
            return f"{value:,.0f} steps"
        minutes = value / 60
        if minutes < 1:
            return f"{value:.3g} core-seconds"
        return f"{minutes / 60:.1f} core-hours" if minutes >= 120 else f"{minutes:.1f} core-minutes"


def read_budget(text: str, name: str = "budget") -> Budget:
    """Reads a budget such as `8h`, `90m`, `30s` of processor time, or `5e7` environment steps.

    Raises:
        UserError: If it is none.
    """
    match = re.fullmatch(r"\s*([0-9.]+(?:[eE][+-]?[0-9]+)?)\s*([a-z]*)\s*", str(text))
    try:
        amount = float(match[1]) if match else math.nan
    except ValueError:
        amount = math.nan
    unit = match[2] if match else ""
    amount *= UNITS.get(unit, 1.0)
    if not 0 < amount < math.inf or (unit not in UNITS and unit not in ("", "steps")):
        raise UserError(
            f"{name} must be a processor time such as 8h, 90m or 30s, or environment steps such as 5e7, not {text}"
        )
    return Budget(amount, SECONDS if unit in UNITS else STEPS)
