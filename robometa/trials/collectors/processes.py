"""Collection by several processes of this machine, each with its engine and torch on one thread."""

from __future__ import annotations

import contextlib
import os
import pickle
import subprocess
import sys
import time
from collections.abc import Callable, Iterable
from dataclasses import asdict, replace
from multiprocessing import Pipe, connection
from pathlib import Path

from safetensors import torch as safetensors

from robometa.data import Trial
from robometa.errors import TrainingError, UserError
from robometa.learners.protocol import Learner
from robometa.nn.state import TRAINING
from robometa.sim.engine import Divergence
from robometa.trials import make
from robometa.trials.collectors import worker
from robometa.trials.collectors.collector import Job
from robometa.trials.collectors.messages import Answer, Descriptors, Failed, Order, Ready
from robometa.trials.collectors.shared_memory import Shape, SharedBytes, SharedRollouts
from robometa.trials.pieces import APART, Batch, grouped

MAX_LOSSES = 3
"""Processes that may die or hang over the same pieces before the training stops."""
STARTING_SECONDS = 600.0
"""Time after which a process that has not begun to compute is taken to hang, s."""
PATIENCE_SECONDS = 600.0
"""Least time after which a process that has not answered is taken to hang, s."""
PATIENCE_FACTOR = 20.0
"""Multiple of the longest answer so far after which a process is taken to hang."""


class Shared:
    """Memory that all processes of a training share with it."""

    def __init__(self, job: Job, shape: Shape, state: bytes) -> None:
        """Makes the memory, for states of about this length."""
        # The class of the options may be in a user's file, which a worker has not loaded yet.
        described = pickle.dumps((replace(job, config=asdict(job.config)), shape))
        self.job = SharedBytes(len(described))
        self.job.write(described)
        self.states = SharedBytes(2 * len(state))
        self.rollouts = SharedRollouts(shape)

    def descriptors(self) -> tuple[int, int, int, int, int]:
        """Returns what a worker is started with, as in `Descriptors`."""
        job, states = self.job, self.states
        return job.descriptor, job.capacity, states.descriptor, states.capacity, self.rollouts.descriptor

    def close(self) -> None:
        """Frees the memory."""
        for part in (self.job, self.states, self.rollouts):
            part.close()


class Worker:
    """A process that computes pieces, seen from its parent."""

    def __init__(self, shared: Shared) -> None:
        """Starts the process."""
        self.connection, theirs = Pipe()
        lifeline, self._lifeline = os.pipe()
        given = Descriptors(theirs.fileno(), lifeline, *shared.descriptors())
        passed = (given.connection, given.lifeline, given.job, given.state, given.rollouts)
        command = (sys.executable, "-P", "-m", worker.__name__, *map(str, given))
        self.process = subprocess.Popen(command, pass_fds=passed, stdin=subprocess.DEVNULL, env=_environment())
        theirs.close()
        os.close(lifeline)
        self.since, self.ready = time.monotonic(), False

    def order(self, order: Order) -> None:
        """Sends an order.

        Raises:
            OSError: If the process is gone.
        """
        self.since = time.monotonic()
        self.connection.send(order)

    def answer(self) -> Answer | Failed | Ready:
        """Receives the answer to an order.

        Raises:
            EOFError, OSError: If the process is gone.
        """
        answered: Answer | Failed | Ready = self.connection.recv()
        return answered

    def end(self) -> None:
        """Ends the process at once, if it has not ended."""
        if self.connection.closed:
            return
        self.process.kill()
        self.process.wait()
        self.connection.close()
        os.close(self._lifeline)


