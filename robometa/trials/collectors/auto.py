"""Collection here or by processes, by which is faster for this training on this machine."""

from __future__ import annotations

import time
from collections.abc import Callable

from robometa.compute.parallel import processors
from robometa.data import Trial
from robometa.learners.protocol import Learner
from robometa.sim.engine import Divergence
from robometa.trials.collectors.collector import Collector, Job
from robometa.trials.collectors.here import Here
from robometa.trials.collectors.processes import Processes
from robometa.trials.pieces import Batch

ENOUGH_SECONDS = 10.0
"""Sampling here before processes are started, s; a shorter training has no use for them."""
MEASURED = 3
"""Batches of each form that are measured; the fastest one counts. The one before them is warming up."""


class Auto:
    """Collects here for some seconds, then by processes, and continues with the faster of the two.

    Both give the same bytes, so every batch that is measured is one of the training.
    """

    def __init__(self, job: Job, learner: Learner) -> None:
        """Makes the engine of the whole batch.

        Args:
            job: The training.
            learner: The learner itself, not a copy.

        Raises:
            UserError: If the engine cannot be made.
        """
        self._job, self._learner = job, learner
        self._here = Here(job, learner)
        self._processes: Processes | None = None
        on_cpu = job.hardware.device == "cpu" and job.hardware.engine == "cpu"
        self._open = on_cpu and processors() > 1 and len(job.pieces()) > 1
        self._of_here: list[float] = []
        self._of_processes: list[float] = []
        self._spent, self._remarks = 0.0, list[str]()
        self.on_divergence: Callable[[Divergence], None] | None = None
        """Called with worlds that blow up."""

    def collect(self, batch: Batch) -> Trial:
        """Computes a batch with the learner as it is now.

        Raises:
            TrainingError: If processes die or hang over the same pieces again and again.
        """
        by_processes = self._processes is not None and self._processes.ready()
        using: Collector = self._processes if self._processes is not None and by_processes else self._here
        using.on_divergence = self.on_divergence
        started = time.perf_counter()
        trial = using.collect(batch)
        (self._of_processes if by_processes else self._of_here).append(time.perf_counter() - started)
        self._remarks += using.remarks()
        if self._open:
            self._decide()
        return trial

    def processor_seconds(self) -> float:
        """Processor time that processes have spent so far, s."""
        return self._spent if self._processes is None else self._processes.processor_seconds()

    def remarks(self) -> list[str]:
        """Returns what happened since the last call."""
        remarks, self._remarks = self._remarks, []
        return remarks

    def close(self) -> None:
        """Closes the engines, and ends the processes."""
        self._here.close()
        if self._processes is not None:
            self._processes.close()

    def _decide(self) -> None:
        """Starts processes when there is enough to do, and ends one form when both are measured."""
        if self._processes is None:
            if len(self._of_here) > MEASURED and sum(self._of_here) >= ENOUGH_SECONDS:
                self._processes = Processes(self._job, self._learner, processors())
                self._measured_here = min(self._of_here[1:])
        elif len(self._of_processes) > MEASURED:
            self._choose(self._processes, self._measured_here, min(self._of_processes[1:]))

    def _choose(self, processes: Processes, here: float, others: float) -> None:
        """Keeps the faster form, and says so."""
        self._open = False
        who = f"{processors()} processes" if others < here else "this process"
        self._remarks.append(
            f"{who} will collect: a batch takes {here:.2f} s here, {others:.2f} s by {processors()} processes"
        )
        if others < here:
            self._here.close()
        else:
            self._spent = processes.processor_seconds()
            processes.close()
            self._processes = None
