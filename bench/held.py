"""Runs a part of a measurement in a process of its own that is held to some cores, and does not outlive this one."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context, parent_process
from typing import Any


def end_with_parent() -> None:
    """Ends this process once the one that started it has ended, for whatever reason and in the midst of a part."""
    parent = parent_process()
    assert parent is not None  # another process started this one

    def end() -> None:
        parent.join()
        os._exit(1)

    threading.Thread(target=end, daemon=True).start()


def held_to(cores: int, part: Callable[..., Any], *arguments: Any) -> Any:
    """Runs a part in a process that may use the first cores only; it inherits this thread's."""
    all_cores = os.sched_getaffinity(0)
    os.sched_setaffinity(0, sorted(all_cores)[:cores])
    try:
        with ProcessPoolExecutor(1, mp_context=get_context("spawn"), initializer=end_with_parent) as process:
            return process.submit(part, *arguments).result()
    finally:
        os.sched_setaffinity(0, all_cores)
