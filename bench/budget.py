"""Rounds of a contest: as many as are asked for, fewer where time is short or its figures are steady."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from statistics import median
from time import monotonic

STEADY = 0.03
"""Largest spread of a figure's rounds, as a share of their median, at which two rounds are enough."""


class Budget:
    """Shares the time of a run out among its contests; time that one leaves goes to those after it."""

    def __init__(self, seconds: float, contests: int, clock: Callable[[], float] = monotonic) -> None:
        """Starts the run's clock.

        Args:
            seconds: Of the whole run.
            contests: How many will share it.
            clock: Seconds that only grow.
        """
        self.clock, self.end, self.left = clock, clock() + seconds, contests

    def next(self) -> Callable[[Mapping[str, list[float]]], bool]:
        """Starts the next contest's share.

        Returns:
            A function of the contest's figures after a round, true if there shall be no further round: when they are
            steady, or another round as long as the last one would not end within the share.
        """
        begun = last = self.clock()
        until = begun + (self.end - begun) / self.left
        self.left -= 1

        def enough(values: Mapping[str, list[float]]) -> bool:
            nonlocal last
            now = self.clock()
            took, last = now - last, now
            return steady(values) or now + took > until

        return enough


def steady(values: Mapping[str, list[float]]) -> bool:
    """Checks whether more rounds would change the figures little.

    Args:
        values: Each figure's rounds.

    Returns:
        Whether there are two rounds at least and no figure's spread is above `STEADY`.
    """
    return all(len(rows) > 1 and max(rows) - min(rows) <= STEADY * median(rows) for rows in values.values())
