"""Rewards of pushing an object over the table: push, push-back, push-wall, sweep, sweep-into, soccer."""

from __future__ import annotations

from robometa.sim.metaworld.arrays import Array, at_least, at_most, join, numbers, stack, where
from robometa.sim.metaworld.quantities import Quantities
from robometa.sim.metaworld.rewards.protocol import Manipulation
from robometa.sim.metaworld.shaping import both, caged, distance, near

RADIUS = 0.05
"""Distance at which an object is in place, m."""
SUCCESS = 0.07
"""Distance at which some tasks are solved, m."""
BESIDE = 0.05
"""Distance at which a pad is beside an object, m."""
GAP = (-0.05, 0.77)
"""x and y of the gap beside the wall, m."""
SIDEWAYS = (3.0, 1.0, 1.0)
"""Weight of a distance along each axis; missing the wall's gap or the goal sideways counts three times."""


def _flanked(quantity: Quantities, *, radius: float, play: float, margin: float) -> Array:
    """Caging of an object with a pad on each side; closing the gripper does not count. `[world]`.

    Args:
        quantity: The named quantities.
        radius: Radius of the object, m.
        play: Gap within which a pad touches the object, m.
        margin: Distance in x and z within which the fingers are over the object, m.
    """
    thing, start, fingers = quantity["object"], quantity["object_start"], quantity["fingers"]
    y = thing[:, 1]
    sides = stack((quantity["left_pad"][:, 1] - y, y - quantity["right_pad"][:, 1]))
    room = abs(abs(sides) - BESIDE)
    begun = distance(start[:, ::2], quantity["fingers_start"][:, ::2])
    over = near(distance(fingers[:, ::2], thing[:, ::2]), 0.0, margin, begun - margin)
    caging = both(both(*near(sides, radius, BESIDE, room)), over)
    touching = both(*near(sides, radius, radius + play, room))
    return (caging + where(caging > 0.95, touching, 0.0)) / 2


def _push(quantity: Quantities) -> tuple[Array, Array]:
    thing, goal = quantity["object"], quantity["goal"]
    away = distance(thing, goal)
    in_place = near(away, 0.0, RADIUS, distance(quantity["object_start"], goal))
    grip = caged(quantity, thing, radius=0.015, reach=0.01, width=BESIDE, margin=0.005, density="high")
    reached = (distance(thing, quantity["fingers"]) < 0.02) & (quantity["opening"] > 0)
    reward = where(reached, 1 + 4 * grip + 5 * in_place, 2 * grip)
    return where(away < RADIUS, 10.0, reward), away <= RADIUS


def _push_wall(quantity: Quantities) -> tuple[Array, Array]:
    thing, start, goal = quantity["object"], quantity["object_start"], quantity["goal"]
    scale = numbers(thing, *SIDEWAYS)
    gap = join((numbers(thing, *GAP) + 0 * thing[:, :2], thing[:, 2:]))
    around = near(distance(thing, gap, scale), 0.0, RADIUS, distance(start, gap, scale))
    away = distance(thing, goal)
    in_place = near(away, 0.0, RADIUS, distance(start, goal))
    grip = caged(quantity, thing, radius=0.015, reach=0.01, width=BESIDE, margin=0.005, density="high")
    reached = (distance(thing, quantity["fingers"]) < 0.02) & (quantity["opening"] > 0)
    bonus = where(thing[:, 1] > 0.75, 5 + 3 * in_place, 1 + 4 * around)
    reward = 2 * grip + where(reached, bonus, 0.0)
    return where(away < RADIUS, 10.0, reward), away <= SUCCESS


def _push_back(quantity: Quantities) -> tuple[Array, Array]:
    thing, goal, opening = quantity["object"], quantity["goal"], quantity["opening"]
    away, begun = distance(thing, goal), distance(quantity["object_start"], goal)
    in_place = near(away, 0.0, RADIUS, begun)
    reward = both(_flanked(quantity, radius=0.007, play=0.003, margin=0.01), in_place)
    reached = (distance(thing, quantity["fingers"]) < 0.01) & (opening > 0) & (opening < 0.55)
    reward = where(reached & (begun - away > 0.01), reward + 1 + 5 * in_place, reward)
    return where(away < RADIUS, 10.0, reward), away <= SUCCESS


def _swept(grip: Array, away: Array, begun: Array) -> tuple[Array, Array]:
    """Reward and success of sweeping, from the grip and the distances to the goal now and at first, m."""
    reward = 2 * grip + 6 * both(grip, near(away, 0.0, RADIUS, begun))
    return where(away < RADIUS, 10.0, reward), away <= RADIUS


def _sweep(quantity: Quantities) -> tuple[Array, Array]:
    goal, grip = quantity["goal"], _flanked(quantity, radius=0.02, play=0.01, margin=0.005)
    return _swept(grip, distance(quantity["object"], goal), distance(quantity["object_start"], goal))


def _sweep_into(quantity: Quantities) -> tuple[Array, Array]:
    thing, grip = quantity["object"], _flanked(quantity, radius=0.02, play=0.005, margin=0.01)
    goal = join((quantity["goal"][:, :2], thing[:, 2:]))  # at any depth in the hole
    return _swept(grip, distance(thing, goal), distance(quantity["object_start"], goal))


def _soccer(quantity: Quantities) -> tuple[Array, Array]:
    thing, goal = quantity["object"], quantity["goal"]
    scale = numbers(thing, *SIDEWAYS)
    away, moved = distance(thing, goal, scale), distance(thing, quantity["object_start"], scale)
    in_place = near(away, 0.0, SUCCESS, moved)
    line = goal[:, 1] - 0.1
    beyond = thing[:, 1] - line
    missed = (beyond > 0) & (abs(thing[:, 0] - goal[:, 0]) > 0.1)
    in_place = where(missed, at_most(at_least(in_place - 2 * beyond / (1 - line), 0.0), 1.0), in_place)
    reward = 3 * _flanked(quantity, radius=0.013, play=0.01, margin=0.005) + 6.5 * in_place
    return where(away < SUCCESS, 10.0, reward), distance(thing, goal) <= SUCCESS


PUSHING = {
    "push-v3": Manipulation("push a puck to a hidden place", _push),
    "push-back-v3": Manipulation("pull a block back to a hidden place", _push_back),
    "push-wall-v3": Manipulation("push a puck around a wall to a hidden place", _push_wall),
    "soccer-v3": Manipulation("push a ball into a goal", _soccer),
    "sweep-into-v3": Manipulation("sweep a puck into a hole", _sweep_into),
    "sweep-v3": Manipulation("sweep a puck off the table", _sweep),
}
"""Rewards and success conditions by task."""
