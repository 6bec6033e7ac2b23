"""Limits on a separate process that reads a stranger's file by C code: memory, processor time, life."""

from __future__ import annotations

import fcntl
import os
import resource
import select
import signal
import time
from contextlib import suppress
from pathlib import Path


def end_with(lifeline: int) -> None:
    """Ends this process by a signal, in the midst of C code too, once the other end of a pipe is closed."""
    signal.signal(signal.SIGIO, signal.SIG_DFL)
    with suppress(OSError):  # no pipe
        fcntl.fcntl(lifeline, fcntl.F_SETOWN, os.getpid())
        fcntl.fcntl(lifeline, fcntl.F_SETFL, fcntl.fcntl(lifeline, fcntl.F_GETFL) | os.O_ASYNC)
    ended = select.select([lifeline], [], [], 0)[0]
    if ended and not os.read(lifeline, 1):  # before the signal was asked for
        os._exit(1)


def limit(memory: int, seconds: int) -> None:
    """Limits this process's memory beyond what it has, bytes, and its time; it leaves no core dump."""
    used = 0
    with suppress(OSError):
        used = int(Path("/proc/self/statm").read_text(encoding="utf-8").split()[0]) * resource.getpagesize()
    _lower(resource.RLIMIT_AS, used + memory)
    _lower(resource.RLIMIT_CORE, 0)
    limit_seconds(seconds)


def limit_seconds(more: int) -> None:
    """Limits the processor time that this process may take from now on."""
    _lower(resource.RLIMIT_CPU, int(time.process_time()) + 1 + more)


def _lower(kind: int, most: int) -> None:
    """Sets the soft limit on a resource, where the system has it."""
    _, hard = resource.getrlimit(kind)
    with suppress(OSError, ValueError):
        resource.setrlimit(kind, (most if hard == resource.RLIM_INFINITY else min(most, hard), hard))
