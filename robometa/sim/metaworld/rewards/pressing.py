"""Rewards of buttons (button-press in four forms) and of handles to press or pull."""

from __future__ import annotations

from robometa.sim.metaworld.arrays import Array, where
from robometa.sim.metaworld.quantities import Quantities
from robometa.sim.metaworld.rewards.protocol import Manipulation
from robometa.sim.metaworld.shaping import approached, both, caged, distance, near

Y, Z = 1, 2
PRESSED = 0.02
"""Distance at which a handle is down, m."""
PULLED = 0.05
"""Distance at which a handle is up, m."""


def _button(quantity: Quantities, along: int, touch: float) -> tuple[Array, Array, Array, Array]:
    """Distance and reward of fingers to button, then of button to hole. `[world]` each."""
    button, fingers = quantity["object"], quantity["fingers"]
    away = distance(button, fingers)
    close_by = near(away, 0.0, touch, distance(button, quantity["fingers_start"]))
    left = abs(quantity["goal"][:, along] - button[:, along])
    return away, close_by, left, near(left, 0.0, 0.005, quantity["travel"])


def _press(quantity: Quantities) -> tuple[Array, Array]:
    away, close_by, left, pressed = _button(quantity, Y, 0.05)
    return 2 * both(quantity["opening"], close_by) + where(away <= 0.05, 8 * pressed, 0.0), left <= 0.02


def _press_behind_wall(quantity: Quantities) -> tuple[Array, Array]:
    away, close_by, left, pressed = _button(quantity, Y, 0.01)
    opening = quantity["opening"]
    there = 2 + 2 * (1 + opening) + 4 * pressed**2
    return where(away > 0.07, 2 * both((1 - opening) / 2, close_by), there), left <= 0.03


def _press_down(quantity: Quantities, gripper: Array) -> tuple[Array, Array]:
    away, close_by, left, pressed = _button(quantity, Z, 0.01)
    return 5 * both(gripper, close_by) + where(away <= 0.03, 5 * pressed, 0.0), left <= 0.024


def _press_down_closed(quantity: Quantities) -> tuple[Array, Array]:
    return _press_down(quantity, 1 - quantity["opening"])


def _press_down_open(quantity: Quantities) -> tuple[Array, Array]:
    return _press_down(quantity, quantity["opening"])


def _press_handle(quantity: Quantities) -> tuple[Array, Array]:
    handle, start, goal = quantity["object"], quantity["handle_start"], quantity["goal"]
    high = abs(handle[:, Z] - goal[:, Z])
    down = approached(high, PRESSED, abs(start[:, Z] - goal[:, Z]))
    reached = approached(distance(handle, quantity["fingers"]), 0.02, distance(start, quantity["fingers_start"]))
    pressed = high <= PRESSED
    return 10 * where(pressed, 1.0, both(reached, down)), pressed


def _pull_handle(quantity: Quantities) -> tuple[Array, Array]:
    handle, start, goal = quantity["object"], quantity["object_start"], quantity["goal"]
    low = abs(goal[:, Z] - handle[:, Z])
    up = near(low, 0.0, PULLED, abs(goal[:, Z] - start[:, Z]))
    grip = caged(quantity, handle, radius=0.022, reach=0.01, width=0.05, margin=0.01, density="high")
    moved = handle[:, Y] - 0.01 > start[:, Z]  # upstream compares these two
    return _pulled(quantity, grip, up, moved, low), low <= PULLED


def _pull_handle_sideways(quantity: Quantities) -> tuple[Array, Array]:
    handle, start, goal = quantity["object"], quantity["object_start"], quantity["goal"]
    low = distance(handle, goal)
    up = near(low, 0.0, PULLED, distance(start, goal))
    grip = caged(quantity, handle, radius=0.032, reach=0.01, width=0.06, margin=0.01, density="high")
    return _pulled(quantity, grip, up, handle[:, Z] - 0.01 > start[:, Z], low), low <= 0.08


def _pulled(quantity: Quantities, grip: Array, up: Array, moved: Array, low: Array) -> Array:
    """Reward of pulling a handle.

    Args:
        quantity: The named quantities.
        grip: Grip on the handle. `[world]`
        up: Reward of its height. `[world]`
        moved: True if it has moved up. `[world]`, bool
        low: Distance to the goal, m. `[world]`
    """
    gripped = (distance(quantity["object"], quantity["fingers"]) < 0.035) & (quantity["opening"] > 0) & moved
    bonus = where(gripped, 1 + 5 * up, 0.0)
    return where(low < PULLED, 10.0, both(grip, up) + bonus)


TRAVEL = {"travel": "_obj_to_target_init"}
"""Upstream's attribute of a button's travel, m."""
HANDLE_START = {"handle_start": "_handle_init_pos"}

PRESSING = {
    "button-press-v3": Manipulation("press a button on a wall", _press, TRAVEL),
    "button-press-wall-v3": Manipulation("press a button on a wall, around another wall", _press_behind_wall, TRAVEL),
    "button-press-topdown-v3": Manipulation("press a button from above", _press_down_closed, TRAVEL),
    "button-press-topdown-wall-v3": Manipulation("press a button from above, over a wall", _press_down_open, TRAVEL),
    "handle-press-v3": Manipulation("press a handle down", _press_handle, HANDLE_START),
    "handle-press-side-v3": Manipulation("press a handle down that points sideways", _press_handle, HANDLE_START),
    "handle-pull-v3": Manipulation("pull a handle up", _pull_handle),
    "handle-pull-side-v3": Manipulation("pull a handle up that points sideways", _pull_handle_sideways),
}
"""Rewards and success conditions by task."""
