"""What a user sees while a training runs: one live screen on a terminal, plain lines elsewhere."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from rich.console import Console
from rich.live import Live
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn
from rich.table import Table
from rich.text import Text

EVERY = 5.0
"""Seconds between plain lines."""


@dataclass
class Screen:
    """Shows rows of metrics as they come."""

    console: Console
    title: str
    iterations: int
    started: float = field(default_factory=time.monotonic)
    last_line: float = float("-inf")
    first: int | None = None
    live: Live | None = None

    def show(self, row: dict[str, Any], timing: dict[str, float]) -> None:
        """Shows one iteration's metrics and timings."""
        now = time.monotonic()
        if self.first is None:
            self.first = row["iteration"]
            self.started = now - timing["sampling"] - timing["update"]
        done = row["iteration"] + 1
        left = (now - self.started) / (done - self.first) * (self.iterations - done)
        if self.live is not None:
            self.live.update(self._table(row, timing, left))
        elif now - self.last_line >= EVERY or done == self.iterations:
            self.last_line = now
            returns = " -> ".join(f"{value:.1f}" for name, value in row.items() if name.startswith("return_"))
            spoilt = "".join(f"  {row[name]:g} {name}" for name in ("diverged", "skipped") if row.get(name))
            self.console.print(
                f"iteration {done}/{self.iterations}  {row['steps']:,} steps  {_rate(row, timing)}  return {returns}"
                f"{spoilt}  {_clock(left)} left",
                highlight=False,
                soft_wrap=True,
            )

    def say(self, text: str) -> None:
        """Says something that must not be missed; it stays above what is shown."""
        self.console.print(text, highlight=False, soft_wrap=True, style="bold yellow", markup=False)

    def _table(self, row: dict[str, Any], timing: dict[str, float], left: float) -> Table:
        table = Table(title=self.title, show_header=False, min_width=60)
        table.add_column(style="bold")
        table.add_column()
        bar = Progress(TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
        bar.add_task("", total=self.iterations, completed=row["iteration"] + 1)
        table.add_row("iteration", bar)
        table.add_row("environment steps", f"{row['steps']:,}  ({_rate(row, timing)})")
        for name, value in row.items():
            if name.startswith("return_"):
                shot = int(name.removeprefix("return_"))
                table.add_row("return before adaptation" if shot == 0 else f"return after {shot}", f"{value:.1f}")
            elif name not in ("iteration", "steps", "iteration_steps"):
                table.add_row(name.replace("_", " "), f"{value:.4g}")
        table.add_row("sampling, update", f"{timing['sampling']:.2f} s, {timing['update']:.2f} s")
        table.add_row("time left", _clock(left))
        return table


@contextmanager
def screen(title: str, iterations: int) -> Iterator[Screen]:
    """A screen that lives as long as the block."""
    console = Console()
    shown = Screen(console, title, iterations)
    if not console.is_terminal:
        console.print(title, highlight=False, soft_wrap=True)
        yield shown
        return
    beginning = Text(f"{title}\n\nthe first of {iterations} iterations is under way")
    with Live(beginning, console=console, refresh_per_second=4) as live:
        shown.live = live
        yield shown


def _rate(row: dict[str, Any], timing: dict[str, float]) -> str:
    both = timing["sampling"] + timing["update"]
    return f"{row['iteration_steps'] / both:,.0f} steps/s, {timing['sampling'] / both:.0%} of it sampling"


def _clock(seconds: float) -> str:
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes:02d} min" if hours else f"{minutes} min {seconds:02d} s" if minutes else f"{seconds} s"
