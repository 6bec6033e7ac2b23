"""Rewards of reaching a place: reach, reach-wall."""

from __future__ import annotations

from robometa.sim.metaworld.arrays import Array
from robometa.sim.metaworld.quantities import Quantities
from robometa.sim.metaworld.rewards.protocol import Manipulation
from robometa.sim.metaworld.shaping import distance, near

RADIUS = 0.05
"""Distance at which a place is reached, m."""


def _reach(quantity: Quantities) -> tuple[Array, Array]:
    away = distance(quantity["fingers"], quantity["goal"])
    margin = distance(quantity["hand_start"], quantity["goal"])
    return 10 * near(away, 0.0, RADIUS, margin), away <= RADIUS


REACHING = {
    "reach-v3": Manipulation("bring the fingers to a hidden place", _reach),
    "reach-wall-v3": Manipulation("bring the fingers to a hidden place behind a wall", _reach),
}
"""Rewards and success conditions by task."""
