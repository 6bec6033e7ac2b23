"""Rewards of fitting and removing parts: box-close, assembly, disassemble."""

from __future__ import annotations

from robometa.sim.metaworld.arrays import Array, as_number, at_least, join, numbers, where
from robometa.sim.metaworld.quantities import Quantities
from robometa.sim.metaworld.rewards.protocol import Manipulation
from robometa.sim.metaworld.shaping import above, both, caged, distance, funnel, near

HANDLE = 0.02
"""Length of a wrench's handle, m."""
ALIGNED = 0.01
"""Horizontal distance at which a ring may be lowered onto its peg, m."""
CLOSED = 0.08
"""Distance at which a lid is on its box, m."""


def _level(quantity: Quantities, limit: float) -> Array:
    """1 at an object's initial flat rotation, falling to 0 at a quaternion distance of `limit`. `[world]`."""
    flat = numbers(quantity["turn"], 0.707, 0.0, 0.0, 0.707)
    return at_least(1 - distance(quantity["turn"], flat) / limit, 0.0)


def _close_box(quantity: Quantities) -> tuple[Array, Array]:
    lid, goal, hand = quantity["object"], quantity["goal"], quantity["hand"]
    handle = lid + numbers(lid, 0.0, 0.0, 0.02)
    floor = funnel(distance(hand[:, :2], handle[:, :2]), 0.02, 0.04, 0.4)
    at_handle = near(distance(hand, handle), 0.0, 0.02, 0.5)
    ready = both(above(hand[:, 2], floor, floor / 2), at_handle)
    closing = (quantity["action"][:, 3] + 1) / 2
    on_box = near(distance(goal, handle, numbers(lid, 1.0, 1.0, 3.0)), 0.0, 0.05, 0.25)
    lifted = 0.2 * as_number(handle[:, 2] > 0.04) + 0.8 * on_box
    success = distance(lid, goal) < CLOSED
    reward = where(success, 10.0, 2 * both(closing, ready) + 8 * lifted)
    return reward * _level(quantity, 0.2), success


def _wrench_held(quantity: Quantities, density: str) -> Array:
    """Grip on the wrench, anywhere along its handle. `[world]`."""
    wrench, hand = quantity["object"], quantity["hand"]
    beside = abs(wrench[:, :1] - hand[:, :1]) < HANDLE / 2
    place = join((where(beside, hand[:, :1], wrench[:, :1]), wrench[:, 1:]))
    return caged(quantity, place, radius=0.015, reach=0.01, width=0.02, margin=0.01, density=density)


def _assemble(quantity: Quantities) -> tuple[Array, Array]:
    ring, goal = quantity.site("RoundNut"), quantity["goal"]
    height, aside = ring[:, 2], distance(goal[:, :2], ring[:, :2])
    success = (aside < 0.02) & (goal[:, 2] > height)
    floor = funnel(aside, ALIGNED, 0.02, 0.2)
    off = (aside**2 + (3 * (floor - height)) ** 2) ** 0.5
    lifted = (height > 0.02) | (aside < ALIGNED)
    in_place = 0.1 * as_number(lifted) + 0.9 * near(off, 0.0, 0.02, 0.4)
    reward = (2 * _wrench_held(quantity, "medium") + 6 * in_place) * _level(quantity, 0.4)
    return where(success, 10.0, reward), success


def _disassemble(quantity: Quantities) -> tuple[Array, Array]:
    ring, goal = quantity.site("RoundNut"), quantity["goal"]
    off = distance(goal + numbers(goal, 0.0, 0.0, 0.1), ring)
    in_place = 0.1 * as_number(ring[:, 2] > 0.02) + 0.9 * near(off, 0.0, 0.02, 0.2)
    success = quantity["object"][:, 2] > goal[:, 2]
    reward = (2 * _wrench_held(quantity, "high") + 6 * in_place) * _level(quantity, 0.4)
    return where(success, 10.0, reward), success


FITTING = {
    "box-close-v3": Manipulation("put a lid on a box", _close_box),
    "assembly-v3": Manipulation("put a wrench's ring over a peg", _assemble),
    "disassemble-v3": Manipulation("lift a wrench's ring off a peg", _disassemble),
}
"""Rewards and success conditions by task."""
