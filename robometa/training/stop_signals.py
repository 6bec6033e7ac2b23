"""Signals that ask a training to stop: it saves at the end of the iteration; a second one stops it at once."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

KINDS = (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1)
"""Ctrl-C, what ends a process, and what SLURM can be told to send some time before a job's end."""


@contextmanager
def stop_on_signals() -> Iterator[list[str]]:
    """A list that gets a signal's name when Ctrl-C, SIGTERM or SIGUSR1 asks to stop; a second one stops at once."""
    asked: list[str] = []

    def ask(number: int, frame: FrameType | None) -> None:
        if asked:
            raise KeyboardInterrupt
        asked.append(signal.Signals(number).name)

    try:
        before = [signal.signal(kind, ask) for kind in KINDS]
    except ValueError:  # not in the main thread: whoever called handles signals
        yield asked
        return
    try:
        yield asked
    finally:
        for kind, handler in zip(KINDS, before, strict=True):
            signal.signal(kind, handler)
