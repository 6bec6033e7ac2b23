"""Budget of a training in environment steps."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from typing import Any

from robometa.errors import UserError
from robometa.suites.suite import Suite


def iterations_for(steps: float, given: Collection[str], options: Mapping[str, Any], suite: Suite) -> int:
    """Fewest iterations that take at least a number of environment steps.

    Args:
        steps: Environment steps of the whole training.
        given: Names of the options that the user gives.
        options: All options of the learner.
        suite: Suite to train on.

    Raises:
        UserError: If the number is impossible, or the iterations are given, too.
    """
    if "iterations" in given:
        raise UserError("both steps and iterations are given: leave out one, iterations follow from steps")
    if not 1 <= steps < math.inf:
        raise UserError(f"steps must be a number from 1, not {steps:g}")
    return math.ceil(steps / steps_of_iteration(options, suite))


def steps_of_iteration(options: Mapping[str, Any], suite: Suite) -> int:
    """Environment steps of an iteration: a rollout before each adaptation and one after the last."""
    return int(options["tasks"] * options["worlds"] * (options["shots"] + 1) * suite.horizon)
