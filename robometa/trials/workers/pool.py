"""Worker processes of this machine, each with its engine and torch on one thread; one that is lost is replaced."""

from __future__ import annotations

import contextlib
import os
import pickle
import subprocess
import time
from collections import Counter, deque
from collections.abc import Iterable, Iterator, Sequence
from multiprocessing import Pipe, connection
from typing import Any

from robometa.compute.python_process import environment, python
from robometa.errors import TrainingError
from robometa.trials.workers import patience, worker
from robometa.trials.workers.messages import Answer, Descriptors, Failed, Ready, Work
from robometa.trials.workers.patience import Patience
from robometa.trials.workers.shared_memory import SharedBytes


class Worker:
    """A worker process, seen from its parent."""

    def __init__(self, work: SharedBytes, shared: Sequence[int]) -> None:
        """Starts the process.

        Args:
            work: The pickled work.
            shared: Descriptors of the work's memory.
        """
        self.connection, theirs = Pipe()
        lifeline, self._lifeline = os.pipe()
        given = Descriptors(theirs.fileno(), lifeline, work.descriptor, work.capacity)
        passed = (given.connection, given.lifeline, given.work, *shared)
        command = python("-m", worker.__name__, *given)
        self.process = subprocess.Popen(command, pass_fds=passed, stdin=subprocess.DEVNULL, env=environment())
        theirs.close()
        os.close(lifeline)
        self.since, self.ready = time.monotonic(), False

    def order(self, order: Any) -> None:
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


class Pool:
    """Worker processes that carry out orders of one work."""

    def __init__(self, work: Work, count: int, patience_seconds: float | None = None) -> None:
        """Starts the processes, which import and begin the work while the caller continues.

        Args:
            work: The work.
            count: Number of processes.
            patience_seconds: Least time after which one that has not answered is taken to hang, s; ten minutes if None.
        """
        content = pickle.dumps(work)
        self._work, self._shared = SharedBytes(len(content)), work.descriptors
        self._work.write(content)
        self._workers = [Worker(self._work, self._shared) for _ in range(count)]
        self._patience = Patience(patience_seconds)
        self._spent: dict[int, float] = {}
        self._remarks: list[str] = []

    def run(self, orders: Sequence[Any]) -> Iterator[tuple[int, Any]]:
        """Carries out orders, and yields the place of each with its result as they end.

        The first orders go to the processes in turn.

        Raises:
            TrainingError: If processes die or hang over the same order again and again.
            Exception: The error that a process met, if it would come again.
        """
        waiting, losses = deque(range(len(orders))), Counter[int]()
        busy: dict[int, int] = {}
        while waiting or busy:
            for index in range(len(self._workers)):
                if index not in busy and waiting:
                    busy[index] = waiting.popleft()
                    self._give(index, orders[busy[index]])
            ready = connection.wait([self._workers[index].connection for index in busy], self._left(busy))
            for index in list(busy):
                one, answer = self._workers[index], None
                if one.connection in ready:
                    lost, answer = self._received(one)
                else:
                    lost = time.monotonic() - one.since > self._limit(one)
                if answer is not None:
                    yield busy.pop(index), answer.result
                elif lost:
                    losses[busy[index]] += 1
                    self._replace(index, losses[busy[index]])
                    self._give(index, orders[busy[index]])

    def ready(self) -> bool:
        """Returns True if all processes have begun their work; call it between two runs only.

        Raises:
            Exception: The error that a process met while it began.
        """
        for one in self._workers:
            if not one.ready and one.connection.poll():
                self._received(one)
        return all(one.ready for one in self._workers)

    def processor_seconds(self) -> float:
        """Processor time that the processes have spent so far, s."""
        return sum(self._spent.values())

    def remarks(self) -> list[str]:
        """Returns what happened to processes since the last call."""
        remarks, self._remarks = self._remarks, []
        return remarks

    def close(self) -> None:
        """Ends the processes."""
        for one in self._workers:
            one.end()
        self._workers.clear()
        self._work.close()

    def _give(self, index: int, order: Any) -> None:
        """Sends a process an order; one that is gone shows when its answer is read."""
        with contextlib.suppress(OSError):
            self._workers[index].order(order)

    def _replace(self, index: int, losses: int) -> None:
        """Replaces a process that died or hangs.

        Raises:
            TrainingError: If too many did so over the same order.
        """
        one = self._workers[index]
        hung = one.process.poll() is None
        one.end()
        why = f"did not answer for {self._limit(one):.0f} s" if hung else f"ended by {_ending(one.process.returncode)}"
        if losses > patience.MAX_LOSSES:
            raise TrainingError(
                f"{losses} processes in a row were lost over the same tasks; the last one {why}. Is there memory "
                "enough? Fewer processes need less"
            )
        self._remarks.append(f"a worker process {why}: another does its tasks again")
        self._workers[index] = Worker(self._work, self._shared)

    def _received(self, one: Worker) -> tuple[bool, Answer | None]:
        """Reads what a process sent; returns if the process is gone, and the answer to its order if it is one.

        Raises:
            Exception: The error that the process met, if it would come again.
        """
        try:
            answer = one.answer()
        except (EOFError, OSError):
            one.process.wait()
            return True, None
        if isinstance(answer, Failed):
            raise pickle.loads(answer.error)
        now = time.monotonic()
        if isinstance(answer, Ready):
            one.since, one.ready = now, True
            return False, None
        self._patience.note(now - one.since)
        self._spent[one.process.pid] = answer.processor_seconds
        return False, answer

    def _limit(self, one: Worker) -> float:
        """Returns the time after which a process is taken to hang, s."""
        return self._patience.limit() if one.ready else patience.STARTING_SECONDS

    def _left(self, working: Iterable[int]) -> float:
        """Returns the time until the first of the working processes must have answered, s."""
        workers = [self._workers[index] for index in working]
        return max(0.0, min(one.since + self._limit(one) for one in workers) - time.monotonic()) + 0.01


def _ending(code: int) -> str:
    """Describes how a process ended."""
    return f"signal {-code}" if code < 0 else f"exit code {code}"
