"""Report of a search as one HTML file: the best options, history, importance, slices, finalists."""

from __future__ import annotations

import math
import os
import warnings
from collections.abc import Sequence
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from statistics import fmean
from typing import TYPE_CHECKING, Any

from robometa import escape
from robometa.errors import UserError
from robometa.reports import export, figures, html
from robometa.reports.compare import compare
from robometa.reports.groups import Group, Section
from robometa.reports.measured import REPORT, content
from robometa.search import drawing, preset_file, summary
from robometa.search.drawing import Line
from robometa.search.finals import final_label, finals_of, presets_beside, recorded_means, trials_of_finals
from robometa.search.objectives import MINIMISED, front, gains
from robometa.search.record import State, Trial
from robometa.search.settings import Settings
from robometa.search.timings import read_times

if TYPE_CHECKING:
    from robometa.search.result import Result

PAGE = "report.html"
"""File of the report, below a search's folder."""
FINALS = "finals"
TEMPLATES = Path(__file__).parent / "templates"
MAX_TRIALS, MAX_BEST_BYTES = 1000, 1 << 20
"""Most rows of the table of trials, and largest file of the best options, bytes."""
LEAST_TRIALS = 8
"""Fewest trials from which an importance is computed."""


def page(folder: Path, settings: Settings, state: State, beside: Sequence[Result] = ()) -> str:
    """The whole page.

    Args:
        folder: Folder of the search.
        settings: Its settings.
        state: The search so far.
        beside: Other searches to show with history and finals, such as a random one at an equal budget.
    """
    from markupsafe import Markup

    rows = summary.rows(state, settings)
    lines = _lines(state, settings, settings.sampler)
    for other in beside:
        lines += _lines(other.state, other.settings, _label_beside(settings, other.settings))
    own = final_groups(folder, state)
    groups = [*own, *(one for other in beside for one in _others(other, _label_beside(settings, other.settings)))]
    section = Section(groups[0].entries[0].suite, groups[0].entries[0].suite_hash, tuple(groups)) if groups else None
    parts = [
        {
            "row": row,
            "best": summary.words(row.best, settings),
            "preset": summary.words(row.preset, settings),
            "importance": _markup(drawing.importance(importance(_of(state, row.learner), settings), row.learner)),
            "slices": _markup(drawing.slices(_of(state, row.learner), settings, row.learner)),
        }
        for row in rows
    ]
    return (
        html.environment(TEMPLATES)
        .get_template("search.html")
        .render(
            title=f"Search on {Path(settings.suite).stem}",
            settings=settings,
            spent=settings.budget.words(state.spent() + sum(one.result.cost for one in state.finals or [])),
            budget=settings.budget.words(),
            whole=settings.budget.words(settings.training),
            best=_best(folder),
            parts=parts,
            history=_markup(drawing.history(lines, settings)),
            pareto=_markup(drawing.pareto(lines, settings)),
            front_rows=front_rows(state, settings),
            objectives=settings.objectives,
            finals=[(group.label, export.cells(group)[1:]) for group in groups],
            recorded=[] if own else recorded_means(state),
            columns=export.WORDS[1:],
            adaptation=None if section is None else Markup(figures.adaptation(section) or ""),
            verdicts=verdicts(state, groups) if own else [],
            times=read_times(folder).words(),
            trials=[(one, _options(one), _scores(one, settings)) for one in state.trials[:MAX_TRIALS]],
            count=len(state.trials),
            rungs=[*range(1, settings.rungs + 1)],
            name=settings.objectives[0],
        )
    )


