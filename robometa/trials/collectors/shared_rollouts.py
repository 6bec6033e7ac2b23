"""A batch's rollouts in memory that several processes share."""

from __future__ import annotations

import math
import mmap
import os
from collections.abc import Sequence
from dataclasses import dataclass, fields

import numpy as np
import torch

from robometa.data import Rollout
from robometa.trials.pieces import Piece
from robometa.trials.workers.shared_memory import anonymous

FLAGS = ("terminated", "truncated", "success", "diverged")
"""Fields of a rollout that are bool; the others are float32."""
ALIGNMENT = 64
"""Bytes that each array's place is a multiple of."""


@dataclass(frozen=True)
class Shape:
    """Sizes of a batch's rollouts."""

    rollouts: int
    tasks: int
    worlds: int
    horizon: int
    observation: int
    action: int

    def of(self, name: str) -> tuple[int, ...]:
        """Returns the shape of a rollout's field. `[task, world, time, ...]`."""
        last = {"obs": (self.observation,), "next_obs": (self.observation,), "action": (self.action,)}
        return (self.tasks, self.worlds, self.horizon, *last.get(name, ()))

    def layout(self) -> list[tuple[str, int, np.dtype, int]]:
        """Returns name, place, type and bytes of every field of every rollout, one after the other."""
        arrays, place = [], 0
        for _ in range(self.rollouts):
            for field in fields(Rollout):
                dtype = np.dtype(np.bool_ if field.name in FLAGS else np.float32)
                size = -(-math.prod(self.of(field.name)) * dtype.itemsize // ALIGNMENT) * ALIGNMENT
                arrays.append((field.name, place, dtype, size))
                place += size
        return arrays

    def bytes(self) -> int:
        """Returns the size of all rollouts."""
        _, place, _, size = self.layout()[-1]
        return place + size


class SharedRollouts:
    """Arrays of every field of every rollout of a batch, in shared memory."""

    def __init__(self, shape: Shape, descriptor: int | None = None) -> None:
        """Makes the memory, or maps that of a descriptor which another process has passed on."""
        size = shape.bytes()
        self.descriptor = anonymous(size) if descriptor is None else descriptor
        self._memory = mmap.mmap(self.descriptor, size)
        self._rollouts: list[dict[str, np.ndarray]] = [{} for _ in range(shape.rollouts)]
        for index, (name, place, dtype, _) in enumerate(shape.layout()):
            array = np.frombuffer(self._memory, dtype, math.prod(shape.of(name)), place).reshape(shape.of(name))
            self._rollouts[index // len(fields(Rollout))][name] = array

    def write(self, piece: Piece, rollouts: Sequence[Rollout]) -> None:
        """Writes the rollouts of some tasks."""
        for arrays, rollout in zip(self._rollouts, rollouts, strict=True):
            for name, array in arrays.items():
                array[piece.first : piece.first + piece.tasks] = vars(rollout)[name].numpy()

    def copied(self) -> tuple[Rollout, ...]:
        """Copies all rollouts out: a learner may keep them, and the next batch overwrites the memory."""
        return tuple(
            Rollout(**{name: torch.from_numpy(array.copy()) for name, array in arrays.items()})
            for arrays in self._rollouts
        )

    def close(self) -> None:
        """Frees the memory."""
        self._rollouts.clear()  # arrays that lie in it
        self._memory.close()
        os.close(self.descriptor)
