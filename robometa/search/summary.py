"""Figures of a search so far, for the screen, the terminal and the page."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from robometa.search.objectives import gains, order
from robometa.search.record import State, Trial
from robometa.search.settings import Settings


@dataclass(frozen=True)
class Row:
    """A learner's trials so far."""

    learner: str
    trials: int
    failed: int
    rungs: tuple[int, ...]
    """Trials that reached each rung."""
    spent: float
    best: Trial | None
    """The best of those that were trained longest."""
    preset: Trial | None
    """The hand-set preset."""


def rows(state: State, settings: Settings) -> list[Row]:
    """Row of each learner that has trials, in the settings' order."""
    table = []
    for label in dict.fromkeys(trial.learner for trial in state.trials):
        trials = [trial for trial in state.trials if trial.learner == label]
        reached = tuple(sum(len(one.results) > rung for one in trials) for rung in range(settings.rungs))
        table.append(
            Row(
                learner=label,
                trials=len(trials),
                failed=sum(bool(one.failure) for one in trials),
                rungs=reached,
                spent=state.spent(label),
                best=best(trials, settings.objectives),
                preset=next((one for one in trials if one.is_preset and one.scores), None),
            )
        )
    return table


def best(trials: Sequence[Trial], objectives: Sequence[str]) -> Trial | None:
    """The best of the trials that were trained longest; None if none has a score."""
    scored = [one for one in trials if one.scores and not one.failure]
    if not scored:
        return None
    longest = max(len(one.results) for one in scored)
    points = {one.number: gains(one.scores, objectives) for one in scored if len(one.results) == longest}
    first = order(points)[0]
    return next(one for one in scored if one.number == first)


def words(trial: Trial | None, settings: Settings) -> str:
    """Scores of a trial and how far it was trained, such as `return -31.2 (rung 3)`."""
    if trial is None:
        return "-"
    scores = ", ".join(f"{name} {trial.scores[name]:.4g}" for name in settings.objectives)
    return f"{scores} (rung {len(trial.results)} of {settings.rungs})"
