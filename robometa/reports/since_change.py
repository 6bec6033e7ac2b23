"""Rewards by the time since a task changed, and the time until they are as high as they could be."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from robometa.reports.statistics import CONFIDENCE, Array
from robometa.storage.table import Table, is_finite

RECOVERED = 0.9
"""Part of the way from random actions to the level that counts as recovered."""
SHOWN = (0.5, 1.0, 2.0, 4.0, 8.0)
"""Ends of the times since a change that tables show, s."""
RESAMPLES = 1000
TITLE = (
    "mean reward of a step around a change of the task, mean action; recovered: it stays at 90 % of the way from random"
    " actions to its own level before the change, or to an oracle measured beside it; episodes: begun since, until one"
    " has it"
)
"""Title of a table of several learners."""
MAX_STRETCHES = 10_000
LARGEST = 1e15
DASH = "\N{EN DASH}"
OF_ORACLE, OF_BEFORE = "the oracle", "its own level before the change"


@dataclass(frozen=True)
class SinceChange:
    """Sums and counts of rewards around the changes of tasks, over all worlds and changes of a task."""

    seconds: float
    """Duration of a stretch, s."""
    changes: int
    """Changes of all tasks."""
    before: Array
    """Of the second before a change: sum and count. `[task, 2]`"""
    stretches: Array
    """Of each stretch since a change, until the next: sum and count. `[task, stretch, 2]`"""
    episodes: Array
    """Of the rest of the episode of a change, and of those after it, until the next change. `[task, episode, 2]`"""

    def level(self, random: float, oracle: float | None) -> float | None:
        """Mean reward of a step that counts as recovered; None if random actions earn as much as what is to be reached.

        Args:
            random: Mean reward of a step of random actions.
            oracle: That of an oracle; None for the level before the change in its place.
        """
        goal = _mean(self.before.sum(axis=0)) if oracle is None else oracle
        return random + RECOVERED * (goal - random) if goal > random else None

    def described(self, random: float, oracle: float | None) -> dict[str, Any]:
        """Entry of a report: rewards before and since, and the time to recover with its interval."""
        level = self.level(random, oracle)
        seconds, episodes = (None, None) if level is None else self.recovery(level)
        low, high = (None, None) if level is None else self._interval(random, oracle)
        return {
            "changes": self.changes,
            "stretch_seconds": self.seconds,
            "before": _or_none(_mean(self.before.sum(axis=0))),
            "rewards": [_or_none(_mean(one)) for one in self.pooled()],
            "episodes": [_or_none(_mean(one)) for one in self.episodes.sum(axis=0)],
            "random": _or_none(random),
            "level": level,
            "level_of": OF_BEFORE if oracle is None else OF_ORACLE,
            "recovered_seconds": seconds,
            "recovered_seconds_low": low,
            "recovered_seconds_high": high,
            "recovered_episodes": episodes,
        }

    def pooled(self) -> Array:
        """Sums and counts of all tasks, of the stretches that at least half of the changes reach. `[stretch, 2]`."""
        summed: Array = self.stretches.sum(axis=0)
        enough = summed[:, 1] >= max(1.0, summed[0, 1] / 2)
        return summed[: len(enough) if enough.all() else int(enough.argmin())]

    def recovery(self, level: float) -> tuple[float | None, int | None]:
        """Time after which rewards stay at a level, s, and episodes begun until one has it on average.

        None where that is not reached before the next change.
        """
        episodes = [_mean(one) >= level for one in self.episodes.sum(axis=0)]
        first = next((number for number, reached in enumerate(episodes) if reached), None)
        return _or_none(self._seconds(self.pooled()[None], np.array([level]))[0]), first

    def _seconds(self, summed: Array, levels: Array) -> Array:
        """Times after which rewards stay at levels, s; NaN where they do not. `[row, stretch, 2]`, `[row] -> [row]`."""
        if not summed.shape[1]:
            return np.full(len(summed), np.nan)
        with np.errstate(invalid="ignore", divide="ignore"):
            below = ~(summed[..., 0] / summed[..., 1] >= levels[:, None])  # [row, stretch]
        count = below.shape[1]
        last = np.where(below.any(axis=1), count - 1 - below[:, ::-1].argmax(axis=1), -1)
        return np.where(last == count - 1, np.nan, (last + 1) * self.seconds)

    def _interval(self, random: float, oracle: float | None) -> tuple[float | None, float | None]:
        """Ends of the bootstrap interval of the time, over tasks; None for an end that is not reached, or one task."""
        tasks = len(self.stretches)
        if tasks < 2:
            return None, None
        source = np.random.default_rng(0)
        picks = source.multinomial(tasks, np.full(tasks, 1 / tasks), size=RESAMPLES).astype(float)  # [row, task]
        length = len(self.pooled())
        summed = np.einsum("rt,tsn->rsn", picks, self.stretches[:, :length])
        before = picks @ self.before
        with np.errstate(invalid="ignore", divide="ignore"):
            goals = before[:, 0] / before[:, 1] if oracle is None else np.full(RESAMPLES, oracle)
        times = self._seconds(summed, random + RECOVERED * (goals - random))
        times = np.sort(np.where(np.isnan(times), np.inf, times))
        edge = (1 - CONFIDENCE) / 2
        ends = [float(times[round(share * (RESAMPLES - 1))]) for share in (edge, 1 - edge)]
        return (_or_none(ends[0]), _or_none(ends[1])) if math.isfinite(ends[0]) else (None, None)


def joined(parts: Sequence[SinceChange | None]) -> SinceChange | None:
    """Joins parts along the axis of tasks; None if one is None."""
    known = [part for part in parts if part is not None]
    if len(known) < len(parts):
        return None
    return SinceChange(
        known[0].seconds,
        sum(part.changes for part in known),
        *(np.concatenate([vars(part)[name] for part in known]) for name in ("before", "stretches", "episodes")),
    )


def read(table: Table) -> dict[str, Any]:
    """Reads what `SinceChange.described` gave from a report.

    Raises:
        UserError: If an entry is missing, of another kind, or out of its range.
    """
    found: dict[str, Any] = {"changes": table.whole("changes"), "level_of": table.text("level_of")}
    found["stretch_seconds"] = table.number("stretch_seconds", 1e-9, LARGEST)
    for name in ("before", "random", "level"):
        found[name] = table.optional(name, lambda key: table.number(key, -LARGEST, LARGEST))
    for name in ("recovered_seconds", "recovered_seconds_low", "recovered_seconds_high"):
        found[name] = table.optional(name, lambda key: table.number(key, 0, LARGEST))
    found["recovered_episodes"] = table.optional("recovered_episodes", table.whole)
    for name in ("rewards", "episodes"):
        found[name] = table.numbers_or_none(name, MAX_STRETCHES)
    return found


def title(described: dict[str, Any]) -> str:
    """Says what a table of rewards since a change shows, and what counts as recovered."""
    level = "" if described["level"] is None else f" ({described['level']:.3g})"
    return (
        f"mean reward of a step around {described['changes']} changes of a task, mean action; recovered: it stays at "
        f"{RECOVERED:.0%} of the way from random actions to {described['level_of']}{level}; episodes: begun since, "
        "until one has it"
    )


def columns(rows: Sequence[dict[str, Any]]) -> list[str]:
    """Columns of a table of several learners: those of the one that was measured for the longest time."""
    return [*max((list(shown(one)) for one in rows), key=len), "recovered", "episodes"]


def row(described: dict[str, Any], columns: Sequence[str]) -> list[str]:
    """Cells of a learner."""
    cells = shown(described) | {"recovered": recovery_in_words(described), "episodes": DASH}
    if described["recovered_episodes"] is not None:
        cells["episodes"] = str(described["recovered_episodes"])
    return [cells.get(column, "") for column in columns]


def shown(described: dict[str, Any]) -> dict[str, str]:
    """Mean rewards of a step for a table: before a change, and up to some times since, by column."""
    rewards, seconds = described["rewards"], described["stretch_seconds"]
    means = {"before": [described["before"]]}
    begin = 0
    for end in SHOWN:
        stretch = min(round(end / seconds), len(rewards))
        if stretch > begin:
            means[f"to {end:g} s"] = rewards[begin:stretch]
        begin = stretch
    known = {column: [one for one in values if one is not None] for column, values in means.items()}
    return {column: f"{np.mean(values):.3g}" if values else DASH for column, values in known.items()}


def recovery_in_words(described: dict[str, Any]) -> str:
    """Says after what time rewards are back, such as `after 1.5 s [1, 2.5]`."""
    if described["level"] is None:
        return "nothing to recover: random actions earn as much"
    if described["recovered_seconds"] is None:
        return "not before the next change"
    low, high = described["recovered_seconds_low"], described["recovered_seconds_high"]
    end = "never" if high is None else f"{high:g}"
    interval = "" if low is None else f" [{low:g}, {end}]"
    return f"after {described['recovered_seconds']:g} s{interval}"


def _mean(pair: Array) -> float:
    """The mean of a sum and a count; NaN of none."""
    return float(pair[0] / pair[1]) if pair[1] > 0 else float("nan")


def _or_none(value: float) -> float | None:
    return float(value) if is_finite(float(value)) else None
