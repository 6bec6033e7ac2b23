"""Interface of a logger, and the facts of a training that it may use."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Protocol, Self

SAMPLING, UPDATE, PROCESSOR, EVALUATION = TIMES = ("sampling", "update", "processor", "evaluation")
"""Names of an iteration's times in its row, s.

Wall time of either half, processor time of both, and wall time of a held-out evaluation after it, if there was one.
"""
HELD_OUT_RETURN, HELD_OUT_SUCCESS = "held_out_return_", "held_out_success_"
"""Beginnings of the names of held-out scores; the number of adaptations follows."""


@dataclass(frozen=True)
class LoggedRun:
    """Facts of a training that a logger may use."""

    title: str
    folder: Path
    """Folder of the run."""
    iterations: int
    """Iterations of the whole run."""
    first: int
    """Iteration that comes next, from 0: above 0 where the run is resumed."""
    steps: int
    """Environment steps of the iterations before that."""
    options: Mapping[str, object]
    """Suite, learner, seed and options."""
    say: Callable[[str], None]
    """Passes a message to every logger of the training."""


class Logger(Protocol):
    """Shows or stores what a training logs, between entering and leaving it as a context."""

    def __enter__(self) -> Self:
        """Opens it."""

    def log(self, row: Mapping[str, float]) -> None:
        """Takes the metrics and the times of an iteration; a failure to store them must not end the training."""

    def say(self, text: str) -> None:
        """Takes a message that the user must not miss."""

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stores what is left and closes it."""


LoggerFactory = Callable[[LoggedRun], Logger]
"""Makes the logger of a training, which its context then opens."""
