"""Rewards of pick-and-place tasks.

pick-place, pick-place-wall, pick-out-of-hole, shelf-place, bin-picking, basketball, hand-insert.
"""

from __future__ import annotations

from robometa.sim.metaworld.arrays import Array, at_least, at_most, numbers, where
from robometa.sim.metaworld.quantities import Quantities
from robometa.sim.metaworld.rewards.protocol import Manipulation
from robometa.sim.metaworld.shaping import above, both, caged, distance, funnel, near

RADIUS = 0.05
"""Distance at which an object is in place, m."""
SUCCESS = 0.07
"""Distance at which most tasks are solved, m."""
BASKET_RADIUS = 0.08
"""Distance at which a ball is in the basket, m."""


def _carried(quantity: Quantities, height: float, close: float) -> Array:
    """True if the open gripper is within `close` of an object that it lifted by `height`, m. `[world]`, bool."""
    thing = quantity["object"]
    lifted = thing[:, 2] - height > quantity["object_start"][:, 2]
    return (distance(thing, quantity["fingers"]) < close) & (quantity["opening"] > 0) & lifted


def _in_place(quantity: Quantities, radius: float = RADIUS) -> tuple[Array, Array]:
    """Distance of the object from its goal, m, and its reward. `[world]`, `[world]`."""
    away, goal = distance(quantity["object"], quantity["goal"]), quantity["goal"]
    return away, near(away, 0.0, radius, distance(quantity["object_start"], goal))


def _straddled(quantity: Quantities) -> Array:
    """Grip on a puck with a pad on each side; pick-place only. `[world]`."""
    thing, start, fingers = quantity["object"], quantity["object_start"], quantity["fingers"]
    y, width = thing[:, 1], 0.05
    left, right = quantity["left_pad"][:, 1] - y, y - quantity["right_pad"][:, 1]
    beside = [near(side, 0.015, width, abs(abs(side) - width)) for side in (left, right)]
    margin = 0.005
    begun = distance(start[:, ::2], quantity["fingers_start"][:, ::2])
    over = near(distance(fingers[:, ::2], thing[:, ::2]), 0.0, margin, begun - margin)
    caging = both(both(*beside), over)
    closing = where(caging > 0.97, at_most(at_least(quantity["action"][:, -1], 0.0), 1.0), 0.0)
    return (both(caging, closing) + caging) / 2


def _pick_place(quantity: Quantities) -> tuple[Array, Array]:
    away, in_place = _in_place(quantity)
    reward = both(_straddled(quantity), in_place)
    reward = where(_carried(quantity, 0.01, 0.02), reward + 1 + 5 * in_place, reward)
    return where(away < RADIUS, 10.0, reward), away <= SUCCESS


def _pick_place_wall(quantity: Quantities) -> tuple[Array, Array]:
    thing, start, goal = quantity["object"], quantity["object_start"], quantity["goal"]
    away, in_place = _in_place(quantity)
    above_wall = goal * numbers(goal, 1.0, 0.0, 0.0) + numbers(goal, 0.0, 0.77, 0.25)
    steep = numbers(goal, 1.0, 1.0, 3.0)
    over_wall = near(distance(thing, above_wall, steep), 0.0, RADIUS, distance(start, above_wall, steep))
    grip = caged(quantity, thing, radius=0.015, reach=0.01, width=0.05, margin=0.005)
    more = where(thing[:, 1] > 0.75, 5 + 3 * in_place, 1 + 4 * over_wall)  # behind the wall, or before it
    reward = both(grip, over_wall)
    reward = where(_carried(quantity, 0.015, 0.02), reward + more, reward)
    return where(away < RADIUS, 10.0, reward), away <= SUCCESS


def _pick_out_of_hole(quantity: Quantities) -> tuple[Array, Array]:
    thing, start, fingers = quantity["object"], quantity["object_start"], quantity["fingers"]
    away, in_place = _in_place(quantity, 0.02)
    floor = funnel(distance(fingers[:, :2], start[:, :2]), 0.03, 0.015, 0.15)
    clear = above(fingers[:, 2], floor, 0.02)
    grip = caged(quantity, thing, radius=0.015, reach=0.01, width=0.02, margin=0.03, effort=0.1, density="high")
    lifted = thing[:, 2] - 0.02 > start[:, 2]
    grasped = (distance(thing, fingers) < 0.04) & lifted & (quantity["opening"] >= 0.33)
    reward = both(grip, in_place)
    reward = where(grasped, reward + 1 + 5 * both(in_place, clear), reward)
    return where(away < RADIUS, 10.0, reward), away <= SUCCESS


