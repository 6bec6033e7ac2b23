"""A parameter that a search varies, and the values that it tries."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from robometa.storage.table import is_finite

WIDTH, DEPTH = ".width", ".depth"
"""Endings of the two parameters of an option that is a list of widths."""
Value = float | int | str | bool | None
"""Value of a parameter, as Optuna's journal holds it."""


@dataclass(frozen=True)
class Dimension:
    """A parameter that a search varies: an option, or the width or depth of one."""

    name: str
    """Name of the option, with `.width` or `.depth` for a list."""
    low: float = 0.0
    high: float = 0.0
    log: bool = False
    whole: bool = False
    choices: tuple[Any, ...] = ()
    """Values to choose from, instead of an interval."""

    @property
    def labels(self) -> tuple[Value, ...]:
        """The choices as a journal holds them; lists are texts."""
        return tuple(json.dumps(one) if isinstance(one, list | tuple) else one for one in self.choices)

    def holds(self, value: Any) -> bool:
        """Tests if a value is among those of the parameter."""
        if self.choices:
            return value in self.labels
        return is_finite(value) and (type(value) is int or not self.whole) and bool(self.low <= value <= self.high)

    @property
    def size(self) -> float:
        """Number of values; infinite for an interval of numbers that are not whole."""
        if self.choices:
            return len({*self.labels})  # 0 and 0.0 are one
        return self.high - self.low + 1 if self.whole else float("inf")

    def every(self) -> Sequence[Value]:
        """All values, of a parameter that has few."""
        return self.labels if self.choices else range(int(self.low), int(self.high) + 1)

    def words(self) -> str:
        """Describes the values, such as `0.0001 to 0.01, log`."""
        if self.choices:
            return " | ".join(map(str, self.labels))
        return f"{self.low:g} to {self.high:g}{', whole' if self.whole else ''}{', log' if self.log else ''}"
