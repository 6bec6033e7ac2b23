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
    mapping: tuple[tuple[float, ...], tuple[float, ...]] | None = None
    """Control of an action of 0, and change of it by an action of 1, in the actuators' units; what is beyond an
    action's range is clipped. None if actions are mapped onto the whole of their ranges."""

    @cached_property
    def middle_and_half(self) -> tuple[np.ndarray, np.ndarray]:
        """Control of an action of 0, and change of it by an action of 1, in the actuators' units. `[action]`."""
        if self.mapping is not None:
            return np.array(self.mapping[0]), np.array(self.mapping[1])
        low, high = (np.array([getattr(one, end) for one in self.action]) for end in ("low", "high"))
        return (high + low) / 2, (high - low) / 2

    def in_actuator_units(self, action: np.ndarray) -> np.ndarray:
        """Converts actions from -1..1 to the actuators' units. `[..., action]`."""
        middle, half = self.middle_and_half
        within = middle + half * action
        return within if self.mapping is None else np.clip(within, *self.ends)

    @property
    def ends(self) -> tuple[np.ndarray, np.ndarray]:
        """Lowest and highest control of each action. `[action]`."""
        return np.array([one.low for one in self.action]), np.array([one.high for one in self.action])

    def __str__(self) -> str:
        """A table of both, one signal a line."""
        parts = []
        for title, signals in (("observation", self.observation), ("action", self.action)):
            parts.append(f"{title}, {len(signals)} numbers")
            parts += [f"{place:5d}  {signal}" for place, signal in enumerate(signals)]
        return "\n".join([*parts, f"{self.control_hz:g} actions per second"])
