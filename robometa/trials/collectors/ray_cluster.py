"""Collection by a Ray cluster: stateless tasks, which go to another machine when theirs is lost."""

from __future__ import annotations

import math
import secrets
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np
import torch

from robometa.compute import parallel
from robometa.data import Rollout, Trial
from robometa.errors import TrainingError, UserError
from robometa.learners.protocol import Learner
from robometa.sim.engine import Divergence
from robometa.trials import make
from robometa.trials.collectors import ray_task
from robometa.trials.collectors.collector import Job, Patience, policy_state, require_cpu
from robometa.trials.collectors.ray_session import Session
from robometa.trials.collectors.shared_memory import Shape
from robometa.trials.pieces import APART, Batch, Piece, grouped
from robometa.trials.trial import torch_on

MAX_LOSSES = 3
"""Times that the same pieces may be lost with a process or a machine, or wait for one that hangs."""


@dataclass
class _Pending:
    """Pieces that the cluster has not answered yet."""

    place: int
    """Place of the group among those of the batch."""
    group: tuple[Piece, ...]
    since: float
    lost: int = 0


class RayCluster:
    """Computes the pieces of a batch by tasks of a Ray cluster."""

    def __init__(self, job: Job, learner: Learner, address: str | None) -> None:
        """Starts a cluster of this machine, or connects to a running one.

        Args:
            job: The training.
            learner: The learner, whose state each batch is computed with.
            address: As `Session`'s.

        Raises:
            UserError: If the learner or the simulator is on a GPU, the simulator cannot be made, or Ray cannot be used.
        """
        require_cpu(job, "ray")
        config, spaces = job.config, make.spaces_of(job.suite, learner)
        make.engine_for(learner, job.suite, config.tasks, config.worlds, replace(job.hardware, threads=1)).close()
        shape = Shape(config.shots + 1, config.tasks, config.worlds, job.suite.horizon, spaces.observation, spaces.action)
        self._learner, self._pieces = learner, job.pieces()
        self._name = secrets.token_hex(16)
        with torch_on(1), parallel.on_threads(1):
            self._probe = ray_task.probe(job, job.built())
        self._session = Session(address, shape.bytes())
        self._ray = self._session.ray
        self._job = self._ray.put(job)
        self._compute = self._ray.remote(num_cpus=1, max_retries=MAX_LOSSES)(ray_task.compute)
        self._refused: set[str] = set()
        self._patience = Patience()
        self._spent, self._remarks, self._apart, self._batches = 0.0, list[str](), False, 0
        self.on_divergence: Callable[[Divergence], None] | None = None
        """Called with worlds that blow up."""

    def collect(self, batch: Batch) -> Trial:
        """Computes a batch with the learner as it is now.

        Raises:
            TrainingError: If tasks are lost again and again, or no machine computes the driver's numbers.
        """
        self._batches += 1
        state = self._ray.put(policy_state(self._learner))
        groups = grouped(self._pieces, self._processors())
        done: dict[int, ray_task.Computed] = {}
        pending = {
            self._submit(batch, state, group): _Pending(place, tuple(group), time.monotonic())
            for place, group in enumerate(groups)
        }
        while len(done) < len(groups):
            ready, _ = self._ray.wait([*pending], timeout=self._wait(pending))
            for ref in ready or self._late(pending):
                one = pending.pop(ref)
                answer = self._answer(ref) if ready else None
                if isinstance(answer, ray_task.Computed):
                    done.setdefault(one.place, answer)
                    self._note(answer, time.monotonic() - one.since)
                    pending = self._without(pending, one.place)
                    continue
                if isinstance(answer, ray_task.Refused):
                    self._refuse(answer)
                else:
                    one.lost += 1
                    self._require_hope(one)
                    if not ready:
                        self._ray.cancel(ref, force=True)
                one.since = time.monotonic()
                pending[self._submit(batch, state, one.group)] = one
        return batch.trial(_joined([done[place].rollouts for place in range(len(groups))]))
