"""A manipulation objective: reward and success of a task."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from robometa.sim.metaworld.arrays import Array
from robometa.sim.metaworld.quantities import Quantities


@dataclass(frozen=True)
class Manipulation:
    """A reward and a success condition."""

    about: str
    reward: Callable[[Quantities], tuple[Array, Array]]
    """Named quantities to reward `[world]`, 0 to 10, float64, and success `[world]`, bool."""
    remembers: Mapping[str, str] = field(default_factory=dict)
    """Values of the episode's beginning that it needs beyond every task's: our name, upstream's attribute."""
    contacts: bool = False
    """It reads `touching`."""
