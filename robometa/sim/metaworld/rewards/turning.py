"""Rewards of turning a faucet, a dial or a lever."""

from __future__ import annotations

from math import pi

from robometa.sim.metaworld.arrays import Array, at_least, numbers, where
from robometa.sim.metaworld.quantities import Quantities
from robometa.sim.metaworld.rewards.protocol import Manipulation
from robometa.sim.metaworld.shaping import approached, both, distance, near, near_gaussian

RADIUS = 0.07
"""Distance at which a faucet's handle or a dial is in place, m."""
FAUCET_TIP = (-0.04, 0.0, 0.03)
"""Offset from a closed faucet's observed handle to the point to push, m."""
DIAL_SIDE = (0.05, 0.02, 0.09)
"""Offset from a dial's rim to the point to push, m."""
SHOULDER = (0.0, 0.055, 0.07)
"""Offset from the hand to its shoulder, which lifts a lever, m."""
LEVER_SCALE = (4.0, 1.0, 4.0)
"""Weight of a lever's distance along each axis; favours an approach from below."""


def _turn_faucet(quantity: Quantities, handle: Array) -> tuple[Array, Array]:
    start, goal = quantity["object_start"], quantity["goal"]
    left = distance(handle, goal)
    in_place = approached(left, RADIUS, distance(start, goal))
    margin = distance(start, quantity["fingers_start"])
    reached = approached(distance(handle, quantity["fingers"]), 0.01, margin, near_gaussian)
    done = left <= RADIUS
    return where(done, 10.0, 4 * reached + 6 * in_place), done


def _close_faucet(quantity: Quantities) -> tuple[Array, Array]:
    return _turn_faucet(quantity, quantity["object"])


def _open_faucet(quantity: Quantities) -> tuple[Array, Array]:
    handle = quantity["object"]
    return _turn_faucet(quantity, handle + numbers(handle, *FAUCET_TIP))


def _turn_dial(quantity: Quantities) -> tuple[Array, Array]:
    rim, start, goal = quantity["object"], quantity["side_start"], quantity["goal"]
    left = distance(rim, goal)
    in_place = approached(left, RADIUS, distance(start, goal))
    margin = distance(start, quantity["fingers_start"])
    away = distance(rim + numbers(rim, *DIAL_SIDE), quantity["fingers"])
    gripped = both(approached(away, 0.005, margin, near_gaussian), at_least(quantity["action"][:, 3], 0.0))
    return 10 * both(gripped, in_place), left <= RADIUS


def _pull_lever(quantity: Quantities) -> tuple[Array, Array]:
    lever, start, goal = quantity["object"], quantity["lever_start"], quantity["goal"]
    shoulder, scale = numbers(lever, *SHOULDER), numbers(lever, *LEVER_SCALE)
    margin = distance(quantity["fingers_start"] + shoulder, start, scale)
    ready = near(distance(quantity["hand"] + shoulder, lever, scale), 0.0, 0.02, margin)
    in_place = near(distance(lever, goal), 0.0, 0.04, distance(start, goal))
    upright = abs(quantity.joint("LeverAxis") + pi / 2) <= pi / 24
    return 10 * both(ready, in_place), upright


TURNING = {
    "faucet-open-v3": Manipulation("turn a faucet's handle one way", _open_faucet),
    "faucet-close-v3": Manipulation("turn a faucet's handle the other way", _close_faucet),
    "dial-turn-v3": Manipulation("turn a dial by its rim", _turn_dial, {"side_start": "dial_push_position"}),
    "lever-pull-v3": Manipulation("lift a lever upright", _pull_lever, {"lever_start": "_lever_pos_init"}),
}
"""Rewards and success conditions by task."""
