"""Collection by a Ray cluster: stateless tasks, which go to another machine when theirs is lost."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from robometa.data import Rollout, Trial
from robometa.errors import TrainingError, UserError
from robometa.learners.protocol import Learner
from robometa.sim.engine import Divergence
from robometa.trials.collectors import ray_task
from robometa.trials.collectors.collector import Job, checked_shape, policy_state
from robometa.trials.collectors.ray_session import Session, apart_from, result_of
from robometa.trials.collectors.ray_task import Computed, Refused, Request
from robometa.trials.pieces import APART, Batch, Piece, grouped
from robometa.trials.trial import torch_on
from robometa.trials.workers import patience
from robometa.trials.workers.patience import Patience


@dataclass
class _Pending:
    """Neighbouring pieces that the cluster has not answered yet."""

    pieces: tuple[Piece, ...]
    since: float
    losses: int = 0


class RayCluster:
    """Computes the pieces of a batch by tasks of a Ray cluster."""

    def __init__(self, job: Job, learner: Learner, address: str | None) -> None:
        """Starts a cluster of this machine, or connects to a running one.

        Args:
            job: The training.
            learner: The learner; each batch is computed with its present state.
            address: As `Session`'s.

        Raises:
            UserError: If the learner or the simulator is on a GPU, the simulator cannot be made, or Ray cannot be used.
        """
        shape = checked_shape(job, learner, "ray")
        self._learner, self._pieces = learner, job.pieces()
        self._name, self._batches = secrets.token_hex(16), 0
        with torch_on(1):
            self._probe = ray_task.probe(job, job.built())
        self._session = Session(address, shape.bytes())
        self._ray = self._session.ray
        self._job = self._ray.put(job)
        self._compute = self._ray.remote(num_cpus=1, max_retries=patience.MAX_LOSSES)(ray_task.compute)
        self._refused: set[str] = set()
        self._patience = Patience()
        self._spent, self._apart = 0.0, False
        self._remarks: list[str] = []
        self.on_divergence: Callable[[Divergence], None] | None = None
        """Called with worlds that blow up."""

    def collect(self, batch: Batch) -> Trial:
        """Computes a batch with the learner as it is now.

        Raises:
            UserError: If no machine of the cluster computes the driver's numbers.
            TrainingError: If the same pieces are lost again and again.
            Exception: The error that the learner met.
        """
        self._batches += 1
        state = self._ray.put(policy_state(self._learner))
        groups = [tuple(group) for group in grouped(self._pieces, self._processors())]
        pending = {self._submit(batch, state, group): _Pending(group, time.monotonic()) for group in groups}
        done: dict[tuple[Piece, ...], Computed] = {}
        while pending:
            ready, _ = self._ray.wait([*pending], timeout=self._left(pending))
            for task in ready or self._late(pending):
                one = pending.pop(task)
                answer = self._answer(task) if ready else self._hung(task)
                if isinstance(answer, Computed):
                    done[one.pieces] = answer
                    self._note(answer, time.monotonic() - one.since)
                    continue
                if isinstance(answer, Refused):
                    self._refuse(answer)
                else:
                    self._count(one, answer)
                one.since = time.monotonic()
                pending[self._submit(batch, state, one.pieces)] = one
        return batch.trial(_joined([done[group].rollouts for group in groups]))

    def processor_seconds(self) -> float:
        """Processor time that the cluster has spent on it so far, s."""
        return self._spent

    def remarks(self) -> list[str]:
        """Returns what happened since the last call."""
        remarks, self._remarks = self._remarks, []
        return remarks

    def close(self) -> None:
        """Ends the connection, and the cluster if it is of this training."""
        self._session.close()

    def _processors(self) -> int:
        """Returns the number of processors of the machines that are not refused.

        Raises:
            UserError: If there is none.
        """
        alive = [node for node in self._ray.nodes() if node["Alive"] and node["NodeID"] not in self._refused]
        count = int(sum(node["Resources"].get("CPU", 0) for node in alive))
        if not count:
            why = "; ".join(self._remarks) or "none is there"
            raise UserError(f"the cluster has no processor to collect with: {why}. --collect here needs no cluster")
        return count

    def _submit(self, batch: Batch, state: Any, pieces: tuple[Piece, ...]) -> Any:
        """Hands pieces to the cluster, outside of the machines that are refused."""
        begin, end = pieces[0].first, pieces[-1].first + pieces[-1].tasks
        part = batch.part(begin, end - begin)
        own = tuple(Piece(piece.first - begin, piece.tasks) for piece in pieces)
        asked = Request(self._name, f"{self._name}-{self._batches}", self._probe.digest, part, own)
        where = apart_from(self._refused)
        return self._compute.options(label_selector=where).remote(self._job, state, asked)

    def _answer(self, task: Any) -> Computed | Refused | str:
        """Returns what a task gave, or how it was lost.

        Raises:
            Exception: The error that the learner met, which would come again.
        """
        try:
            answer: Computed | Refused = result_of(self._ray, task)
        except self._ray.exceptions.RayError as error:
            return type(error).__name__
        return answer

    def _hung(self, task: Any) -> str:
        """Gives a task up; returns how it was lost."""
        self._ray.cancel(task, force=True)
        return f"no answer for {self._patience.limit():.0f} s"

    def _count(self, one: _Pending, why: str) -> None:
        """Counts a loss of pieces.

        Raises:
            TrainingError: If there are too many.
        """
        one.losses += 1
        if one.losses > patience.MAX_LOSSES:
            raise TrainingError(
                f"the same tasks were lost {one.losses} times in the cluster; the last time: {why}. Are there memory "
                "and processors enough? --collect here needs the least"
            )
        self._remarks.append(f"tasks were lost in the cluster ({why}): it does them again")

    def _refuse(self, answer: Refused) -> None:
        """Keeps further tasks off a machine that computes other numbers than the driver.

        Raises:
            UserError: If no other machine is left.
        """
        if answer.node in self._refused:
            return
        self._refused.add(answer.node)
        known = self._probe.facts
        differ = [f"{name} {there}, here {known[name]}" for name, there in answer.facts.items() if there != known[name]]
        why = ", ".join(differ) or "with the same versions, so its processor is of another kind"
        self._remarks.append(
            f"machine {answer.address} is refused, because a probe gives other numbers there than here: {why}"
        )
        self._processors()

    def _note(self, answer: Computed, seconds: float) -> None:
        """Takes in what a task says beside its rollouts."""
        self._patience.note(seconds)
        self._spent += answer.processor_seconds
        if answer.apart and not self._apart:
            self._apart = True
            self._remarks.append(APART)
        if self.on_divergence is not None:
            for divergence in answer.divergences:
                self.on_divergence(divergence)

    def _left(self, pending: dict[Any, _Pending]) -> float:
        """Returns the time until the first of the tasks must have answered, s."""
        first = min(one.since for one in pending.values())
        return max(0.0, first + self._patience.limit() - time.monotonic()) + 0.01

    def _late(self, pending: dict[Any, _Pending]) -> list[Any]:
        """Returns the tasks that are taken to hang."""
        return [task for task, one in pending.items() if time.monotonic() - one.since > self._patience.limit()]


def _joined(parts: Sequence[tuple[dict[str, np.ndarray], ...]]) -> tuple[Rollout, ...]:
    """Joins the arrays of neighbouring pieces; a learner may keep the rollouts, so all are copied."""
    return tuple(
        Rollout(**{name: torch.from_numpy(np.concatenate([part[name] for part in shot])) for name in shot[0]})
        for shot in zip(*parts, strict=True)
    )
