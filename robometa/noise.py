"""Random numbers keyed by their purpose, independent of the order in which they are drawn."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import cache

import numpy as np
import torch
from torch import Tensor

MIN_THREADED = 2**17
"""Least size of a draw, in numbers, that is split over threads; below it, waking threads costs more than it saves."""


@dataclass(frozen=True)
class Noise:
    """A source of random numbers keyed by (seed, purpose, iteration, task, world).

    A source has no state: it gives the same numbers every time, and `fork` gives a source of other ones. Each task of a
    batch has its own stream, and its worlds are consecutive draws from it. So a world's numbers depend neither on the
    number of tasks and worlds nor on the process that collects them.

    The streams are numpy's Philox, a counter-based generator (Salmon et al. 2011), with a hash of the purpose as key.
    """

    seed: int
    purpose: tuple[str | int, ...]
    tasks: int
    worlds: int
    first: int = 0
    """Index of its first task in the whole batch."""

    def fork(self, *purpose: str | int) -> Noise:
        """Returns a source for another purpose, with the same tasks and worlds."""
        return replace(self, purpose=self.purpose + purpose)

    def part(self, first: int, tasks: int) -> Noise:
        """Returns the source of consecutive tasks of this batch: the same numbers as the whole gives them."""
        return replace(self, tasks=tasks, first=self.first + first)

    def generator(self, *place: int) -> np.random.Generator:
        """Returns the numpy generator of up to three indices, such as (task,) or (task, world, episode)."""
        if place:
            place = (place[0] + self.first, *place[1:])
        text = repr((self.seed, *self.purpose))
        key = np.frombuffer(hashlib.blake2b(text.encode(), digest_size=16).digest(), dtype=np.uint64)
        counter = [0, *(value + 1 for value in place), *(0,) * (3 - len(place))]
        return np.random.Generator(np.random.Philox(key=key, counter=counter))

    def normal(self, *shape: int) -> Tensor:
        """Draws standard normal numbers, float32. `[task, world, *shape]`."""
        draws = np.empty((self.tasks, self.worlds, *shape), dtype=np.float32)

        def fill(task: int) -> None:
            self.generator(task).standard_normal(out=draws[task], dtype=np.float32)

        _fill_each(fill, self.tasks, draws.size)
        return torch.from_numpy(draws)

    def uniform(self, *shape: int) -> Tensor:
        """Draws numbers uniform in [0, 1), float64. `[task, world, *shape]`."""
        draws = np.empty((self.tasks, self.worlds, *shape))

        def fill(task: int) -> None:
            self.generator(task).random(out=draws[task])

        _fill_each(fill, self.tasks, draws.size)
        return torch.from_numpy(draws)

    def torch_generator(self) -> torch.Generator:
        """Returns a torch generator for work that is not split by task, such as sampling from a replay buffer."""
        seed = int(self.generator().integers(0, 2**62))
        return torch.Generator().manual_seed(seed)


@cache
def _threads() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(thread_name_prefix="noise")


if hasattr(os, "register_at_fork"):  # a forked child inherits the pool object without its threads
    os.register_at_fork(after_in_child=_threads.cache_clear)


def _fill_each(fill: Callable[[int], None], tasks: int, numbers: int) -> None:
    """Fills every task's part of a draw, on threads if it is large: numpy releases the interpreter lock."""
    if tasks > 1 and numbers >= MIN_THREADED:
        list(_threads().map(fill, range(tasks)))
    else:
        for task in range(tasks):
            fill(task)