class Processes:
    """Computes the pieces of a batch by several processes; one that dies or hangs is replaced."""

    def __init__(self, job: Job, learner: Learner, count: int) -> None:
        """Starts the processes, which import and compile while the caller goes on.

        Args:
            job: The training.
            learner: The learner, whose state each batch is computed with.
            count: Number of processes.

        Raises:
            UserError: If the learner or the simulator is on a GPU, or the simulator cannot be made.
        """
        if job.hardware.device != "cpu" or job.hardware.engine != "cpu":
            raise UserError("--collect processes needs --device cpu and --engine cpu: a GPU computes a batch at once")
        config, spaces = job.config, make.spaces_of(job.suite, learner)
        sizes = (config.shots + 1, config.tasks, config.worlds, job.suite.horizon, spaces.observation, spaces.action)
        self._learner, self._groups = learner, [tuple(group) for group in grouped(job.pieces(), count)]
        make.engine_for(learner, job.suite, config.tasks, config.worlds, replace(job.hardware, threads=1)).close()
        self._shared = Shared(job, Shape(*sizes), self._state())
        self._workers = [Worker(self._shared) for _ in self._groups]
        self._longest = 0.0
        self._spent: dict[int, float] = {}
        self._remarks: list[str] = []
        self._apart = False
        self.on_divergence: Callable[[Divergence], None] | None = None
        """Called with worlds that blow up."""

    def collect(self, batch: Batch) -> Trial:
        """Computes a batch with the learner as it is now.

        Raises:
            TrainingError: If processes die or hang over the same pieces again and again.
        """
        state = self._state()
        self._shared.states.write(state)
        losses = dict.fromkeys(range(len(self._groups)), 0)
        for index in losses:
            self._order(index, batch, len(state))
        while losses:
            ready = connection.wait([self._workers[index].connection for index in losses], self._patience(losses))
            for index in list(losses):
                one = self._workers[index]
                if one.connection in ready:
                    lost, done = self._received(one)
                else:
                    lost, done = time.monotonic() - one.since > self._limit(one), False
                if done:
                    del losses[index]
                elif lost:
                    losses[index] += 1
                    self._replace(index, losses[index])
                    self._order(index, batch, len(state))
        return batch.trial(self._shared.rollouts.copied())

    def processor_seconds(self) -> float:
        """Processor time that the processes have spent so far, s."""
        return sum(self._spent.values())

    def remarks(self) -> list[str]:
        """Returns what happened to processes since the last call."""
        remarks, self._remarks = self._remarks, []
        return remarks

    def close(self) -> None:
        """Ends the processes and frees the memory."""
        for one in self._workers:
            one.end()
        self._workers.clear()
        self._shared.close()

    def _state(self) -> bytes:
        """The policy's part of the learner's state, as safetensors."""
        state = {name: value for name, value in self._learner.state_dict().items() if not name.startswith(TRAINING)}
        return safetensors.save({name: value.contiguous().clone() for name, value in state.items()})

    def _order(self, index: int, batch: Batch, state_bytes: int) -> None:
        """Lets a process compute its group; one that is gone shows when its answer is read."""
        with contextlib.suppress(OSError):
            self._workers[index].order(Order(state_bytes, batch, self._groups[index]))

    def _replace(self, index: int, losses: int) -> None:
        """Replaces a process that died or hangs.

        Raises:
            TrainingError: If too many did so over the same pieces.
        """
        one = self._workers[index]
        hung = one.process.poll() is None
        one.end()
        why = f"did not answer for {self._limit(one):.0f} s" if hung else f"ended by {_ending(one.process.returncode)}"
        if losses > MAX_LOSSES:
            raise TrainingError(
                f"{losses} processes in a row were lost over the same tasks; the last one {why}. Is there memory "
                "enough? --collect here needs the least"
            )
        self._remarks.append(f"a process that collects {why}: another does its tasks again")
        self._workers[index] = Worker(self._shared)

    def _received(self, one: Worker) -> tuple[bool, bool]:
        """Reads what a process sent; returns if the process is gone, and if its group is computed.

        Raises:
            Exception: The error that the process met, if it would come again.
        """
        try:
            answer = one.answer()
        except (EOFError, OSError):
            one.process.wait()
            return True, False
        if isinstance(answer, Failed):
            raise pickle.loads(answer.error)
        now = time.monotonic()
        if isinstance(answer, Ready):
            one.since, one.ready = now, True
            return False, False
        self._longest = max(self._longest, now - one.since)
        self._spent[one.process.pid] = answer.processor_seconds
        if answer.apart and not self._apart:
            self._apart = True
            self._remarks.append(APART)
        if self.on_divergence is not None:
            for divergence in answer.divergences:
                self.on_divergence(divergence)
        return False, True

    def _limit(self, one: Worker) -> float:
        """Returns the time after which a process is taken to hang, s."""
        return max(PATIENCE_SECONDS, PATIENCE_FACTOR * self._longest) if one.ready else STARTING_SECONDS

    def _patience(self, working: Iterable[int]) -> float:
        """Returns the time until the first of the working processes must have answered, s."""
        workers = [self._workers[index] for index in working]
        return max(0.0, min(one.since + self._limit(one) for one in workers) - time.monotonic()) + 0.01


def _environment() -> dict[str, str]:
    """Returns the environment of a worker, which imports the package from where this process has it."""
    places = [str(Path(__file__).parents[3]), *filter(None, [os.environ.get("PYTHONPATH")])]
    return os.environ | {"PYTHONPATH": os.pathsep.join(places)}


def _ending(code: int) -> str:
    """Describes how a process ended."""
    return f"signal {-code}" if code < 0 else f"exit code {code}"
