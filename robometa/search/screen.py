"""Screen of a search: budget, rungs and the best so far; a live table on a terminal, else a line for each event."""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from types import TracebackType
from typing import TextIO, cast

from rich.console import Group
from rich.live import Live

from robometa.console import PlainConsole, WholeTable, styled
from robometa.progress import FailsSilently
from robometa.search import summary
from robometa.search.record import Result, State
from robometa.search.settings import Settings


class Screen:
    """Shows a search, until standard output is full or closed; silent if asked."""

    def __init__(self, settings: Settings, silent: bool = False) -> None:
        """Shows nothing yet."""
        self._settings, self._silent = settings, silent
        self._console = PlainConsole(file=cast("TextIO", FailsSilently(sys.stdout)), quiet=silent)
        self._live: Live | None = None
        self._state, self._about = State(), ""
        self._names, self._done = list[str](), dict[str, Result]()
        self._began, self._spent_before = time.monotonic(), 0.0

    def __enter__(self) -> Screen:
        """Begins a live screen where the output is a terminal."""
        if self._console.is_terminal and not self._silent:
            self._live = Live(get_renderable=self._table, console=self._console, refresh_per_second=2)
            self._live.start(refresh=True)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Leaves the last state of a live screen behind."""
        if self._live is not None:
            self._live.stop()

    def begin(self, about: str, names: Sequence[str]) -> None:
        """Begins work on some trials."""
        self._about, self._names, self._done = about, [*names], {}

    def ended(self, name: str, result: Result) -> None:
        """Shows the result of a trial."""
        self._done[name] = result
        if self._live is None:
            shown = result.failure or ", ".join(f"{key} {value:.4g}" for key, value in _shown(result, self._settings))
            work = self._settings.budget.words(result.cost)
            self._console.print(
                f"{self._about}: {name}, {result.iterations} iterations, {work}: {shown}", soft_wrap=True
            )

    def show(self, state: State) -> None:
        """Shows the search so far."""
        if self._spent_before == 0.0 and self._state is not state:
            self._spent_before = state.spent()
        self._state = state
        if self._live is None and self._names and len(self._done) == len(self._names):
            for row in summary.rows(state, self._settings):
                best = summary.words(row.best, self._settings)
                self._console.print(
                    f"{self._progress()}; {row.learner}: {row.trials} trials, best {best}", soft_wrap=True
                )

    def say(self, text: str) -> None:
        """Shows a message; on a live screen it stays above it."""
        self._console.print(text, soft_wrap=True)

    def _progress(self) -> str:
        """Work so far and the time left, in words."""
        budget, spent = self._settings.budget, self._total()
        words = f"{budget.words(spent)} of {budget.words()}"
        new, passed = spent - self._spent_before, time.monotonic() - self._began
        if new <= 0:
            return words
        left = max(0.0, budget.amount - spent) * passed / new
        return f"{words}, about {left / 3600:.1f} h left" if left > 5400 else f"{words}, about {left / 60:.0f} min left"

    def _total(self) -> float:
        finals = sum(one.result.cost for one in self._state.finals or [])
        pending = 0.0 if self._names and self._recorded() else sum(one.cost for one in self._done.values())
        return self._state.spent() + finals + pending

    def _recorded(self) -> bool:
        """True once the results that are shown are in the record."""
        return len(self._done) == len(self._names)

    def _table(self) -> Group:
        """The live screen."""
        scores = ("hand-set preset", "best so far")
        table = WholeTable("learner", "trials", "on each rung", "failed", "work", *scores, prose=scores)
        for row in summary.rows(self._state, self._settings):
            table.add_row(
                row.learner,
                str(row.trials),
                " / ".join(map(str, row.rungs)),
                str(row.failed),
                self._settings.budget.words(row.spent),
                summary.words(row.preset, self._settings),
                styled(summary.words(row.best, self._settings)),
            )
        now = f"{self._about}: {len(self._done)} of {len(self._names)} done" if self._names else "starting"
        return Group(styled(self._progress(), ""), styled(now, "dim"), table)


def _shown(result: Result, settings: Settings) -> list[tuple[str, float]]:
    """Scores of a result that are objectives."""
    return [(name, result.scores[name]) for name in settings.objectives if name in result.scores]
