"""Time of a loop, and times of its steps in constant memory."""

from __future__ import annotations

import math
import time


class Clock:
    """The machine's clock."""

    def now(self) -> float:
        """Seconds since some moment."""
        return time.perf_counter()

    def sleep(self, seconds: float) -> None:
        """Waits."""
        time.sleep(seconds)


REAL = Clock()
"""The machine's clock, which every loop has unless it is given another."""


class Times:
    """Counts of times by their size, in steps of 1 %, so that a robot that runs for months needs no more memory."""

    SHORTEST = 1e-8
    """End of the first step, s."""
    GROWTH = 1.01
    """Ratio of the ends of neighbouring steps."""
    SIZE = 2700
    """Number of steps; the last one ends beyond an hour."""

    def __init__(self) -> None:
        """Empty."""
        self._counts = [0] * self.SIZE
        self._scale = 1 / math.log(self.GROWTH)
        self.total = 0
        self.longest = 0.0

    def add(self, seconds: float) -> None:
        """Counts a time."""
        place = int(math.log(max(seconds, self.SHORTEST) / self.SHORTEST) * self._scale)
        self._counts[min(place, self.SIZE - 1)] += 1
        self.total += 1
        self.longest = max(self.longest, seconds)

    def percentile(self, share: float) -> float:
        """Time that so many percent of all took at most, s, rounded up by at most 1 %; NaN if there is none."""
        if not self.total:
            return math.nan
        wanted, seen = share / 100 * self.total, 0
        for place, count in enumerate(self._counts):
            seen += count
            if count and seen >= wanted and place < self.SIZE - 1:
                return min(self.SHORTEST * self.GROWTH ** (place + 1), self.longest)
        return self.longest
