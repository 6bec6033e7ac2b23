"""Progress of a training on the terminal: one live screen, or plain lines where the output is no terminal."""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping
from typing import TextIO, cast

from rich.live import Live
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn
from rich.table import Table
from rich.text import Text

from robometa.console import PlainConsole, styled
from robometa.escape import printable
from robometa.progress import FailsSilently
from robometa.training.loggers.logger import (
    EVALUATION,
    HELD_OUT_RETURN,
    HELD_OUT_SUCCESS,
    SAMPLING,
    TIMES,
    UPDATE,
    LoggedRun,
)

SECONDS_BETWEEN_LINES = 5.0
"""Least time between plain lines, s."""
UNPAID = 20
"""Iterations of a training without any return after which that is said."""
WIDER = " (a larger --initial-std)"
"""Advice for learners that have the option."""
NOT_METRICS = ("iteration", "steps", "iteration_steps", *TIMES)
"""Entries of a row that the live screen shows in separate rows, or not at all."""

HELD_OUT = (HELD_OUT_RETURN, HELD_OUT_SUCCESS)
"""Beginnings of the names of held-out scores, the newest of which stay on the screen."""


class Terminal:
    """Shows rows of metrics as they come, until standard output is full or closed."""

    def __init__(self, run: LoggedRun) -> None:
        """Shows nothing yet."""
        self._title, self._iterations, self._first = printable(run.title), run.iterations, run.first
        self._options = run.options
        self._console = PlainConsole(file=cast("TextIO", FailsSilently(sys.stdout)))
        self._live: Live | None = None
        self._started, self._last_line = time.monotonic(), float("-inf")
        self._held_out: dict[str, float] = {}
        self._evaluation = 0.0
        self._paid = False

    def __enter__(self) -> Terminal:
        """Shows the title, on a live screen where the output is a terminal."""
        if self._console.is_terminal:
            beginning = Text(f"{self._title}\n\niteration {self._first + 1} of {self._iterations} ...")
            self._live = Live(beginning, console=self._console, refresh_per_second=4)
            self._live.start(refresh=True)
        else:
            self._console.print(self._title, soft_wrap=True)
        return self

    def log(self, row: Mapping[str, float]) -> None:
        """Shows one iteration's metrics and times."""
        now = time.monotonic()
        if row["iteration"] == self._first:
            self._started = now - row[SAMPLING] - row[UPDATE] - row.get(EVALUATION, 0.0)
        done = int(row["iteration"]) + 1
        left = (now - self._started) / (done - self._first) * (self._iterations - done)
        self._paid = self._paid or any(row[name] for name in row if name.startswith("return_"))
        if not self._paid and done - self._first == UNPAID:
            self.say(
                f"every return of {UNPAID} iterations was 0, so nothing can be learned yet: explore more widely"
                f"{WIDER if 'initial_std' in self._options else ''}, or let the suite pay on the way"
            )
        self._held_out = {name: row[name] for name in row if name.startswith(HELD_OUT)} or self._held_out
        if self._live is not None:
            self._live.update(self._table(row, left))
        elif now - self._last_line >= SECONDS_BETWEEN_LINES or done == self._iterations:
            self._last_line = now
            returns = _returns(row, "return_")
            spoilt = "".join(f"  {row[name]:g} {name}" for name in ("diverged", "skipped") if row.get(name))
            held_out = f"  held out {_returns(self._held_out, HELD_OUT_RETURN)}" if self._held_out else ""
            self._console.print(
                f"iteration {done}/{self._iterations}  {row['steps']:,} steps  {_rate(row)}  return {returns}"
                f"{held_out}{spoilt}  {_clock(left)} left",
                soft_wrap=True,
            )

    def say(self, text: str) -> None:
        """Prints a message that must not be missed; on a live screen it stays above it."""
        self._console.print(styled(text, "bold yellow"), soft_wrap=True)

    def __exit__(self, *raised: object) -> None:
        """Leaves the last state of a live screen behind."""
        if self._live is not None:
            self._live.stop()

    def _table(self, row: Mapping[str, float], left: float) -> Table:
        table = Table(title=self._title, show_header=False, min_width=60)
        table.add_column(style="bold")
        table.add_column()
        bar = Progress(TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
        bar.add_task("", total=self._iterations, completed=int(row["iteration"]) + 1)
        table.add_row("iteration", bar)
        table.add_row("environment steps", f"{row['steps']:,}  ({_rate(row)})")
        for name, value in row.items():
            if name.startswith("return_"):
                shot = int(name.removeprefix("return_"))
                table.add_row("return before adaptation" if shot == 0 else f"return after {shot}", f"{value:.1f}")
            elif name.startswith("success_"):
                table.add_row(_success(int(name.removeprefix("success_"))), f"{value:.0%}")
            elif name not in NOT_METRICS and not name.startswith(HELD_OUT):
                table.add_row(name.replace("_", " "), f"{value:.4g}")
        if self._held_out:
            table.add_row("held-out return", _returns(self._held_out, HELD_OUT_RETURN))
            table.add_row("held-out success", _returns(self._held_out, HELD_OUT_SUCCESS, ".0%"))
        table.add_row("sampling, update", f"{row[SAMPLING]:.2f} s, {row[UPDATE]:.2f} s")
        self._evaluation = row.get(EVALUATION, self._evaluation)
        if self._evaluation:
            table.add_row("held-out evaluation", f"{self._evaluation:.2f} s")
        table.add_row("time left", _clock(left))
        return table


def _returns(row: Mapping[str, float], beginning: str, kind: str = ".1f") -> str:
    """Prefixes of the names of scores after each adaptation."""
    return " -> ".join(f"{value:{kind}}" for name, value in row.items() if name.startswith(beginning))


def _success(shot: int) -> str:
    """Label of the success of a shot in training."""
    return f"success at any step {'before adaptation' if shot == 0 else f'after {shot}'}"


def _rate(row: Mapping[str, float]) -> str:
    both = row[SAMPLING] + row[UPDATE]
    return f"{row['iteration_steps'] / both:,.0f} steps/s, {row[SAMPLING] / both:.0%} of it sampling"


def _clock(seconds: float) -> str:
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes:02d} min" if hours else f"{minutes} min {seconds:02d} s" if minutes else f"{seconds} s"
