"""Rewards of the tasks at the coffee machine: coffee-push, coffee-pull, coffee-button."""

from __future__ import annotations

from robometa.sim.metaworld.arrays import Array, at_least, numbers, where
from robometa.sim.metaworld.quantities import Quantities
from robometa.sim.metaworld.rewards.protocol import Manipulation
from robometa.sim.metaworld.shaping import both, caged, distance, near

RADIUS = 0.05
"""Distance at which a mug is in place, m; x and y errors count twice."""
SUCCESS = 0.07
"""Distance at which the task is solved, m."""
TRAVEL = 0.03
"""Travel of the button, m."""


def _bring_mug(quantity: Quantities) -> tuple[Array, Array]:
    mug, goal, flat = quantity["object"], quantity["goal"], numbers(quantity["goal"], 2.0, 2.0, 1.0)
    away = distance(mug, goal, flat)
    in_place = near(away, 0.0, RADIUS, distance(quantity["object_start"], goal, flat))
    grip = caged(quantity, mug, radius=0.02, reach=0.04, width=0.05, margin=0.05, effort=0.7, density="medium")
    reached = (distance(mug, quantity["fingers"]) < 0.04) & (quantity["opening"] > 0)
    reward = both(grip, in_place)
    reward = where(reached, reward + 1 + 5 * in_place, reward)
    return where(away < RADIUS, 10.0, reward), distance(mug, goal) <= SUCCESS


def _press_button(quantity: Quantities) -> tuple[Array, Array]:
    button, goal = quantity["object"], quantity["goal"]
    away = distance(button, quantity["fingers"])
    close = near(away, 0.0, 0.05, distance(button, quantity["fingers_start"]))
    left = abs(goal[:, 1] - button[:, 1])
    pressed = near(left, 0.0, 0.005, TRAVEL)
    reward = 2 * both(at_least(quantity["opening"], 0.0), close)
    return where(away <= 0.05, reward + 8 * pressed, reward), left <= 0.02


COFFEE = {
    "coffee-push-v3": Manipulation("push a mug under the machine", _bring_mug),
    "coffee-pull-v3": Manipulation("pull a mug away from the machine", _bring_mug),
    "coffee-button-v3": Manipulation("press the machine's button", _press_button),
}
"""Rewards and success conditions by task."""
