"""Messages between a training and its worker processes."""

from __future__ import annotations

from typing import NamedTuple

from robometa.sim.engine import Divergence
from robometa.trials.pieces import Batch, Piece


class Order(NamedTuple):
    """Pieces to compute."""

    state_bytes: int
    """Length of the policy's part of the learner's state, as safetensors in the shared memory."""
    batch: Batch
    pieces: tuple[Piece, ...]


class Ready(NamedTuple):
    """A process has built its learner, and computes from now on."""


class Answer(NamedTuple):
    """The end of an order, whose rollouts are in the shared memory."""

    divergences: tuple[Divergence, ...]
    processor_seconds: float
    """Processor time that this process has spent since it began, s."""
    apart: bool
    """The pieces are computed one by one, because together they would give other bytes."""


class Failed(NamedTuple):
    """An error that would come again whoever computes the pieces."""

    error: bytes
    """The pickled exception."""


class Descriptors(NamedTuple):
    """Arguments of the process: what it shares with its parent."""

    connection: int
    lifeline: int
    job: int
    job_bytes: int
    state: int
    state_capacity: int
    rollouts: int
