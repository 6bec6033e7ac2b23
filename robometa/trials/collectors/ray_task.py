"""The task that a cluster computes: pieces of a batch, on any machine that computes the driver's numbers."""

from __future__ import annotations

import hashlib
import time
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
import torch
from safetensors import torch as safetensors

from robometa.compute import parallel
from robometa.learners.protocol import Learner
from robometa.noise import Noise
from robometa.registry import user_objective
from robometa.sim.engine import Divergence
from robometa.storage.versions import versions
from robometa.trials.collectors.collecting import MAX_DIVERGENCES
from robometa.trials.collectors.collector import Job
from robometa.trials.pieces import Batch, Piece, PieceRunner


class Probe(NamedTuple):
    """Numbers of a machine, and what they depend on."""

    digest: str
    """SHA-256 of an untrained learner's trial."""
    facts: dict[str, str]
    """Versions of packages, and the processor's instructions."""


@dataclass(frozen=True)
class Request:
    """Pieces to compute."""

    job: str
    """Name of the job, under which a process keeps its learner and engines."""
    state: str
    """Name of the learner's state."""
    digest: str
    """Digest of the driver's probe."""
    batch: Batch
    pieces: tuple[Piece, ...]


@dataclass(frozen=True)
class Computed:
    """Rollouts of the pieces."""

    rollouts: tuple[dict[str, np.ndarray], ...]
    """Arrays of each shot's rollout by field."""
    divergences: tuple[Divergence, ...]
    processor_seconds: float
    """Processor time of the pieces, s."""
    apart: bool
    """The pieces are computed one by one, because together they would give other bytes."""


@dataclass(frozen=True)
class Refused:
    """The probe of a machine that computes other numbers than the driver's."""

    node: str
    """Ray's name of the machine."""
    address: str
    facts: dict[str, str]


class _Kept:
    """Learner and engines of a job, kept in the process between tasks."""

    current: _Kept | None = None

    def __init__(self, name: str, job: Job) -> None:
        """Builds the learner and probes this machine."""
        parallel.use_threads(1)
        torch.set_num_threads(1)
        self.name, self.state = name, ""
        user_objective.inherit()
        self.learner = job.built()
        self.probe = probe(job, self.learner)
        self.runner = job.runner(self.learner, replace(job.hardware, threads=1))


def compute(job: Job, state: bytes, asked: Request) -> Computed | Refused:
    """Computes pieces, unless this machine computes other numbers than the driver's.

    Args:
        job: The training.
        state: The policy's part of the learner's state, as safetensors.
        asked: The pieces, and the names of the two before.
    """
    started = time.process_time()
    kept = _Kept.current
    if kept is None or kept.name != asked.job:
        if kept is not None:
            kept.runner.close()
        kept = _Kept.current = _Kept(asked.job, job)
    if kept.probe.digest != asked.digest:
        return Refused(*place(), kept.probe.facts)
    if kept.state != asked.state:
        kept.learner.load_state_dict(safetensors.load(state))
        kept.state = asked.state
    divergences: list[Divergence] = []
    kept.runner.on_divergence = lambda one: divergences.append(one) if len(divergences) < MAX_DIVERGENCES else None
    rollouts = tuple(
        {name: value.numpy() for name, value in vars(rollout).items()}
        for rollout in kept.runner.run(asked.batch, asked.pieces)
    )
    return Computed(rollouts, tuple(divergences), time.process_time() - started, kept.runner.apart())


def probe(job: Job, learner: Learner) -> Probe:
    """Computes the trial of an untrained learner on the first piece, and its digest."""
    runner: PieceRunner = job.runner(learner, replace(job.hardware, threads=1))
    tasks, worlds = job.config.tasks, job.config.worlds
    indices = tuple(index % len(job.tasks) for index in range(tasks))
    rollouts = runner.run(Batch(indices, 1, Noise(0, ("probe",), tasks, worlds)), job.pieces()[:1])
    runner.close()
    digest = hashlib.sha256()
    for rollout in rollouts:
        for value in vars(rollout).values():
            digest.update(value.contiguous().numpy().tobytes())
    return Probe(digest.hexdigest(), versions() | {"instructions": torch.backends.cpu.get_cpu_capability()})


def place() -> tuple[str, str]:
    """Returns Ray's name of this machine, and its address."""
    import ray

    return ray.get_runtime_context().get_node_id(), ray.util.get_node_ip_address()
