"""The time after which a process that does not answer is taken to hang."""

from __future__ import annotations

STARTING_SECONDS = 600.0
"""Time after which a process that has not begun to compute is taken to hang, s."""
PATIENCE_SECONDS = 600.0
"""Least time after which a process that has not answered is taken to hang, s."""
PATIENCE_FACTOR = 20.0
"""Multiple of the longest answer so far after which a process is taken to hang."""
MAX_LOSSES = 3
"""Processes that may be lost over the same order before the work stops."""


class Patience:
    """The limit on an answer's time, from those before."""

    def __init__(self, least: float | None = None) -> None:
        """Knows no answer yet; `least` is the least limit, s, instead of `PATIENCE_SECONDS`."""
        self._longest, self._least = 0.0, least

    def note(self, seconds: float) -> None:
        """Takes in the time of an answer."""
        self._longest = max(self._longest, seconds)

    def limit(self) -> float:
        """Returns the time after which a process is taken to hang, s."""
        return max(PATIENCE_SECONDS if self._least is None else self._least, PATIENCE_FACTOR * self._longest)
