"""Replay: what happened on each task, to learn from again."""

from __future__ import annotations

import torch
from torch import Tensor


class TaskReplay:
    """A ring buffer of transitions for each task, made when the task first shows up."""

    def __init__(self, capacity: int, width: int, device: torch.device | str = "cpu") -> None:
        """Buffers of `capacity` transitions of `width` numbers each."""
        self.capacity, self.width, self.device = capacity, width, torch.device(device)
        self.rings: dict[int, Tensor] = {}
        self.added: dict[int, int] = {}

    def add(self, task: int, transitions: Tensor) -> None:
        """Adds transitions of one task, over the oldest where the ring is full. `[n, width]`"""
        if task not in self.rings:
            self.rings[task] = torch.empty(self.capacity, self.width, device=self.device)
            self.added[task] = 0
        transitions = transitions[-self.capacity :]
        places = (self.added[task] + torch.arange(len(transitions), device=self.device)) % self.capacity
        self.rings[task][places] = transitions
        self.added[task] += len(transitions)

    def clear(self, task: int) -> None:
        """Forgets what happened on one task."""
        self.added[task] = 0

    def tasks(self) -> list[int]:
        """The tasks that have something to learn from."""
        return sorted(task for task, added in self.added.items() if added)

    def sample(self, tasks: list[int], count: int, generator: torch.Generator) -> Tensor:
        """Transitions drawn with replacement. `[task, count, width]`"""
        drawn = []
        for task in tasks:
            filled = min(self.added[task], self.capacity)
            places = torch.randint(filled, (count,), generator=generator)
            drawn.append(self.rings[task][places.to(self.device)])
        return torch.stack(drawn)

    def state(self) -> dict[str, Tensor]:
        """The filled part of every ring, and how much was added to each."""
        rings = {f"ring/{task}": ring[: self.added[task]] for task, ring in self.rings.items()}
        added = {f"added/{task}": torch.tensor(added) for task, added in self.added.items()}
        return rings | added

    def load(self, state: dict[str, Tensor]) -> None:
        """Takes back what `state` gave."""
        self.rings, self.added = {}, {}
        for name, added in state.items():
            kind, task = name.split("/")
            if kind == "added":
                ring = torch.empty(self.capacity, self.width, device=self.device)
                ring[: len(state[f"ring/{task}"])] = state[f"ring/{task}"]
                self.rings[int(task)], self.added[int(task)] = ring, int(added)
