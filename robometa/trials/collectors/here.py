"""Collection in this process, on the engine's threads."""

from __future__ import annotations

from collections.abc import Callable

from robometa.data import Trial
from robometa.learners.protocol import Learner
from robometa.sim.engine import Divergence
from robometa.trials.collectors.collector import Job
from robometa.trials.pieces import APART, Batch


class Here:
    """Computes all pieces of a batch in this process."""

    def __init__(self, job: Job, learner: Learner) -> None:
        """Makes the engine of the whole batch.

        Args:
            job: The training.
            learner: The learner itself, not a copy.

        Raises:
            UserError: If the engine cannot be made.
        """
        self._pieces, self._runner = job.pieces(), job.runner(learner, job.hardware)
        self._runner.prepare(self._pieces)
        self._remarked = False

    @property
    def on_divergence(self) -> Callable[[Divergence], None] | None:
        """Called with worlds that blow up."""
        return self._runner.on_divergence

    @on_divergence.setter
    def on_divergence(self, called: Callable[[Divergence], None] | None) -> None:
        self._runner.on_divergence = called

    def collect(self, batch: Batch) -> Trial:
        """Computes a batch with the learner as it is now."""
        return batch.trial(self._runner.run(batch, self._pieces))

    def processor_seconds(self) -> float:
        """Returns 0: there are no other processes."""
        return 0.0

    def remarks(self) -> list[str]:
        """Returns once that pieces are computed one by one, if they are."""
        if self._remarked or not self._runner.apart():
            return []
        self._remarked = True
        return [APART]

    def close(self) -> None:
        """Closes the engines."""
        self._runner.close()
