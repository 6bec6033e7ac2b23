"""Standard output and error that may be closed or full."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TextIO, cast

from robometa.progress import FailsSilently


@contextmanager
def failing_silently() -> Iterator[FailsSilently]:
    """Makes standard output and error go silent at their first failure; yields the output, which knows of it."""
    _open_missing()
    before = sys.stdout, sys.stderr
    streams = FailsSilently(sys.stdout), FailsSilently(sys.stderr)
    sys.stdout, sys.stderr = cast("tuple[TextIO, TextIO]", streams)
    try:
        yield streams[0]
    finally:
        for stream in streams:
            stream.flush()
            if stream.failure is not None:
                _discard(stream)
        sys.stdout, sys.stderr = before


def _open_missing() -> None:
    """Opens the null device in place of closed standard streams: the next file opened would become one of them."""
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)


def _discard(stream: FailsSilently) -> None:
    """Leads what is still in a stream's buffer to the null device, or Python would fail on it at its end."""
    with contextlib.suppress(AttributeError, OSError, ValueError):
        null = os.open(os.devnull, os.O_WRONLY)
        try:
            os.dup2(null, stream.fileno())
        finally:
            os.close(null)
