"""Numbers that go between a policy and its robot."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from math import inf, isinf

import numpy as np


@dataclass(frozen=True)
class Signal:
    """A number's name, unit and range."""

    name: str
    unit: str
    """SI, such as `rad/s`; `1` for a number without a unit."""
    low: float = -inf
    high: float = inf

    def __str__(self) -> str:
        """Name, unit and, if it has one, its range."""
        reach = "" if isinf(self.low) and isinf(self.high) else f", {self.low:g} to {self.high:g}"
        return f"{self.name} [{self.unit}]{reach}"


@dataclass(frozen=True)
class RobotSpaces:
    """Signals between a policy and its robot, in their order."""

    observation: tuple[Signal, ...]
    action: tuple[Signal, ...]
    """Actions in the actuators' own units."""
    control_hz: float
    """Actions per second."""

    @cached_property
    def middle_and_half(self) -> tuple[np.ndarray, np.ndarray]:
        """Middle and half width of each action's range, in the actuators' units. `[action]`."""
        low, high = (np.array([getattr(one, end) for one in self.action]) for end in ("low", "high"))
        return (high + low) / 2, (high - low) / 2

    def in_actuator_units(self, action: np.ndarray) -> np.ndarray:
        """Converts actions from -1..1 to the actuators' units. `[..., action]`."""
        middle, half = self.middle_and_half
        return middle + half * action

    def __str__(self) -> str:
        """A table of both, one signal a line."""
        parts = []
        for title, signals in (("observation", self.observation), ("action", self.action)):
            parts.append(f"{title}, {len(signals)} numbers")
            parts += [f"{place:5d}  {signal}" for place, signal in enumerate(signals)]
        return "\n".join([*parts, f"{self.control_hz:g} actions per second"])