def require_alike(settings: Settings, other: Settings, folder: Path) -> None:
    """Checks that a search can be shown beside another one.

    Args:
        settings: Settings of the search.
        other: Settings of the one beside it.
        folder: Folder of the one beside it, for the message.

    Raises:
        UserError: If its suite, its objectives or the unit of its budget are others.
    """
    mine, theirs = ((one.suite_hash, one.objectives, one.budget.unit) for one in (settings, other))
    for what, own, others in zip(("suite", "set of objectives", "unit of budget"), mine, theirs, strict=True):
        if own != others:
            shown = (own, others) if isinstance(own, str) else (" ".join(own), " ".join(others))
            words = (Path(settings.suite).stem, Path(other.suite).stem) if what == "suite" else shown
            raise UserError(f"--beside needs one {what}: {folder} has {words[1]}, not {words[0]}")


def final_groups(folder: Path, state: State) -> list[Group]:
    """The seeds of each finalist, best first by validation, and of each preset beside them; none if a run is gone."""
    if state.finals is None or not os.path.lexists(folder / FINALS):
        return []
    curves = []
    for trial in trials_of_finals(state):
        kind = "preset" if trial.is_preset else f"trial-{trial.name}"
        paths = [folder / FINALS / f"{trial.learner}-{kind}-{one.seed}" for one in finals_of(state, trial)]
        if not all((path / "policy" / REPORT).is_file() for path in paths):
            return []
        if paths:
            curves.append(replace(compare(*map(str, paths)).groups[0], label=final_label(state, trial)))
    return curves


def verdicts(state: State, groups: Sequence[Group]) -> list[str]:
    """Sentences on the first finalist beside its learner's hand-set preset, and beside the next best learner."""
    if not groups or not state.finalists or groups[0].label != final_label(state, state.trials[state.finalists[0]]):
        return []  # the finals of the first finalist failed
    first, learner = groups[0], state.trials[state.finalists[0]].learner
    sentences = []
    for other in groups[1:]:
        own, label = other.label.partition(": ")[0] == learner, escape.printable(other.label)
        if not own and other.label.endswith("preset"):
            continue
        if own and not other.label.endswith("preset"):
            continue
        one, two = first.intervals[-1], other.intervals[-1]
        gain = one.middle - two.middle
        apart = None not in (one.low, two.high, one.high, two.low)
        clear = apart and (one.low > two.high or two.low > one.high)  # type: ignore[operator]
        words = "by more than both intervals" if clear else "which is within the intervals"
        if min(len(first.measured), len(other.measured)) == 1:
            words = "but one seed does not show which is better"
        counts = f"{len(first.measured)} and {escape.counted(len(other.measured), 'seed')}"
        order = "more" if gain >= 0 else "less"
        sentences.append(f"{first.label} scores {abs(gain):.4g} {order} than {label}, {words} ({counts}).")
    return sentences


def leading_preset(settings: Settings, state: State, groups: Sequence[Group]) -> Trial | None:
    """The first finalist's hand-set preset, if the return is what was searched for and the preset's is higher.

    So it is, too, if all finals of the finalist failed. Means stand for interquartile means where runs are gone.
    """
    if settings.objectives not in (("return",), ("gap",)) or not state.finalists:
        return None
    first, known = state.trials[state.finalists[0]], {group.label: group.intervals[-1].middle for group in groups}

    def score(trial: Trial) -> float:
        """Return of a trial's finals; below all others if it has none."""
        returns = [one.result.scores["return"] for one in finals_of(state, trial)]
        return known.get(final_label(state, trial), fmean(returns)) if returns else -math.inf

    presets = [one for one in presets_beside(state, state.finalists) if one.learner == first.learner]
    return next((one for one in presets if score(one) > score(first)), None)


