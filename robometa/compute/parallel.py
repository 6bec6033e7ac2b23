"""Parallel work on the tasks of a batch: threads take one task at a time, so that each stays in cache."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from typing import Any

import torch
from torch import Tensor
from torch.utils._pytree import tree_leaves, tree_map


def processors() -> int:
    """Number of processors that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@cache
def _pool(threads: int | None = None) -> ThreadPoolExecutor:
    return ThreadPoolExecutor(threads or processors(), initializer=_compute_on_one)


def _compute_on_one() -> None:
    """Makes torch compute on one thread in a thread of its own, whatever the process sets later."""
    torch.get_num_threads()  # at its first look a thread takes the process's number, even if its own was set before
    torch.set_num_threads(1)


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_pool.cache_clear)  # threads do not survive a fork


class _Limit:
    """Setting of this process."""

    threads: int | None = None
    """Threads of parallel work; one for each processor if None."""


def use_threads(count: int) -> None:
    """Sets the number of threads of this process's parallel work, by default one for each processor."""
    _Limit.threads = count


def for_each_task(function: Callable[..., Any], *batches: Iterable[Any]) -> list[Any]:
    """Maps a function over tasks, on threads; returns the results in the tasks' order.

    Torch computes each task on one thread, so results do not depend on the number of threads. A single task runs on the
    calling thread where torch computes on one there too, and on a GPU, where another thread would first have to create
    handles of cuBLAS and cuDNN.
    """
    rows = [list(batch) for batch in batches]
    if all(len(row) == 1 for row in rows) and (torch.get_num_threads() == 1 or _any_on_gpu(rows)):
        with torch.enable_grad():  # as a new thread has it
            return [function(*(row[0] for row in rows))]
    return list(_pool(_Limit.threads).map(function, *rows))


def of_each_task(function: Callable[..., Any], *batches: Iterable[Any]) -> list[Any]:
    """Maps a function of tensors over tasks: as `for_each_task`, but vectorised over all tasks on a GPU.

    Args:
        function: Must suit `torch.func.vmap`: its control flow may not depend on a tensor's values.
        batches: Tensors, or tuples of tensors, of each task; if their sizes differ, tasks are computed one by one.
    """
    rows = [list(batch) for batch in batches]
    if not _at_once(rows):
        return for_each_task(function, *rows)
    stacked = [tree_map(lambda *leaves: torch.stack(leaves), *row) for row in rows]
    outputs = torch.func.vmap(function)(*stacked)
    return [tree_map(lambda leaf, task=task: leaf[task], outputs) for task in range(len(rows[0]))]


WORLDS_AT_ONCE = 16
"""Number of worlds that a thread computes together; their data fits its cache."""


def of_worlds(function: Callable[..., Tensor], *batches: Tensor) -> Tensor:
    """Applies a function of worlds `[world, ...]` to the worlds of all tasks, on a CPU in chunks.

    Args:
        function: Each world's result depends on that world alone.
        batches: `[task, world, ...]` each

    Returns:
        `[task, world, ...]`
    """
    flat = [batch.flatten(0, 1) for batch in batches]
    on_cpu = batches[0].device.type == "cpu"
    chunks = [batch.split(WORLDS_AT_ONCE) for batch in flat] if on_cpu else [[batch] for batch in flat]
    return torch.cat(for_each_task(function, *chunks)).unflatten(0, batches[0].shape[:2])


def on_gpu(tensor: Tensor) -> bool:
    """True if a tensor is on a GPU, where one large computation is faster than many small ones."""
    return tensor.is_cuda


def _any_on_gpu(rows: Sequence[Sequence[Any]]) -> bool:
    """True if any of the tensors is on a GPU."""
    return any(isinstance(leaf, Tensor) and on_gpu(leaf) for leaf in tree_leaves(rows))


def _at_once(rows: Sequence[Sequence[Any]]) -> bool:
    """True if all tasks' tensors are on a GPU and of equal shapes."""
    if not all(on_gpu(leaf) for leaf in tree_leaves([row[0] for row in rows])):
        return False
    sizes = [[[leaf.shape for leaf in tree_leaves(entry)] for entry in row] for row in rows]
    return all(entry == of_one[0] for of_one in sizes for entry in of_one)


def shares_of(batch: Tensor, size: int) -> tuple[Tensor, ...]:
    """Splits a batch into chunks for threads, the same on every machine; on a GPU one chunk."""
    return (batch,) if on_gpu(batch) else batch.split(size)


def descend(
    loss_of: Callable[..., tuple[Tensor, Tensor]], parameters: Sequence[Tensor], *chunks: Iterable[Any]
) -> Tensor:
    """Sets the parameters' gradients to those of a loss summed over chunks; returns the sum of the logged metrics.

    Args:
        loss_of: Returns a chunk's part of the loss and its part of the metrics.
        parameters: Every chunk's loss must depend on each.
        chunks: Arguments of `loss_of` for each chunk; split the same on every machine, and summed in this order.
    """

    def of_chunk(*chunk: Any) -> tuple[tuple[Tensor, ...], Tensor]:
        loss, logged = loss_of(*chunk)
        return torch.autograd.grad(loss, parameters), logged.detach()

    gradients, logged = zip(*for_each_task(of_chunk, *chunks), strict=True)
    for parameter, *parts in zip(parameters, *gradients, strict=True):
        parameter.grad = torch.stack(parts).sum(dim=0) if len(parts) > 1 else parts[0]
    return torch.stack(logged).sum(dim=0)
