"""Pieces of a batch: consecutive tasks, computed together and cut the same on every machine.

The last bits of a product of matrices depend on how many rows it has. So a batch is cut into pieces by the run's
configuration alone, and a trial's bytes are defined as those that its piece gives when it is computed by itself, with
torch on one thread. Whoever computes several pieces at once has to show first that this gives the same bytes.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, replace
from typing import NamedTuple

import torch
from torch import Tensor

from robometa.data import Rollout, Trial
from robometa.errors import UserError
from robometa.learners.protocol import Learner
from robometa.noise import Noise
from robometa.sim.engine import Divergence, Engine
from robometa.suites.task import Task
from robometa.trials.trial import run_trial, torch_on

MAX_TASKS = 1_000_000
"""Most tasks of an iteration; no engine steps more worlds."""
MIN_ROWS = 8
"""Least number of worlds of a piece by default. Far fewer cost more in calls than in physics."""
ROWS_MULTIPLE = 4
"""The worlds of a piece are a multiple of this by default; other numbers change the last bits of a network's output
when pieces are put side by side."""

APART = "pieces side by side give other last bits with this learner here, so each is computed by itself"
"""Remark of a collector that computes pieces one by one."""


class Piece(NamedTuple):
    """Consecutive tasks of a batch."""

    first: int
    tasks: int


@dataclass(frozen=True)
class Batch:
    """The trials of an iteration, before they are collected."""

    indices: tuple[int, ...]
    """Index of each task among those that the run trains on. `[task]`"""
    shots: int
    """Adaptations."""
    noise: Noise
    """Source of all random numbers, for all tasks of the batch."""

    def part(self, first: int, tasks: int) -> Batch:
        """Returns the batch of consecutive tasks of this one."""
        return replace(self, indices=self.indices[first : first + tasks], noise=self.noise.part(first, tasks))

    def trial(self, rollouts: Sequence[Rollout]) -> Trial:
        """Returns the trial of its collected rollouts."""
        return Trial(torch.tensor(self.indices), tuple(rollouts), self.noise.fork("update"))


def default_size(tasks: int, worlds: int) -> int:
    """Returns the number of tasks of a piece, for a batch of `tasks` tasks with `worlds` worlds each."""
    size = next(
        size for size in range(1, MIN_ROWS + 1) if size * worlds >= MIN_ROWS and size * worlds % ROWS_MULTIPLE == 0
    )
    return min(size, tasks)


def cut(tasks: int, size: int) -> list[Piece]:
    """Cuts a batch into pieces of `size` tasks; a smaller rest joins the last one.

    Raises:
        UserError: If the size is not from 1 to the number of tasks, or these are more than any engine steps.
    """
    if tasks > MAX_TASKS:
        raise UserError(f"an iteration has at most {MAX_TASKS:,} tasks, not {tasks}")
    if not 1 <= size <= tasks:
        raise UserError(f"piece must be from 1 to the {tasks} tasks of an iteration, not {size}")
    count = tasks // size
    return [Piece(index * size, size if index < count - 1 else tasks - index * size) for index in range(count)]


def grouped(pieces: Sequence[Piece], groups: int) -> list[list[Piece]]:
    """Splits pieces into groups of neighbours, with nearly equal numbers of pieces; at most `groups`."""
    groups = min(groups, len(pieces))
    edges = [len(pieces) * group // groups for group in range(groups + 1)]
    return [list(pieces[low:high]) for low, high in zip(edges, edges[1:], strict=False)]


def joined(parts: Sequence[Sequence[Rollout]]) -> tuple[Rollout, ...]:
    """Joins the rollouts of neighbouring parts of a batch along the axis of tasks."""
    if len(parts) == 1:
        return tuple(parts[0])
    return tuple(
        Rollout(**{name: torch.cat([vars(rollout)[name] for rollout in rollouts]) for name in vars(rollouts[0])})
        for rollouts in zip(*parts, strict=True)
    )


def same_bytes(some: Sequence[Rollout], others: Sequence[Rollout]) -> bool:
    """Compares rollouts byte by byte; a NaN equals itself."""
    return all(
        _bytes(value) == _bytes(vars(other)[name])
        for one, other in zip(some, others, strict=True)
        for name, value in vars(one).items()
    )


def _bytes(tensor: Tensor) -> bytes:
    return tensor.contiguous().numpy().tobytes()


class PieceRunner:
    """Computes pieces of a batch on this process's engines.

    Neighbouring pieces are stepped together, since many worlds share the cost of a step's calls. The first time that
    it meets such a group, it computes the pieces one by one too. If the bytes differ, it does so from then on.
    """

    def __init__(
        self, learner: Learner, tasks: Sequence[Task], engine: Callable[[int], Engine], *, one_thread: bool
    ) -> None:
        """Makes no engine yet.

        Args:
            learner: Acts and adapts; it is not changed.
            tasks: Tasks that the run trains on.
            engine: Makes an engine for a number of tasks.
            one_thread: Compute the whole trial with torch on one thread, also the adaptation.
        """
        self.learner, self._tasks, self._make, self._one_thread = learner, tasks, engine, one_thread
        self._engines: dict[int, Engine] = {}
        self._together: dict[tuple[int, ...], bool] = {}
        self.on_divergence: Callable[[Divergence], None] | None = None
        """Called with worlds that blow up."""

    def run(self, batch: Batch, pieces: Sequence[Piece]) -> tuple[Rollout, ...]:
        """Computes the trials of neighbouring pieces and returns their rollouts, one for each shot."""
        with torch_on(1) if self._one_thread else nullcontext():
            sizes = tuple(piece.tasks for piece in pieces)
            if len(sizes) == 1 or self._together.get(sizes):
                return self._collect(batch, _span(pieces), self.on_divergence)
            rollouts = joined([self._collect(batch, piece, self.on_divergence) for piece in pieces])
            if sizes not in self._together:
                self._together[sizes] = same_bytes(rollouts, self._collect(batch, _span(pieces), None))
                self._close_all_but(self._sizes())
            return rollouts

    def prepare(self, pieces: Sequence[Piece]) -> None:
        """Makes the engine for neighbouring pieces.

        Raises:
            UserError: If it cannot be made.
        """
        self._engine(_span(pieces).tasks)

    def apart(self) -> bool:
        """Returns True if a group's bytes differ from those of its pieces, so that each is computed by itself."""
        return not all(self._together.values())

    def close(self) -> None:
        """Closes the engines."""
        self._close_all_but(set())

    def _collect(
        self, batch: Batch, piece: Piece, on_divergence: Callable[[Divergence], None] | None
    ) -> tuple[Rollout, ...]:
        """Computes the trials of consecutive tasks as one batch."""
        part, engine = batch.part(*piece), self._engine(piece.tasks)
        engine.on_divergence = on_divergence
        return run_trial(engine, self.learner, self._tasks, part.indices, part.shots, part.noise).rollouts

    def _engine(self, tasks: int) -> Engine:
        """Returns the engine for a number of tasks, made on first use."""
        if tasks not in self._engines:
            self._engines[tasks] = self._make(tasks)
        return self._engines[tasks]

    def _sizes(self) -> set[int]:
        """Returns the numbers of tasks that the known groups are computed in."""
        alone = {size for sizes, together in self._together.items() if not together for size in sizes}
        return alone | {sum(sizes) for sizes, together in self._together.items() if together}

    def _close_all_but(self, sizes: set[int]) -> None:
        """Closes the engines for other numbers of tasks than these."""
        for size in self._engines.keys() - sizes:
            self._engines.pop(size).close()


def _span(pieces: Sequence[Piece]) -> Piece:
    """Returns neighbouring pieces as one."""
    return Piece(pieces[0].first, sum(piece.tasks for piece in pieces))
