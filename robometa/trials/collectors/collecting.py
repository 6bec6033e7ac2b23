"""The work of processes that collect: pieces of a training's batches."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import NamedTuple

from safetensors import torch as safetensors

from robometa.registry.options import read_config
from robometa.sim.engine import Divergence
from robometa.trials.collectors.collector import Job
from robometa.trials.collectors.shared_rollouts import Shape, SharedRollouts
from robometa.trials.pieces import Batch, Piece
from robometa.trials.workers.shared_memory import SharedBytes

MAX_DIVERGENCES = 5
"""Divergences of an order that are reported: a run keeps no more dumps."""


class Order(NamedTuple):
    """Pieces of a training's batch to compute."""

    state_bytes: int
    """Length of the policy's part of the learner's state, as safetensors in the shared memory."""
    batch: Batch
    pieces: tuple[Piece, ...]


class Collected(NamedTuple):
    """The end of such an order; its rollouts are in the shared memory."""

    divergences: tuple[Divergence, ...]
    apart: bool
    """The pieces are computed one by one, because together they would give other bytes."""


@dataclass(frozen=True)
class Collecting:
    """A training's job, and the memory that states and rollouts are in."""

    job: Job
    """Its options are a table, from which a worker makes them again."""
    shape: Shape
    states: int
    state_capacity: int
    rollouts: int

    @property
    def descriptors(self) -> tuple[int, ...]:
        """Memory of states and rollouts."""
        return self.states, self.rollouts

    def begun(self) -> Callable[[Order], Collected]:
        """Builds the learner, and returns the function that computes pieces."""
        job = replace(self.job, config=read_config(self.job.learner, self.job.config))
        states, rollouts = SharedBytes(self.state_capacity, self.states), SharedRollouts(self.shape, self.rollouts)
        learner = job.built()
        runner = job.runner(learner, replace(job.hardware, threads=1))
        divergences: list[Divergence] = []
        runner.on_divergence = lambda one: divergences.append(one) if len(divergences) < MAX_DIVERGENCES else None

        def collected(order: Order) -> Collected:
            divergences.clear()
            learner.load_state_dict(safetensors.load(states.read(order.state_bytes)))
            computed = runner.run(order.batch, order.pieces)
            rollouts.write(Piece(order.pieces[0].first, sum(piece.tasks for piece in order.pieces)), computed)
            return Collected(tuple(divergences), runner.apart())

        return collected
