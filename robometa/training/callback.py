"""Value that a user's function gets after every iteration of a training."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from robometa.policies.policy import Policy


@dataclass(frozen=True)
class Iteration:
    """A finished iteration of a training."""

    iteration: int
    """Iterations finished so far, this one included."""
    iterations: int
    """Iterations of the whole run."""
    steps: int
    """Environment steps so far."""
    metrics: Mapping[str, float]
    """Its line of `metrics.jsonl`; with `evaluate_every` some have held-out scores, too."""
    _copied: Callable[[str], Policy] = field(repr=False)

    def policy(self, units: str = "actuator") -> Policy:
        """Makes a policy to act with, from a copy of the learner as it is after this iteration.

        Args:
            units: Units of its actions, as in `robometa.load`.
        """
        return self._copied(units)


Callback = Callable[[Iteration], object]
"""Called after every iteration; False ends the training there, and any other value lets it go on.

What it raises ends the training, too, after a checkpoint, and reaches the caller of `train`.
"""
