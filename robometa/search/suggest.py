"""Suggestions of options: Optuna's samplers on a journal beside the record, asked by one process in a fixed order."""

from __future__ import annotations

import hashlib
import random
import warnings
from collections.abc import Collection, Mapping, Sequence
from contextlib import contextmanager
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, Literal

from robometa.errors import UserError
from robometa.search.dimension import Dimension, Value
from robometa.search.objectives import MINIMISED
from robometa.search.record import Trial
from robometa.search.settings import Settings
from robometa.search.space import Space

if TYPE_CHECKING:
    from collections.abc import Iterator

    import optuna

    from robometa.search.journal_file import Opens

ATTEMPTS = 20
"""Most suggestions for a trial, until one is new."""
ENUMERATED = 10_000
"""Largest space whose untried trials are listed where suggestions find none."""


def require_optuna() -> None:
    """Checks that Optuna is installed.

    Raises:
        UserError: If it is not.
    """
    if find_spec("optuna") is None:
        raise UserError("a search needs an extra: pip install 'robometa[search]'")


class Journal:
    """Optuna's journal of a search, for its dashboard; written anew from the record when it is opened."""

    def __init__(self, folder: Opens, settings: Settings, spaces: Mapping[str, Space], trials: Sequence[Trial]) -> None:
        """Writes the journal of the trials so far.

        Args:
            folder: Opens the folder of the search, before each write; the journal that it holds is replaced.
            settings: Settings of the search.
            spaces: Space of each learner, by short name.
            trials: Trials of a finished generation.
        """
        import optuna
        from optuna.storages import JournalStorage

        from robometa.search.journal_file import JournalFile

        optuna.logging.set_verbosity(optuna.logging.WARNING)
        self._settings, self._spaces = settings, spaces
        with _quiet():
            storage = JournalStorage(JournalFile(folder))
            self._studies = {
                label: optuna.create_study(study_name=label, storage=storage, directions=self._directions())
                for label in spaces
            }
        for trial in trials:
            self.add(trial)

    def add(self, trial: Trial) -> None:
        """Adds a trial of a finished generation."""
        self._add_to(self._studies[trial.learner], trial)

    def suggest(self, label: str, count: int, generation: int, known: Sequence[Trial]) -> list[dict[str, Value]]:
        """Suggests parameters for the next trials of a learner: a function of the trials before and of the seed.

        There are fewer if the space has no more that are new.

        They are asked of a study in memory: the journal's would differ between a search that was resumed and one that
        was not, in what was asked and dropped.

        Args:
            label: Short name of the learner.
            count: Number of trials.
            generation: Number of the generation, for the random numbers.
            known: Trials of the learner so far, in their order; their parameters are not suggested again.
        """
        import optuna

        chosen = list[dict[str, Value]]()
        tried = {frozenset(trial.parameters.items()) for trial in known if trial.parameters is not None}
        seed = f"{self._settings.seed}/{label}/{generation}"
        generator = random.Random(seed)
        with _quiet():
            study = optuna.create_study(sampler=self._sampler(seed), directions=self._directions())
            for before in known:
                self._add_to(study, before)
            while len(chosen) < count:
                parameters = _new(study, self._spaces[label], tried, generator)
                if parameters is None:
                    break
                chosen.append(parameters)
                tried.add(frozenset(parameters.items()))
        return chosen

    def _directions(self) -> list[Literal["minimize", "maximize"]]:
        return [_direction(name) for name in self._settings.objectives]

    def _add_to(self, study: optuna.Study, trial: Trial) -> None:
        """Adds a trial with its results to a study; nothing if its options are not in the space."""
        import optuna

        if trial.parameters is None:
            return
        names, reached = self._settings.objectives, [result for result in trial.results if not result.failure]
        values = [reached[-1].scores[name] for name in names] if reached and not trial.failure else None
        state = "failed" if values is None else "complete"
        steps: dict[int, float] = {}
        if len(names) == 1:  # a study of several objectives takes neither intermediate values nor pruned trials
            # A step is a rung: TPE ranks pruned trials by it first, and iterations would rank the quick ones first.
            steps = {rung: result.scores[names[0]] for rung, result in enumerate(reached, start=1)}
            state = "pruned" if values and len(trial.results) < self._settings.rungs else state
        with _quiet():
            study.add_trial(
                optuna.trial.create_trial(
                    state=_state(state),
                    values=values,
                    params=dict(trial.parameters),
                    distributions={one.name: _distribution(one) for one in self._spaces[trial.learner].dimensions},
                    user_attrs={"trial": trial.name, "rungs": len(trial.results), "failure": trial.failure},
                    intermediate_values=steps,
                )
            )

    def _sampler(self, text: str) -> Any:
        """Sampler whose random numbers follow from a text."""
        import optuna

        seed = int.from_bytes(hashlib.sha256(text.encode()).digest()[:4], "big")
        if self._settings.sampler == "random":
            return optuna.samplers.RandomSampler(seed=seed)
        return optuna.samplers.TPESampler(
            seed=seed, multivariate=True, constant_liar=True, n_startup_trials=self._settings.generation
        )


def _new(
    study: optuna.Study, space: Space, tried: Collection[frozenset[tuple[str, Value]]], generator: random.Random
) -> dict[str, Value] | None:
    """Parameters that were not tried yet, if some attempts find any; None if a small space has no more of them."""

    def asked() -> tuple[optuna.Trial, dict[str, Value]]:
        trial = study.ask()
        return trial, {one.name: _suggested(trial, one) for one in space.dimensions}

    for _ in range(ATTEMPTS):
        trial, parameters = asked()
        if frozenset(parameters.items()) not in tried:
            return parameters
        study.tell(trial, state=_state("failed"))
    if space.size <= ENUMERATED:
        untried = [one for one in space.every() if frozenset(one.items()) not in tried]
        if not untried:
            return None
        study.enqueue_trial(generator.choice(untried))
    return asked()[1]


def _suggested(trial: optuna.Trial, one: Dimension) -> Value:
    """Value of a dimension in a trial."""
    if one.choices:
        return trial.suggest_categorical(one.name, one.labels)
    if one.whole:
        return trial.suggest_int(one.name, int(one.low), int(one.high), log=one.log)
    return trial.suggest_float(one.name, one.low, one.high, log=one.log)


def _distribution(one: Dimension) -> Any:
    """Distribution of a dimension, as Optuna has it."""
    from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

    if one.choices:
        return CategoricalDistribution(one.labels)
    if one.whole:
        return IntDistribution(int(one.low), int(one.high), log=one.log)
    return FloatDistribution(one.low, one.high, log=one.log)


def _direction(objective: str) -> Literal["minimize", "maximize"]:
    return "minimize" if objective in MINIMISED else "maximize"


def _state(name: str) -> Any:
    from optuna.trial import TrialState

    return {"failed": TrialState.FAIL, "pruned": TrialState.PRUNED, "complete": TrialState.COMPLETE}[name]


@contextmanager
def _quiet() -> Iterator[None]:
    """Hides that parts of Optuna are called experimental."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield
