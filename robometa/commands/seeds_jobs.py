"""Runs in processes of their own: started one after another, read line by line, and none outlives this process."""

from __future__ import annotations

import os
import queue
import re
import signal
import subprocess
import threading
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

from robometa.commands import seed_job
from robometa.commands.exit_codes import AT_ONCE, STOPPED
from robometa.commands.seeds_screen import Screen
from robometa.compute.python_process import environment, python

PROGRESS = re.compile(r"iteration \d+/\d+  ")
"""Beginning of a line that says how far a run is."""
STATES = {0: "done", STOPPED: "stopped", AT_ONCE: "stopped"}
"""States of a run that has ended, by exit code; others have failed."""


@dataclass
class Job:
    """A run of one seed."""

    seed: int
    folder: Path
    words: list[str] = field(default_factory=list)
    """Words of its command line."""
    state: str = "waits"
    progress: str = ""
    """The last line that said how far it is."""
    code: int | None = None
    """Exit code; None before it has ended."""


class Jobs:
    """Starts runs while there are processors for them, and shows their messages."""

    def __init__(self, jobs: Sequence[Job], shares: Sequence[Sequence[int]], screen: Screen) -> None:
        """Starts nothing yet.

        Args:
            jobs: Runs in their order.
            shares: Processors of each of the runs at a time.
            screen: Shows progress and messages.
        """
        self._waiting, self._free, self._screen = [*jobs], [*shares], screen
        self._running: dict[int, tuple[Job, _Process]] = {}
        self._said: queue.SimpleQueue[tuple[int, str | None]] = queue.SimpleQueue()
        self.stops = 0
        """Stop signals so far."""

    def __enter__(self) -> Jobs:
        """Does nothing: `finish` starts the runs."""
        return self

    def __exit__(self, *raised: object) -> None:
        """Ends what still runs."""
        for _, process in self._running.values():
            process.end()

    def stop(self) -> None:
        """Passes a stop signal on; the third ends the runs at once. A signal handler may call it."""
        self.stops += 1
        for _, process in [*self._running.values()]:
            process.signal(signal.SIGINT if self.stops < 3 else signal.SIGKILL)

    def finish(self) -> None:
        """Runs all jobs; after a stop signal none is begun."""
        while self._running or (self._waiting and not self.stops):
            while self._waiting and self._free and not self.stops:
                self._start(self._waiting.pop(0), self._free.pop(0))
            number, line = self._said.get()
            job, process = self._running[number]
            if line is None:
                self._ended(number, job, process)
            elif PROGRESS.match(line):
                job.progress = line
                self._screen.progressed(job)
            else:
                self._screen.say(job, line)

    def _start(self, job: Job, share: Sequence[int]) -> None:
        """Starts a run on some processors."""
        job.state = "runs"
        process = _Process(job.words, share)
        self._running[process.number] = job, process
        process.read_into(self._said)
        if self.stops:  # the signal came while it was being started
            process.signal(signal.SIGINT)

    def _ended(self, number: int, job: Job, process: _Process) -> None:
        """Notes how a run ended, and frees its processors."""
        code = process.wait()
        # Python ends `python -m` by SIGINT itself if the interruption fell within an exec.
        job.code = AT_ONCE if code == -signal.SIGINT else code
        job.state = STATES.get(job.code, "failed")
        del self._running[number]
        self._free.append(process.share)
        self._screen.ended(job)


class _Process:
    """A process that trains, in a separate group, so that Ctrl-C reaches it by its parent only."""

    def __init__(self, words: Sequence[str], share: Sequence[int]) -> None:
        """Starts it."""
        self.share = share
        lifeline, self._lifeline = os.pipe()
        given = (str(lifeline), ",".join(map(str, share)) if hasattr(os, "sched_setaffinity") else "", *words)
        self._process = subprocess.Popen(
            python("-m", seed_job.__name__, *given),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            pass_fds=(lifeline,),
            process_group=0,
            env=environment(PYTHONUNBUFFERED="1"),
        )
        os.close(lifeline)
        self.number = self._process.pid

    def read_into(self, said: queue.SimpleQueue[tuple[int, str | None]]) -> None:
        """Puts its lines into a queue, on a thread of their own, and None after the last."""
        output = self._process.stdout
        assert output is not None  # a pipe
        threading.Thread(target=_read, args=(output, self.number, said), daemon=True).start()

    def signal(self, kind: signal.Signals) -> None:
        """Sends a signal, if it has not ended."""
        self._process.send_signal(kind)

    def wait(self) -> int:
        """Waits until it has ended, and returns its exit code."""
        code = self._process.wait()
        os.close(self._lifeline)
        return code

    def end(self) -> None:
        """Ends it at once."""
        self._process.kill()
        self.wait()


def _read(output: IO[bytes], number: int, said: queue.SimpleQueue[tuple[int, str | None]]) -> None:
    """Reads lines until the output is closed."""
    with output:
        for line in output:
            if text := line.decode(errors="replace").rstrip():
                said.put((number, text))
    said.put((number, None))
