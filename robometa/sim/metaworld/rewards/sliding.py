"""Rewards of sliding a plate: plate-slide, plate-slide-side, plate-slide-back, plate-slide-back-side."""

from __future__ import annotations

from robometa.sim.metaworld.arrays import Array, where
from robometa.sim.metaworld.quantities import Quantities
from robometa.sim.metaworld.rewards.protocol import Manipulation
from robometa.sim.metaworld.shaping import approached, both, distance, near

RADIUS = 0.05
"""Distance at which a plate is in place, and the fingers are at the plate, m."""
SUCCESS = 0.07
"""Distance at which a task is solved, m."""


def _distances(quantity: Quantities) -> tuple[Array, Array, Array, Array]:
    """Distances from plate to goal and from fingers to plate, each now and at first, m. `[world]` each."""
    thing, start, goal = quantity["object"], quantity["object_start"], quantity["goal"]
    reach, reach_start = distance(quantity["fingers"], thing), distance(quantity["fingers_start"], start)
    return distance(thing, goal), distance(start, goal), reach, reach_start


def _slide(quantity: Quantities) -> tuple[Array, Array]:
    away, away_start, reach, reach_start = _distances(quantity)
    reward = 8 * both(near(reach, 0.0, RADIUS, reach_start), near(away, 0.0, RADIUS, away_start))
    return where(away < RADIUS, 10.0, reward), away <= SUCCESS


def _slide_from_above(quantity: Quantities) -> tuple[Array, Array]:
    away, away_start, reach, reach_start = _distances(quantity)
    down = (quantity["fingers"][:, 2] <= 0.03) & (reach < 0.07)
    reward = where(down, 2 + 7 * approached(away, RADIUS, away_start), 1.5 * approached(reach, RADIUS, reach_start))
    return where(away < RADIUS, 10.0, reward), away <= SUCCESS


SLIDING = {
    "plate-slide-back-side-v3": Manipulation("slide a plate out of a cabinet sideways", _slide_from_above),
    "plate-slide-back-v3": Manipulation("slide a plate back out of a cabinet", _slide_from_above),
    "plate-slide-side-v3": Manipulation("slide a plate into a cabinet sideways", _slide_from_above),
    "plate-slide-v3": Manipulation("slide a plate into a cabinet", _slide),
}
"""Rewards and success conditions by task."""
