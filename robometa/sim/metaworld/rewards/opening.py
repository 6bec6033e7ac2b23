"""Rewards of doors, locks, drawers and windows."""

from __future__ import annotations

from math import pi

from robometa.sim.metaworld.arrays import Array, at_least, at_most, numbers, where
from robometa.sim.metaworld.quantities import Quantities
from robometa.sim.metaworld.rewards.protocol import Manipulation
from robometa.sim.metaworld.shaping import above, approached, both, distance, funnel, near, near_gaussian

RADIUS = 0.05
"""Distance at which a door, drawer or window is in place, m."""
DOOR_RADIUS = 0.08
"""Distance at which a door is open or closed, m."""
WIDE = 2 * pi / 3
"""Largest angle of a door, rad."""
FUNNEL = 0.12
"""Distance from a door's handle beyond which the hand must be above it, m."""
LOCK_TRAVEL = 0.1
"""Travel of a lock, m."""
DRAWER_TRAVEL = 0.2
"""Travel of a drawer, m."""
SHOULDER = (0.0, 0.055, 0.07)
"""Offset from the hand to its shoulder, which pushes a lock, m."""
LOCK_SCALE = (0.25, 1.0, 0.5)
"""Weight of a lock's distance along each axis."""
HANDLE_SCALE = (3.0, 3.0, 1.0)
"""Weight of a drawer handle's distance along each axis; favours an approach from above."""


def _open_door(quantity: Quantities) -> tuple[Array, Array]:
    handle, goal = quantity["object"], quantity["goal"]
    grab = (at_most(at_least(quantity["action"][:, 3], -1.0), 1.0) + 1) / 2
    angle = quantity.joint("doorjoint")  # below 0 when open
    opened = near(-angle, WIDE - 0.5, WIDE, pi / 3)
    opened = where(angle < -pi / 90, 0.2 + 0.8 * opened, 0.8 * opened)
    done = abs(handle[:, 0] - goal[:, 0]) <= DOOR_RADIUS
    return where(done, 10.0, 2 * both(_ready_to_open(quantity["hand"], handle), grab) + 8 * opened), done


def _ready_to_open(hand: Array, handle: Array) -> Array:
    """Readiness of the hand to open a door: at its handle, from above. `[world]`."""
    apart = distance(hand[:, :2], (handle - numbers(handle, 0.05, 0.0, 0.0))[:, :2])
    floor = funnel(apart, FUNNEL, 0.04, 0.4)
    inside = near(distance(hand, handle + numbers(handle, 0.0, 0.03, -0.01)), 0.0, FUNNEL / 2, 0.5)
    return both(above(hand[:, 2], floor, floor / 2), inside)


def _close_door(quantity: Quantities) -> tuple[Array, Array]:
    handle, goal = quantity["object"], quantity["goal"]
    away = distance(handle, goal)
    in_place = near_gaussian(away, 0.0, RADIUS, distance(quantity["object_start"], goal))
    margin = distance(quantity["hand_start"], handle) + 0.1
    hand_in_place = near_gaussian(distance(quantity["fingers"], goal), 0.0, RADIUS / 4, margin)
    return where(away < RADIUS, 10.0, 3 * hand_in_place + 6 * in_place), away <= DOOR_RADIUS


def _lock(quantity: Quantities) -> tuple[Array, Array]:
    lock, goal = quantity["object"], quantity["goal"]
    away = distance(lock, quantity["left_pad"], numbers(lock, *LOCK_SCALE))
    close_by = near(away, 0.0, 0.01, away)  # upstream's pad at the beginning is the pad of now
    left = abs(goal[:, 2] - lock[:, 2])
    return 2 * both(quantity["opening"], close_by) + 8 * near(left, 0.0, 0.005, LOCK_TRAVEL), left <= 0.02


def _unlock(quantity: Quantities) -> tuple[Array, Array]:
    lock, goal = quantity["object"], quantity["goal"]
    shoulder, scale = numbers(lock, *SHOULDER), numbers(lock, *LOCK_SCALE)
    start = quantity.body("lock_link")  # upstream's object at the beginning is that of now
    margin = distance(quantity["fingers_start"] + shoulder, start, scale)
    ready = near(distance(quantity["hand"] + shoulder, lock, scale), 0.0, 0.02, margin)
    left = abs(goal[:, 0] - lock[:, 0])
    return 2 * ready + 8 * near(left, 0.0, 0.005, LOCK_TRAVEL), left <= 0.02


def _open_drawer(quantity: Quantities) -> tuple[Array, Array]:
    handle, goal = quantity["object"], quantity["goal"]
    left = distance(handle, goal)
    scale, start = numbers(handle, *HANDLE_SCALE), goal + numbers(goal, 0.0, DRAWER_TRAVEL, 0.0)
    margin = distance(start, quantity["fingers_start"], scale)
    reached = near(distance(handle, quantity["hand"], scale), 0.0, 0.01, margin)
    return 5 * (reached + near(left, 0.0, 0.02, DRAWER_TRAVEL)), left <= 0.03


def _close_drawer(quantity: Quantities) -> tuple[Array, Array]:
    handle, start, goal = quantity["object"], quantity["object_start"], quantity["goal"]
    left = distance(handle, goal)
    in_place = approached(left, RADIUS, distance(start, goal))
    margin = distance(start, quantity["fingers_start"])
    reached = approached(distance(handle, quantity["fingers"]), 0.005, margin, near_gaussian)
    done = left <= RADIUS + 0.015
    gripped = both(reached, at_least(quantity["action"][:, 3], 0.0))
    return 10 * where(done, 1.0, both(gripped, in_place)), done


def _open_window(quantity: Quantities) -> tuple[Array, Array]:
    handle, goal = quantity["object"], quantity["goal"]
    left = abs(handle[:, 0] - goal[:, 0])
    in_place = approached(left, RADIUS, abs(quantity["object_start"][:, 0] - goal[:, 0]))
    margin = distance(quantity["handle_start"], quantity["fingers_start"])
    reached = approached(distance(handle, quantity["fingers"]), 0.02, margin)
    return 10 * both(reached, in_place), left <= RADIUS


def _close_window(quantity: Quantities) -> tuple[Array, Array]:
    handle, start, goal = quantity["object"], quantity["handle_start"], quantity["goal"]
    left = abs(handle[:, 0] - goal[:, 0])
    in_place = approached(left, RADIUS, abs(start[:, 0] - goal[:, 0]))
    margin = distance(start, quantity["fingers_start"])
    reached = approached(distance(handle, quantity["fingers"]), 0.02, margin, near_gaussian)
    return 10 * both(reached, in_place), left <= RADIUS


HANDLE_START = {"handle_start": "window_handle_pos_init"}

OPENING = {
    "door-open-v3": Manipulation("pull a door open", _open_door),
    "door-close-v3": Manipulation("push a door shut", _close_door),
    "door-lock-v3": Manipulation("turn a lock down", _lock),
    "door-unlock-v3": Manipulation("turn a lock aside", _unlock),
    "drawer-open-v3": Manipulation("pull a drawer out", _open_drawer),
    "drawer-close-v3": Manipulation("push a drawer in", _close_drawer),
    "window-open-v3": Manipulation("slide a window open", _open_window, HANDLE_START),
    "window-close-v3": Manipulation("slide a window shut", _close_window, HANDLE_START),
}
"""Rewards and success conditions by task."""
