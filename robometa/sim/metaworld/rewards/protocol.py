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
    """Reward, 0 to 10, and success, from named quantities. `[world]`, float64, and `[world]`, bool"""
    remembers: Mapping[str, str] = field(default_factory=dict)
    """Further initial values that the reward needs: our name, upstream's attribute."""
    contacts: bool = False
    """True if the reward reads `touching`."""
