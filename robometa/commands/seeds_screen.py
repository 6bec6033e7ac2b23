"""Screen of several runs: a line for each, which stays in its place on a terminal."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, TextIO, cast

from rich.live import Live
from rich.table import Table

from robometa.console import PlainConsole
from robometa.progress import FailsSilently

if TYPE_CHECKING:
    from robometa.commands.seeds_jobs import Job


class Screen:
    """Shows runs and their messages, until standard output is full or closed."""

    def __init__(self, jobs: Sequence[Job]) -> None:
        """Shows nothing yet."""
        self._jobs = jobs
        self._console = PlainConsole(file=cast("TextIO", FailsSilently(sys.stdout)))
        self._live: Live | None = None

    def __enter__(self) -> Screen:
        """Begins a live screen where the output is a terminal."""
        if self._console.is_terminal:
            self._live = Live(self._table(), console=self._console, refresh_per_second=4)
            self._live.start(refresh=True)
        return self

    def progressed(self, job: Job) -> None:
        """Shows how far a run is."""
        if self._live is None:
            self._console.print(f"seed {job.seed}: {job.progress}", soft_wrap=True)
        else:
            self._live.update(self._table())

    def ended(self, job: Job) -> None:
        """Shows that a run has ended."""
        if self._live is None:
            self._console.print(f"seed {job.seed}: {job.state}", soft_wrap=True)
        else:
            self._live.update(self._table())

    def say(self, job: Job, text: str) -> None:
        """Shows a message of a run; on a live screen it stays above it."""
        self._console.print(f"seed {job.seed}: {text}", soft_wrap=True)

    def __exit__(self, *raised: object) -> None:
        """Leaves the last state of a live screen behind."""
        if self._live is not None:
            self._live.update(self._table())
            self._live.stop()

    def _table(self) -> Table:
        table = Table(box=None, pad_edge=False)
        for title in ("seed", "state", "progress"):
            table.add_column(title)
        for job in self._jobs:
            table.add_row(str(job.seed), job.state, job.progress)
        return table
