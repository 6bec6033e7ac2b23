"""Random numbers addressed by what they are for, not by when they are drawn."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cache

import numpy as np
import torch
from torch import Tensor

MIN_THREADED = 2**17
"""Numbers of a draw from which on threads share out its tasks: fewer are drawn faster than threads are woken."""


@dataclass(frozen=True)
class Noise:
    """A source of random numbers keyed by (seed, purpose, iteration, task, world).

    Drawing from it changes nothing: the same source gives the same numbers, `fork` gives a source of other ones.
    Each task of a batch has its own stream and its worlds are consecutive draws from it, so the numbers of a world
    depend neither on how many tasks or worlds stand beside it nor on who collects them.

    The streams are numpy's Philox, a counter-based generator (Salmon et al. 2011): the purpose is hashed into the key.
    """

    seed: int
    purpose: tuple[str | int, ...]
    tasks: int
    worlds: int

    def fork(self, *purpose: str | int) -> Noise:
        """A source for another purpose, with the same tasks and worlds."""
        return Noise(self.seed, self.purpose + purpose, self.tasks, self.worlds)

    def generator(self, *place: int) -> np.random.Generator:
        """A numpy generator for one place: up to three whole numbers, such as (task,) or (task, world, episode)."""
        text = repr((self.seed, *self.purpose))
        key = np.frombuffer(hashlib.blake2b(text.encode(), digest_size=16).digest(), dtype=np.uint64)
        counter = [0, *(value + 1 for value in place), *(0,) * (3 - len(place))]
        return np.random.Generator(np.random.Philox(key=key, counter=counter))

    def normal(self, *shape: int) -> Tensor:
        """Standard normal numbers, float32. `[task, world, *shape]`."""
        draws = np.empty((self.tasks, self.worlds, *shape), dtype=np.float32)

        def fill(task: int) -> None:
            self.generator(task).standard_normal(out=draws[task], dtype=np.float32)

        _fill_each(fill, self.tasks, draws.size)
        return torch.from_numpy(draws)

    def uniform(self, *shape: int) -> Tensor:
        """Numbers uniform in [0, 1), float64. `[task, world, *shape]`."""
        draws = np.empty((self.tasks, self.worlds, *shape))

        def fill(task: int) -> None:
            self.generator(task).random(out=draws[task])

        _fill_each(fill, self.tasks, draws.size)
        return torch.from_numpy(draws)

    def torch_generator(self) -> torch.Generator:
        """A torch generator for work that is not split by task, such as sampling from a replay buffer."""
        seed = int(self.generator().integers(0, 2**62))
        return torch.Generator().manual_seed(seed)


@cache
def _threads() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(thread_name_prefix="noise")


if hasattr(os, "register_at_fork"):  # a child has no threads, only the object that says so
    os.register_at_fork(after_in_child=_threads.cache_clear)


def _fill_each(fill: Callable[[int], None], tasks: int, numbers: int) -> None:
    """Fills every task's part of a draw, on threads where it is large: numpy draws without holding the interpreter."""
    if tasks > 1 and numbers >= MIN_THREADED:
        list(_threads().map(fill, range(tasks)))
    else:
        for task in range(tasks):
            fill(task)
