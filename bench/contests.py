"""Everything that can be measured, by name."""

from __future__ import annotations

from functools import partial

from bench import learners, physics
from bench.measure import Maker

CONTESTS: dict[str, Maker] = {
    "maml-trpo": learners.maml_trpo,
    "pearl": learners.pearl,
    "rl2": learners.rl2,
    **{robot: partial(physics.contest, robot) for robot in physics.SUITES},
}
"""In the order in which they run."""
