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
    """Least value without noise, in the unit."""
    high: float = inf
    clip: tuple[float, float] | None = None
    """Range that the measurement is clipped to, noise and all, in the unit."""
    scale: float = 1.0
    """Factor from the unit to the number that a policy sees."""
    delay: float = 0.0
    """Age of the measurement, s."""
    frame: str = ""
    """Frame of a part of a vector: `body`, `heading` or `world`."""
    offset: float = 0.0
    """Value in the unit from which the number is counted, such as a joint's default position."""
    noise: float = 0.0
    """Noise in training, in the unit: half width if uniform, else standard deviation."""
    normal: bool = False
    """That noise is normal."""
    bias: float = 0.0
    """Half width of an error in training that lasts for an episode, in the unit."""
    measured: bool = True
    """A robot can measure it with its own sensors."""

    def __str__(self) -> str:
        """Name, unit and whatever is not plain about it."""
        parts = [] if isinf(self.low) and isinf(self.high) else [f"{self.low:g} to {self.high:g}"]
        parts += (
            [f"clipped to {self.clip[0]:g}..{self.clip[1]:g}"]
            if self.clip and self.clip != (self.low, self.high)
            else []
        )
        parts += [f"{self.frame} frame"] if self.frame else []
        parts += [f"from {self.offset:g}"] if self.offset else []
        parts += [f"times {self.scale:g}"] if self.scale != 1 else []
        parts += [f"{self.delay:g} s old"] if self.delay else []
        parts += [] if self.measured else ["no robot measures it"]
        return ", ".join([f"{self.name} [{self.unit}]", *parts])


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
