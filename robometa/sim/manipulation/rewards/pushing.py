"""Rewards of the tasks that push a thing over the table: push, push-back, push-wall, sweep, sweep-into, soccer."""

from __future__ import annotations

import torch
from torch import Tensor

from robometa.sim.manipulation.quantities import Quantities
from robometa.sim.manipulation.rewards.protocol import Manipulation
from robometa.sim.manipulation.shaping import caged, distance, near

RADIUS = 0.05
"""A thing is in its place within this, m."""


def _push(quantity: Quantities) -> tuple[Tensor, Tensor]:
    thing, goal = quantity["object"], quantity["goal"]
    away = distance(thing, goal)
    in_place = near(away, 0.0, RADIUS, distance(quantity["object_start"], goal))
    held = caged(quantity, thing, radius=0.015, reach=0.01, width=0.05, margin=0.005, density="high")
    reached = (distance(thing, quantity["fingers"]) < 0.02) & (quantity["opening"] > 0)
    reward = torch.where(reached, 1 + 4 * held + 5 * in_place, 2 * held)
    return torch.where(away < RADIUS, 10.0, reward), away <= RADIUS


PUSHING = {
    "push-v3": Manipulation("push a puck to a hidden place", _push),
}
"""By task."""
