"""Objectives of a search, and the order of trials by one or several of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from robometa.errors import UserError, unknown
from robometa.reports import reference_returns
from robometa.suites.suite import Suite

OBJECTIVES = {
    "return": "mean return of an episode of the validation tasks after the last shot, mean actions",
    "gap": "that return as a share of the gap between the suite's references, no adaptation and oracle",
    "success": "share of those episodes that end in success",
    "latency": "median processor time of an action, ms; its figures depend on the machine",
    "parameters": "numbers that the policy consists of",
}
"""Meaning of each objective."""
MINIMISED = ("latency", "parameters")
"""Objectives of which less is better."""
Scores = Mapping[str, float]
"""Value of every objective of a trial at a rung."""


def require_objectives(names: Sequence[str], suite: Suite) -> None:
    """Checks that objectives exist, and that the suite has them.

    Raises:
        UserError: If one does not.
    """
    for name in names:
        if name not in OBJECTIVES:
            raise UserError(unknown("objective", name, OBJECTIVES))
    if len({*names}) < len(names):
        raise UserError(f"objectives must differ, not {' '.join(names)}")
    if "success" in names and not suite.has_success:
        raise UserError(f"suite {suite.name} has no success condition: choose another objective")
    if "gap" in names and reference_returns.find(suite.content_hash) is None:
        raise UserError(f"suite {suite.name} has no reference returns: objective return orders trials as gap would")


def gap(suite: Suite, value: float) -> float:
    """A mean return as a share of the gap between the references' means on the held-out tasks; 0 without references."""
    known = reference_returns.find(suite.content_hash)
    if known is None:
        return 0.0
    low, high = (float(sample.both_means()[1]) for sample in (known.unadapted, known.oracle))
    return (value - low) / (high - low)


def gains(scores: Scores, names: Sequence[str]) -> tuple[float, ...]:
    """Values of the objectives, turned so that more is better."""
    return tuple(-scores[name] if name in MINIMISED else scores[name] for name in names)


def order(points: Mapping[int, tuple[float, ...]]) -> list[int]:
    """Keys of points from the best to the worst: by Pareto fronts, then by the first objective, then by key."""
    fronts = list[list[int]]()
    for key in sorted(points, key=lambda key: (*(-value for value in points[key]), key)):
        # No later point dominates an earlier one, so each belongs to the first front that does not dominate it.
        for one in fronts if len(points[key]) > 1 else ():
            if not any(_dominates(points[other], points[key]) for other in reversed(one)):
                one.append(key)
                break
        else:
            fronts.append([key])
    return [key for one in fronts for key in one]


def front(points: Mapping[int, tuple[float, ...]]) -> list[int]:
    """Keys of the points that no other one dominates, best first by the first objective."""
    kept = [key for key, point in points.items() if not any(_dominates(other, point) for other in points.values())]
    return sorted(kept, key=lambda key: (*(-value for value in points[key]), key))


def _dominates(one: tuple[float, ...], other: tuple[float, ...]) -> bool:
    """True if a point is at least as good in everything, and better in something."""
    return one != other and all(mine >= theirs for mine, theirs in zip(one, other, strict=True))
