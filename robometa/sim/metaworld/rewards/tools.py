"""Rewards of using a tool: hammer, peg-insert-side, peg-unplug-side, stick-push, stick-pull."""

from __future__ import annotations

from robometa.sim.metaworld.arrays import Array, as_number, at_least, join, numbers, where
from robometa.sim.metaworld.quantities import Quantities
from robometa.sim.metaworld.rewards.protocol import Manipulation
from robometa.sim.metaworld.shaping import both, caged, distance, near

RADIUS = 0.05
"""Distance at which a tool is in place, m."""
SUCCESS = 0.07
"""Distance at which a peg task is solved, m."""
STICK_SUCCESS = 0.12
"""Distance at which a stick task is solved, m."""
UPRIGHT = (1.0, 0.0, 0.0, 0.0)
"""Quaternion of an untilted hammer."""
HEAD = (0.16, 0.06, 0.0)
"""Offset of a hammer's head from its middle, m."""
HALF_HANDLE = 0.07
"""Half the length along which the hammer's handle can be gripped, m."""
DRIVEN = 0.09
"""Depth at which a nail is in, m."""


def _raised(quantity: Quantities, start: Array) -> Array:
    """True if the tool is above its initial height, and the gripper open. `[world]`, bool."""
    return (quantity["opening"] > 0) & (quantity["object"][:, 2] - 0.01 > start[:, 2])


def _hammer(quantity: Quantities) -> tuple[Array, Array]:
    hammer, hand = quantity["object"], quantity["hand"]
    along = where(abs(hammer[:, 0] - hand[:, 0]) < HALF_HANDLE, hand[:, 0], hammer[:, 0])
    handle = join((along[:, None], hammer[:, 1:]))
    grip = caged(quantity, handle, radius=0.015, reach=0.01, width=0.02, margin=0.01, density="high")
    head = hammer + numbers(hammer, *HEAD)
    at_nail = near(distance(head, quantity["goal"]), 0.0, 0.02, 0.2)
    tilt = distance(quantity["turn"], numbers(hammer, *UPRIGHT))
    raised = as_number(head[:, 2] > 0.02)
    reward = (2 * grip + 6 * (0.1 * raised + 0.9 * at_nail)) * at_least(1 - tilt / 0.4, 0.0)
    driven = quantity.joint("NailSlideJoint") > DRIVEN
    return where(driven & (reward > 5), 10.0, reward), driven


def _unblocked(quantity: Quantities, place: Array, side: int) -> Array:
    """1 outside a box above or below the hole; inside, the progress towards its far corner. `[world]`."""
    near_corner = quantity.site(f"bottom_right_corner_collision_box_{side}")
    far_corner = quantity.site(f"top_left_corner_collision_box_{side}")
    through = (place - near_corner) / (far_corner - near_corner)
    inside = ((through >= 0) & (through <= 1)).all(-1)
    return where(inside, through.prod(-1), 1.0)


def _peg_insert(quantity: Quantities) -> tuple[Array, Array]:
    peg, goal, head = quantity["object"], quantity["goal"], quantity.site("pegHead")
    scale = numbers(peg, 1.0, 2.0, 2.0)
    away = distance(head, goal, scale)
    in_place = near(away, 0.0, SUCCESS, distance(quantity["head_start"], goal, scale))
    in_place = both(in_place, both(_unblocked(quantity, head, 2), _unblocked(quantity, head, 1)))
    grip = caged(quantity, peg, radius=0.0075, reach=0.01, width=0.03, margin=0.005, density="high")
    lifted = _raised(quantity, quantity["object_start"]) & (distance(peg, quantity["fingers"]) < 0.08)
    reward = where(lifted, 1 + 6 * in_place, both(grip, in_place))
    return where(away <= SUCCESS, 10.0, reward), away <= SUCCESS


def _peg_unplug(quantity: Quantities) -> tuple[Array, Array]:
    peg, start, goal = quantity["object"], quantity["object_start"], quantity["goal"]
    away = distance(peg, goal)
    grip = caged(quantity, peg, radius=0.025, reach=0.01, width=0.05, margin=0.005, effort=0.8, density="high")
    in_place = near(away, 0.0, RADIUS, distance(start, goal))
    pulled = (quantity["opening"] > 0.5) & (peg[:, 0] - start[:, 0] > 0.015)
    pulled = pulled & (distance(peg, quantity["fingers"]) < 0.035)
    reward = 2 * grip + where(pulled, 1 + 5 * in_place, 0.0)
    return where(away <= RADIUS, 10.0, reward), away <= SUCCESS


def _stick_push(quantity: Quantities) -> tuple[Array, Array]:
    thing, goal, start = quantity["second_object"], quantity["goal"], quantity["stick_start"]
    stick = quantity["object"] + numbers(thing, 0.015, 0.0, 0.0)
    away = distance(thing, goal)
    stick_there = near(distance(stick, goal), 0.0, STICK_SUCCESS, distance(start, goal) - STICK_SUCCESS)
    in_place = near(away, 0.0, STICK_SUCCESS, distance(quantity["object_start"], goal) - STICK_SUCCESS)
    grip = caged(quantity, stick, radius=0.04, reach=0.01, width=0.05, margin=0.01, density="high", start=start)
    raised, there = _raised(quantity, start), away <= STICK_SUCCESS
    carried = raised & (distance(stick, quantity["fingers"]) < 0.02)
    reward = where(there, 10.0, 2 + 5 * stick_there + 3 * in_place)
    return where(carried, reward, grip), there & raised & quantity["touching"]


def _stick_pull(quantity: Quantities) -> tuple[Array, Array]:
    stick, handle, goal = quantity["object"], quantity["second_object"], quantity["goal"]
    start, thing_start = quantity["stick_start"], quantity["object_start"]
    scale, beyond = numbers(stick, 1.0, 1.0, 2.0), numbers(stick, 0.05, 0.0, 0.0)
    thing = handle + beyond
    at_thing = near(distance(stick, thing, scale), 0.0, RADIUS, distance(start, thing_start + beyond, scale))
    stick_there = near(distance(stick, goal), 0.0, RADIUS, distance(start, goal))
    in_place = near(distance(thing, goal), 0.0, RADIUS, distance(thing_start, goal))
    grip = caged(quantity, stick, radius=0.014, reach=0.01, width=0.05, margin=0.01, density="high")
    carried = _raised(quantity, start) & (distance(stick, quantity["fingers"]) < 0.02)
    to_end = quantity.site("stick_end") - handle
    inserted = (to_end[:, 0] >= 0) & (abs(to_end[:, 1]) <= 0.04) & (abs(to_end[:, 2]) <= 0.06)
    success = inserted & (distance(handle, goal) <= STICK_SUCCESS)
    bonus = where(inserted, 6 + 2 * stick_there + in_place, 1 + 5 * at_thing)
    reward = where(carried, at_thing + bonus, both(grip, at_thing))
    return where(carried & success, 10.0, reward), success


STICK_START = {"stick_start": "stick_init_pos"}

TOOLS = {
    "hammer-v3": Manipulation("drive a nail into a wall with a hammer", _hammer),
    "peg-insert-side-v3": Manipulation(
        "put a peg into a hole from the side", _peg_insert, {"head_start": "peg_head_pos_init"}
    ),
    "peg-unplug-side-v3": Manipulation("pull a peg out of a hole sideways", _peg_unplug),
    "stick-pull-v3": Manipulation("pull a thermos by its handle with a stick", _stick_pull, STICK_START),
    "stick-push-v3": Manipulation("push a thermos with a stick", _stick_push, STICK_START, contacts=True),
}
"""Rewards and success conditions by task."""
