"""The protocol of collectors: a batch in, a finished trial out, the same bytes whoever computes it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol

from safetensors import torch as safetensors

from robometa import registry
from robometa.compute.hardware import Hardware
from robometa.data import Trial
from robometa.errors import UserError
from robometa.learners.protocol import Learner
from robometa.nn.state import TRAINING
from robometa.sim.engine import Divergence
from robometa.suites.suite import Suite
from robometa.suites.task import Task
from robometa.trials import make
from robometa.trials.collectors.shared_rollouts import Shape
from robometa.trials.pieces import Batch, Piece, PieceRunner, cut


@dataclass(frozen=True)
class Job:
    """All that a process needs to compute pieces of a training's batches, but for the learner's present state."""

    suite: Suite
    learner: str
    """Name, or `FILE.py:CLASS` with an absolute path."""
    learner_sha256: str | None
    """Hash of the learner's file; None for a shipped learner."""
    config: Any
    """Options of the learner."""
    seed: int
    hardware: Hardware
    tasks: tuple[Task, ...]
    """Tasks that the run trains on."""
    piece: int | None
    """Tasks of a piece; None for a run from before there were pieces, with whole batches."""

    def pieces(self) -> list[Piece]:
        """Cuts the run's batches."""
        return cut(self.config.tasks, self.piece or self.config.tasks)

    def built(self) -> Learner:
        """Builds the learner, untrained.

        Raises:
            UserError: If its file is no longer that of the run.
        """
        learner = make.build(self.learner, self.config, self.suite, self.seed, self.hardware.device)
        if registry.of(self.learner, learner).fingerprint() != self.learner_sha256:
            raise UserError(f"{self.learner} has changed since the training began: start it anew")
        return learner

    def runner(self, learner: Learner, hardware: Hardware) -> PieceRunner:
        """Makes a runner of pieces for a learner."""

        def engine(tasks: int) -> Any:
            return make.engine_for(learner, self.suite, tasks, self.config.worlds, hardware, training=True)

        return PieceRunner(learner, self.tasks, engine, one_thread=self.piece is not None)


class Collector(Protocol):
    """Computes the trials of a training's batches."""

    on_divergence: Callable[[Divergence], None] | None
    """Called with worlds that blow up."""

    def collect(self, batch: Batch) -> Trial:
        """Computes a batch with the learner as it is now."""

    def processor_seconds(self) -> float:
        """Processor time that other processes have spent on it so far, s."""

    def remarks(self) -> Sequence[str]:
        """Returns what the user should know of it, each remark once."""

    def close(self) -> None:
        """Frees engines and processes; the collector is of no further use."""


def policy_state(learner: Learner) -> bytes:
    """Returns the policy's part of the learner's state, as safetensors."""
    state = {name: value for name, value in learner.state_dict().items() if not name.startswith(TRAINING)}
    return safetensors.save({name: value.contiguous().clone() for name, value in state.items()})


def checked_shape(job: Job, learner: Learner, collect: str) -> Shape:
    """Returns the sizes of a batch's rollouts for processes that compute on a CPU.

    Raises:
        UserError: If the learner or the simulator is on a GPU, or the simulator cannot be made.
    """
    if job.hardware.device != "cpu" or job.hardware.engine != "cpu":
        raise UserError(f"--collect {collect} needs --device cpu and --engine cpu: a GPU computes a batch at once")
    config, hardware = job.config, replace(job.hardware, threads=1)
    engine = make.engine_for(learner, job.suite, config.tasks, config.worlds, hardware, training=True)
    engine.close()
    spaces = engine.spaces
    return Shape(config.shots + 1, config.tasks, config.worlds, job.suite.horizon, spaces.observation, spaces.action)
