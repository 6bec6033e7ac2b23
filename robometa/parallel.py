"""Work on the tasks of a batch side by side: one task at a time stays in cache, and threads share out the tasks."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from typing import Any

import torch
from torch import Tensor


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


def descend(
    loss_of: Callable[..., tuple[Tensor, Tensor]], parameters: Sequence[Tensor], *pieces: Iterable[Any]
) -> Tensor:
    """Sets the parameters' gradients to those of a loss that is a sum over pieces, and returns what they log, summed.

    Args:
        loss_of: From a piece to its part of the loss, and to its part of what to log.
        parameters: Each must matter to every piece.
        pieces: What `loss_of` takes, piece by piece; cut alike on every machine, and added up in this order.
    """

    def of_piece(*piece: Any) -> tuple[tuple[Tensor, ...], Tensor]:
        loss, logged = loss_of(*piece)
        return torch.autograd.grad(loss, parameters), logged.detach()

    gradients, logged = zip(*for_each_task(of_piece, *pieces), strict=True)
    for parameter, *parts in zip(parameters, *gradients, strict=True):
        parameter.grad = torch.stack(parts).sum(dim=0) if len(parts) > 1 else parts[0]
    return torch.stack(logged).sum(dim=0)
