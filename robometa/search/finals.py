"""Finals of a search: which trials are trained anew, and with what beside them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from statistics import fmean

from robometa.search.objectives import front, gains, order
from robometa.search.record import Final, State, Trial
from robometa.search.settings import Settings
from robometa.search.space import Space
from robometa.search.work import Order
from robometa.suites.load import suite_reference
from robometa.suites.suite import Suite


def chosen_finalists(state: State, settings: Settings) -> list[int]:
    """Numbers of the trials to train anew, best first by validation.

    Trials that were trained longest come first. With one objective each learner's best comes before any other; with
    several the finalists are spread along the Pareto front. The presets take part without being chosen.
    """
    known = [trial for trial in state.trials if trial.scores and not trial.failure and not trial.is_preset]
    ranked = list[int]()
    for rungs in range(settings.rungs, 0, -1):
        some = {one.number: gains(one.scores, settings.objectives) for one in known if len(one.results) == rungs}
        if len(settings.objectives) > 1 and not ranked and len(kept := front(some)) > settings.finalists > 1:
            steps = settings.finalists - 1
            ranked += [kept[round(place * (len(kept) - 1) / steps)] for place in range(settings.finalists)]
        ranked += [number for number in order(some) if number not in ranked]
    if len(settings.objectives) == 1:
        trials, first = state.trials, dict[str, int]()
        for number in ranked:
            first.setdefault(trials[number].learner, number)
        ranked = [*first.values(), *(number for number in ranked if number not in first.values())]
    return ranked[: settings.finalists]


def presets_beside(state: State, finalists: list[int]) -> list[Trial]:
    """Trials of the hand-set presets of the finalists' learners; one that failed has no place beside them."""
    learners = {state.trials[number].learner for number in finalists}
    return [trial for trial in state.trials if trial.is_preset and trial.learner in learners and not trial.failure]


def trials_of_finals(state: State) -> list[Trial]:
    """The finalists, best first by validation, and the presets beside them."""
    finalists = state.finalists or []
    return [state.trials[number] for number in finalists] + presets_beside(state, finalists)


def finals_of(state: State, trial: Trial) -> list[Final]:
    """Final trainings of a trial's options that did not fail."""
    return [one for one in state.finals or [] if one.number == trial.number and not one.result.failure]


def final_label(state: State, trial: Trial) -> str:
    """Words for a trial of the finals, such as `rl2: finalist 1 (trial 0002)`."""
    if trial.is_preset:
        return f"{trial.learner}: hand-set preset"
    return f"{trial.learner}: finalist {(state.finalists or []).index(trial.number) + 1} (trial {trial.name})"


def recorded_means(state: State) -> list[tuple[str, str]]:
    """Label, and mean [lowest, highest] over seeds of the mean return on held-out tasks, from the record alone."""
    rows = []
    for trial in trials_of_finals(state):
        returns = [one.result.scores["return"] for one in finals_of(state, trial)]
        if returns:
            spread = f" [{min(returns):.4g}, {max(returns):.4g}]" if len(returns) > 1 else ""
            rows.append((final_label(state, trial), f"{fmean(returns):.4g}{spread}"))
    return rows


def final_orders(
    state: State, settings: Settings, spaces: Mapping[str, Space], suite: Suite, folder: Path
) -> list[tuple[int, Order]]:
    """Trainings of the finalists and of the presets beside them: all training tasks, fresh seeds, full length.

    Returns:
        The number of the trial that each one's options are from, and the order.
    """
    planned = list[tuple[int, Order]]()
    for trial in trials_of_finals(state):
        space = spaces[trial.learner]
        kind = "preset" if trial.is_preset else f"trial-{trial.name}"
        for seed in range(settings.seed + 1, settings.seed + 1 + settings.seeds):
            planned.append(
                (
                    trial.number,
                    Order(
                        folder=str(folder / f"{trial.learner}-{kind}-{seed}"),
                        suite=suite_reference(suite),
                        learner=space.learner,
                        preset=space.preset,
                        options=trial.options,
                        seed=seed,
                        share=1.0,
                        whole=trial.results[-1].whole,
                        measured=True,
                    ),
                )
            )
    return planned
