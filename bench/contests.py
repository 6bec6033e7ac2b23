"""Everything that can be measured, by name."""

from __future__ import annotations

from functools import partial

from bench import collecting, learners, manipulation, physics
from bench.measure import Maker

CONTESTS: dict[str, Maker] = {
    "maml-trpo": learners.maml_trpo,
    "pearl": learners.pearl,
    "rl2": learners.rl2,
    "maml-trpo rollouts": collecting.maml_trpo,
    "rl2 rollouts": collecting.rl2,
    "grbal": learners.grbal,
    "push-v3": manipulation.push,
    "ml10": manipulation.ml10,
    **{robot: partial(physics.contest, robot) for robot in physics.SUITES},
}
"""In the order in which they run."""