def importance(trials: Sequence[Trial], settings: Settings) -> dict[str, float]:
    """Share of each parameter in what the first rung's scores depend on, by PED-ANOVA; nothing with few trials.

    The first rung has all trials at equal lengths. Source: Watanabe et al. 2023, https://arxiv.org/abs/2304.10255.
    """
    scored = [one for one in trials if one.parameters and one.results and not one.results[0].failure]
    if find_spec("optuna") is None or len(scored) < LEAST_TRIALS:
        return {}
    import optuna
    from optuna.importance import PedAnovaImportanceEvaluator, get_param_importances

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    name = settings.objectives[0]
    values = {key: [(one.parameters or {})[key] for one in scored] for key in scored[0].parameters or {}}
    spreads = {key: _spread(some) for key, some in values.items() if len({*map(str, some)}) > 1}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        study = optuna.create_study(
            storage=None,
            direction="minimize" if name in MINIMISED else "maximize",
            sampler=optuna.samplers.RandomSampler(0),
        )
        for one in scored:
            parameters = {key: (one.parameters or {})[key] for key in spreads}
            score = one.results[0].scores[name]
            study.add_trial(optuna.trial.create_trial(value=score, params=parameters, distributions=spreads))
        importances = get_param_importances(study, evaluator=PedAnovaImportanceEvaluator())
    return {key: float(share) for key, share in importances.items()}


def _spread(values: Sequence[Any]) -> Any:
    """Distribution that some values lie in."""
    from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

    if all(type(value) is int for value in values):
        return IntDistribution(min(values), max(values), log=min(values) > 0)
    if all(type(value) in (int, float) for value in values):
        low, high = float(min(values)), float(max(values))
        return FloatDistribution(low, high, log=low > 0 and high / low > drawing.LOG_FROM)
    return CategoricalDistribution(sorted({*values}, key=str))


def _label_beside(settings: Settings, other: Settings) -> str:
    """Words for a search beside another one: its sampler, and its budget and trainings where they are others."""
    words = [other.sampler]
    if other.budget != settings.budget:
        words.append(f"budget {other.budget.words()}")
    if other.training != settings.training:
        words.append(f"trainings of {other.budget.words(other.training)}")
    return ", ".join(words)


def _others(other: Result, label: str) -> list[Group]:
    """Finals of another search."""
    return [replace(one, label=f"{one.label}, {label}") for one in final_groups(other.folder, other.state)]


def front_rows(state: State, settings: Settings) -> list[tuple[str, str, list[str], str]]:
    """Rows of the Pareto front at the last rung: trial, learner, objectives, options; none with one objective."""
    scored = drawing.at_last_rung(state.trials, settings.rungs) if len(settings.objectives) > 1 else []
    kept = front({one.number: gains(one.scores, settings.objectives) for one in scored})
    places = {number: f", finalist {place}" for place, number in enumerate(state.finalists or [], start=1)}
    return [
        (
            f"{state.trials[number].name}{places.get(number, '')}",
            state.trials[number].learner,
            [f"{state.trials[number].scores[name]:.4g}" for name in settings.objectives],
            _options(state.trials[number]),
        )
        for number in kept
    ]


def _of(state: State, learner: str) -> list[Trial]:
    return [trial for trial in state.trials if trial.learner == learner]


def _lines(state: State, settings: Settings, label: str) -> list[Line]:
    """Trials of each learner of a search, for the figures."""
    learners = dict.fromkeys(trial.learner for trial in state.trials)
    return [Line(f"{one}, {label}", _of(state, one), settings.rungs, settings.generation) for one in learners]


def _best(folder: Path) -> str:
    """The file of the best options; nothing before there is one."""
    exists = os.path.lexists(folder / preset_file.BEST)
    return content(folder, preset_file.BEST, MAX_BEST_BYTES) if exists else ""


def _options(trial: Trial) -> str:
    if trial.is_preset:
        return "hand-set preset"
    return ", ".join(f"{name} {_number(value)}" for name, value in trial.options.items())


def _scores(trial: Trial, settings: Settings) -> list[str]:
    """Objectives at each rung, or the failure."""
    cells = [
        one.failure or ", ".join(f"{one.scores[name]:.4g}" for name in settings.objectives) for one in trial.results
    ]
    return [*cells, *[""] * (settings.rungs - len(cells))]


def _number(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _markup(drawn: str | None) -> Any:
    from markupsafe import Markup

    return None if drawn is None else Markup(drawn)
