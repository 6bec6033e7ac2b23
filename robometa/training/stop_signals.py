"""Stop signals: the first is answered at once and stops at the end of the iteration, the second stops at once."""

from __future__ import annotations

import contextlib
import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1)
"""Ctrl-C, the signal that ends a process, and one that SLURM can send some time before a job's end."""


@contextmanager
def stop_on_signals(answer: Callable[[], None] = lambda: None) -> Iterator[list[str]]:
    """Yields a list that receives the name of a stop signal: Ctrl-C, SIGTERM, SIGUSR1; a second one stops at once.

    Args:
        answer: Called once after the first signal, on a separate thread: a signal handler may not print.
    """
    asked: list[str] = []
    with _waiting_thread(answer) as wake:

        def ask(number: int, frame: FrameType | None) -> None:
            if asked:
                raise KeyboardInterrupt
            asked.append(signal.Signals(number).name)
            wake()

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


@contextmanager
def _waiting_thread(work: Callable[[], None]) -> Iterator[Callable[[], None]]:
    """Starts a thread that waits; yields what lets it do its work, which a signal handler may call."""
    reading, writing = os.pipe()

    def wait() -> None:
        if os.read(reading, 1):
            work()

    thread = threading.Thread(target=wait, name="stop-signals", daemon=True)
    thread.start()
    try:
        yield lambda: _write(writing)
    finally:
        os.close(writing)
        thread.join()
        os.close(reading)


def _write(descriptor: int) -> None:
    """Writes a byte, unless the reader is gone."""
    with contextlib.suppress(OSError):
        os.write(descriptor, b"!")
