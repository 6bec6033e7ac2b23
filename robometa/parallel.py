"""Work on the tasks of a batch side by side: one task at a time stays in cache, and threads share out the tasks."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from typing import Any

import torch


def processors() -> int:
    """How many processors this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@cache
def _pool() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(processors(), initializer=torch.set_num_threads, initargs=(1,))


def for_each_task(function: Callable[..., Any], *batches: Iterable[Any]) -> list[Any]:
    """What the function returns for each task, in the tasks' order.

    Torch computes each task on one thread, so results do not depend on how many threads there are.
    """
    return list(_pool().map(function, *batches))
