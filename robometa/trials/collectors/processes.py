"""Collection by several processes of this machine."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, replace

from robometa.data import Trial
from robometa.learners.protocol import Learner
from robometa.sim.engine import Divergence
from robometa.trials.collectors.collecting import Collected, Collecting, Order
from robometa.trials.collectors.collector import Job, checked_shape, policy_state
from robometa.trials.collectors.shared_rollouts import SharedRollouts
from robometa.trials.pieces import APART, Batch, grouped
from robometa.trials.workers.pool import Pool
from robometa.trials.workers.shared_memory import SharedBytes


class Processes:
    """Computes the pieces of a batch by several processes; one that dies or hangs is replaced."""

    def __init__(self, job: Job, learner: Learner, count: int) -> None:
        """Starts the processes, which import and compile while the caller continues.

        Args:
            job: The training.
            learner: The learner; each batch is computed with its present state.
            count: Number of processes.

        Raises:
            UserError: If the learner or the simulator is on a GPU, or the simulator cannot be made.
        """
        shape = checked_shape(job, learner, "processes")
        self._learner, self._groups = learner, [tuple(group) for group in grouped(job.pieces(), count)]
        self._states, self._rollouts = SharedBytes(2 * len(policy_state(learner))), SharedRollouts(shape)
        states = self._states
        # The class of the options may be in a user's file, which a worker has not loaded yet.
        described = replace(job, config=asdict(job.config))
        work = Collecting(described, shape, states.descriptor, states.capacity, self._rollouts.descriptor)
        self._pool = Pool(work, len(self._groups))
        self._remarks: list[str] = []
        self._apart = False
        self.on_divergence: Callable[[Divergence], None] | None = None
        """Called with worlds that blow up."""

    def collect(self, batch: Batch) -> Trial:
        """Computes a batch with the learner as it is now.

        Raises:
            TrainingError: If processes die or hang over the same pieces again and again.
        """
        state = policy_state(self._learner)
        self._states.write(state)
        for _, collected in self._pool.run([Order(len(state), batch, group) for group in self._groups]):
            self._note(collected)
        return batch.trial(self._rollouts.copied())

    def ready(self) -> bool:
        """Returns True if all processes can compute at once."""
        return self._pool.ready()

    def processor_seconds(self) -> float:
        """Processor time that the processes have spent so far, s."""
        return self._pool.processor_seconds()

    def remarks(self) -> list[str]:
        """Returns what happened to processes since the last call."""
        remarks, self._remarks = self._remarks, []
        return [*self._pool.remarks(), *remarks]

    def close(self) -> None:
        """Ends the processes and frees the memory."""
        self._pool.close()
        self._states.close()
        self._rollouts.close()

    def _note(self, collected: Collected) -> None:
        """Passes on what a process says of its pieces."""
        if collected.apart and not self._apart:
            self._apart = True
            self._remarks.append(APART)
        if self.on_divergence is not None:
            for divergence in collected.divergences:
                self.on_divergence(divergence)