def _shelf_place(quantity: Quantities) -> tuple[Array, Array]:
    thing, goal, depth, height = quantity["object"], quantity["goal"], 3 * RADIUS, 0.24
    away, in_place = _in_place(quantity)
    grip = caged(quantity, thing, radius=0.02, reach=0.01, width=0.05, margin=0.01)
    reward = both(grip, in_place)
    x, y, z = thing[:, 0], thing[:, 1], thing[:, 2]
    goal_x, goal_y = goal[:, 0], goal[:, 1]
    low = (z > 0) & (z < height) & (goal_x - 0.15 < x) & (x < goal_x + 0.15)
    before = low & (goal_y - depth < y) & (y < goal_y)
    stuck = both((y - (goal_y - depth)) / depth, (height - z) / height)  # under the board, not on it
    worth = where(before, at_most(at_least(in_place - stuck, 0.0), 1.0), in_place)
    worth = where(low & (y > goal_y), 0.0, worth)
    reward = where(_carried(quantity, 0.01, 0.025), reward + 1 + 5 * worth, reward)
    return where(away < RADIUS, 10.0, reward), away <= SUCCESS


def _bin_picking(quantity: Quantities) -> tuple[Array, Array]:
    thing, start, goal, hand = (quantity[name] for name in ("object", "object_start", "goal", "hand"))
    away = distance(thing, goal)
    in_place = near(away, 0.0, RADIUS, distance(quantity["object_first"], goal))
    floors = [funnel(distance(hand[:, :2], bin[:, :2]), 0.03, 0.02, 0.2) for bin in (start, goal)]
    clear = above(hand[:, 2], at_most(*floors), 0.05)
    grip = caged(quantity, thing, radius=0.015, reach=0.01, width=0.05, margin=0.01, effort=0.7, density="high")
    lifted = thing[:, 2] - 0.02 > start[:, 2]
    grasped = (distance(thing, hand) < 0.04) & lifted & (quantity["opening"] >= 0.43)
    reward = both(grip, in_place)
    reward = where(grasped, reward + 1 + 5 * both(clear, in_place), reward)
    return where(away < RADIUS, 10.0, reward), away <= RADIUS


def _basketball(quantity: Quantities) -> tuple[Array, Array]:
    thing, goal = quantity["object"], quantity["goal"]
    above_hoop = goal * numbers(goal, 1.0, 1.0, 0.0) + numbers(goal, 0.0, 0.0, 0.3)
    steep = numbers(goal, 1.0, 1.0, 2.0)
    away = distance(thing, above_hoop, steep)
    in_place = near(away, 0.0, BASKET_RADIUS, distance(quantity["object_start"], above_hoop, steep))
    grip = caged(quantity, thing, radius=0.025, reach=0.01, width=0.06, margin=0.005, density="high")
    carried = _carried(quantity, 0.01, 0.035)
    reward = where(carried, in_place + 1 + 5 * in_place, both(grip, in_place))  # carried implies a good grip
    return where(away < BASKET_RADIUS, 10.0, reward), away <= BASKET_RADIUS


def _hand_insert(quantity: Quantities) -> tuple[Array, Array]:
    thing = quantity["object"]
    away, in_place = _in_place(quantity)
    grip = caged(quantity, thing, radius=0.015, reach=0.01, width=0.05, margin=0.005, density="high")
    reward = both(grip, in_place)
    reached = (distance(thing, quantity["fingers"]) < 0.02) & (quantity["opening"] > 0)
    reward = where(reached, reward + 1 + 7 * in_place, reward)
    return where(away < RADIUS, 10.0, reward), away <= RADIUS


LIFTING = {
    "pick-place-v3": Manipulation("lift a puck to a hidden place", _pick_place),
    "pick-place-wall-v3": Manipulation("lift a puck over a wall to a hidden place", _pick_place_wall),
    "pick-out-of-hole-v3": Manipulation("lift a puck out of a hole to a hidden place", _pick_out_of_hole),
    "shelf-place-v3": Manipulation("put a puck on a shelf", _shelf_place),
    "bin-picking-v3": Manipulation("move a puck from one bin to another", _bin_picking),
    "basketball-v3": Manipulation("drop a ball into a basket", _basketball),
    "hand-insert-v3": Manipulation("put a puck into a hole in the table", _hand_insert),
}
"""Rewards and success conditions by task."""
