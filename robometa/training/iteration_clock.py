"""Times of an iteration's parts."""

from __future__ import annotations

import time
from collections.abc import Callable

from robometa.training.loggers.logger import PROCESSOR, SAMPLING, UPDATE


class IterationClock:
    """Measures one iteration after another: its sampling, its update, and the processor time of both."""

    def __init__(self, other_processes: Callable[[], float]) -> None:
        """Starts the first iteration.

        Args:
            other_processes: Returns the processor time that other processes have spent on sampling, s.
        """
        self._other_processes = other_processes
        self._last = 0.0
        self.start()

    def start(self) -> None:
        """Starts an iteration."""
        self._started, self._spent = time.perf_counter(), self._processor()

    def sampled(self) -> None:
        """Marks the end of the sampling."""
        self._sampled = time.perf_counter()

    def times(self) -> dict[str, float]:
        """Returns the times of the sampling and of the update, which ends now, by the names in `timings.jsonl`, s."""
        return {
            SAMPLING: self._sampled - self._started,
            UPDATE: time.perf_counter() - self._sampled,
            PROCESSOR: self._processor() - self._spent,
        }

    def stop(self) -> None:
        """Ends the iteration, with its evaluation and its saved rows."""
        self._last = time.perf_counter() - self._started

    def seconds_left(self) -> int:
        """Returns the seconds until the iteration ends, if it takes as long as the one before; 0 if unknown."""
        return max(0, round(self._last - (time.perf_counter() - self._started)))

    def _processor(self) -> float:
        """Processor time of this process and of the others, s."""
        return time.process_time() + self._other_processes()
