"""The groups of an engine's worlds: worlds of one task name that share a model and are stepped by one thread."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
from numpy.typing import NDArray

from robometa.sim.metaworld.group import Group
from robometa.sim.metaworld.rewards import MANIPULATIONS
from robometa.sim.metaworld.upstream import Start, template
from robometa.sim.metaworld.upstream_rewards import Fallback
from robometa.suites.task import Task

Array = NDArray[Any]

MIN_CHUNK_WORLDS, MAX_CHUNKS = 16, 4
"""Smallest chunk of a task name's worlds, and the largest number of chunks."""


class Groups:
    """Keeps the groups that were made, by task name, and reuses them when other tasks are assigned."""

    def __init__(self, reward: str, pool: ThreadPoolExecutor | None) -> None:
        """Begins without groups.

        Args:
            reward: Version of the reward functions.
            pool: Threads that load models side by side; none if None.
        """
        self._reward, self._pool = reward, pool
        self.by_name: dict[str, list[Group]] = {}
        """Groups by task name, in use or not."""

    def hold(self, tasks: Sequence[Task], worlds: int) -> list[Group]:
        """Distributes the worlds of tasks over groups.

        Args:
            tasks: Tasks of the batch.
            worlds: Worlds of each task.

        Returns:
            The groups that have worlds, the largest first, because threads take them in this order.
        """
        names = np.repeat([task.objective for task in tasks], worlds)
        distinct = list(dict.fromkeys(names.tolist()))
        self._load(distinct)
        chunks = [
            (name, place, chunk) for name in distinct for place, chunk in enumerate(cut(np.flatnonzero(names == name)))
        ]
        used = [self._group(name, place) for name, place, _ in chunks]
        for group in set(self._all()) - set(used):
            group.hold([], np.empty(0, dtype=np.int64))
        for group, (name, place, chunk) in zip(used, chunks, strict=True):
            starts = [self._start(name, tasks[world // worlds]) for world in chunk]
            first = self.by_name[name][0]
            alike = place > 0 and all(start is first.starts[0] for start in (*first.starts, *starts))
            group.hold(starts, chunk, lender=first if alike else None)
        if sum(group.simulations for group in self._all()) > 2 * len(names):
            for group in self._all():
                group.drop_spares()
        return sorted(used, key=lambda group: -len(group.worlds))

    def _all(self) -> Iterable[Group]:
        return itertools.chain(*self.by_name.values())

    def _load(self, names: Sequence[str]) -> None:
        """Loads the models of these tasks; MuJoCo compiles them side by side."""
        if self._pool is not None:
            list(self._pool.map(lambda name: template(name, self._reward), names))

    def _group(self, name: str, place: int) -> Group:
        """The group that holds the task name's n-th chunk of worlds."""
        groups = self.by_name.setdefault(name, [])
        if place == len(groups):
            loaded = template(name, self._reward)
            ours = self._reward == "v2" and name in MANIPULATIONS
            groups.append(Group(loaded, MANIPULATIONS[name].contacts) if ours else Fallback(loaded))
        return groups[place]

    def _start(self, name: str, task: Task) -> Start:
        """The beginning of a task's episodes."""
        remembers = MANIPULATIONS[name].remembers if self._reward == "v2" and name in MANIPULATIONS else {}
        return template(name, self._reward).start(dict(task.parameters)["goal"], dict(remembers))


def cut(worlds: Array) -> list[Array]:
    """Cuts the worlds of a task name into chunks, which do not depend on the number of threads.

    Every chunk has a separate model, 20 MiB, so there are few.
    """
    count = max(1, min(MAX_CHUNKS, len(worlds) // MIN_CHUNK_WORLDS))
    return np.array_split(worlds, count)
