"""Stop signals: the first saves and stops at the end of the iteration, the second stops at once."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1)
"""Ctrl-C, the signal that ends a process, and one that SLURM can send some time before a job's end."""


@contextmanager
def stop_on_signals() -> Iterator[list[str]]:
    """Yields a list that receives the name of a stop signal: Ctrl-C, SIGTERM, SIGUSR1; a second one stops at once."""
    asked: list[str] = []

    def ask(number: int, frame: FrameType | None) -> None:
        if asked:
            raise KeyboardInterrupt
        asked.append(signal.Signals(number).name)

    try:
        before = [signal.signal(kind, ask) for kind in STOP_SIGNALS]
    except ValueError:  # not in the main thread: whoever called handles signals
        yield asked
        return
    try:
        yield asked
    finally:
        for kind, handler in zip(STOP_SIGNALS, before, strict=True):
            signal.signal(kind, handler)
