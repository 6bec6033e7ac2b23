"""A search so far: trials, their results, generations, and the finals; read line by line from its record."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from robometa import registry
from robometa.errors import UserError
from robometa.search.dimension import Value
from robometa.search.settings import Settings
from robometa.storage.table import MAX_ENTRIES, MAX_TEXT, Table, is_finite

MAX_TRIALS, MAX_NAME = 10_000, 200
"""Most trials of a search, and longest name of a parameter, characters."""
GENERATION, RUNG, FINALISTS, FINALS = "generation", "rung", "finalists", "finals"


@dataclass(frozen=True)
class Result:
    """The end of a trial's work at a rung, or of a final training."""

    iterations: int
    """Iterations that it was trained for."""
    whole: int
    """Iterations of a whole training."""
    cost: float
    """Work of this rung, in the budget's unit."""
    scores: dict[str, float] = field(default_factory=dict)
    """Value of every objective; nothing if it failed."""
    failure: str = ""
    """Message, if the learner refused the options or the training failed."""


@dataclass
class Trial:
    """Options that are tried."""

    number: int
    learner: str
    """Short name."""
    parameters: dict[str, Value] | None
    """Parameters in the space; None for a preset that the space does not hold."""
    options: dict[str, Any]
    """Changes to the preset's options."""
    is_preset: bool = False
    """True for the hand-set preset itself."""
    results: list[Result] = field(default_factory=list)
    """Results at each rung that it reached."""

    @property
    def name(self) -> str:
        """Name of its run's folder."""
        return f"{self.number:04d}"

    @property
    def failure(self) -> str:
        """Message of its failure, if there was one."""
        return self.results[-1].failure if self.results else ""

    @property
    def scores(self) -> dict[str, float]:
        """Scores at the last rung that it reached; nothing if it failed."""
        return self.results[-1].scores if self.results else {}


@dataclass
class Generation:
    """Trials of one learner that are suggested together."""

    learner: str
    trials: list[Trial]
    rungs: int = 0
    """Rungs whose results are in the record."""


@dataclass
class Final:
    """A training of a finalist, or of a preset beside it, with a fresh seed."""

    number: int
    """Number of the trial whose options it has."""
    seed: int
    result: Result


@dataclass
class State:
    """A search so far."""

    generations: list[Generation] = field(default_factory=list)
    finalists: list[int] | None = None
    """Numbers of the finalists, best first by validation; None before there are any."""
    finals: list[Final] | None = None

    @property
    def trials(self) -> list[Trial]:
        """All trials, by number."""
        return [trial for generation in self.generations for trial in generation.trials]

    def spent(self, learner: str | None = None) -> float:
        """Work of all trials, or of a learner's."""
        return sum(result.cost for trial in self.trials if learner in (None, trial.learner) for result in trial.results)

    def take(self, line: Table, settings: Settings) -> None:
        """Takes in a line of the record.

        Raises:
            UserError: If it is not of this search, or does not follow those before.
        """
        kind = line.text("kind", (GENERATION, RUNG, FINALISTS, FINALS))
        if (self.finalists is not None) != (kind == FINALS) or self.finals is not None:
            raise UserError(f"{line.where} is damaged: {kind} does not belong here")
        if kind == GENERATION:
            self._take_generation(line, settings)
        elif kind == RUNG:
            self._take_rung(line, settings)
        elif kind == FINALISTS:
            numbers = line.content.get("numbers")
            if not isinstance(numbers, list) or len(numbers) > settings.finalists:
                raise UserError(f"{line.where} is damaged: numbers must be a list of at most {settings.finalists}")
            self.finalists = [self._scored(number, line).number for number in numbers]
        else:
            self.finals = [
                Final(
                    self._scored(one.content.get("number"), line).number, one.whole("seed"), _result(one, ("return",))
                )
                for one in line.tables("results")
            ]

    def _take_generation(self, line: Table, settings: Settings) -> None:
        learner, count = line.text("learner", [*map(registry.label, settings.learners)]), len(self.trials)
        trials = [_trial(one, learner) for one in line.tables("trials")]
        if not trials or [trial.number for trial in trials] != [*range(count, count + len(trials))]:
            raise UserError(f"{line.where} is damaged: trials must be numbered from {count}")
        if count + len(trials) > MAX_TRIALS:
            raise UserError(f"{line.where} is damaged: a search has at most {MAX_TRIALS} trials")
        known = next((one.parameters for one in self.trials + trials if one.learner == learner and one.parameters), {})
        if any(trial.parameters and trial.parameters.keys() != known.keys() for trial in trials):
            raise UserError(f"{line.where} is damaged: all trials of a learner must have the same parameters")
        self.generations.append(Generation(learner, trials))

    def _take_rung(self, line: Table, settings: Settings) -> None:
        if not self.generations or self.generations[-1].rungs >= settings.rungs:
            raise UserError(f"{line.where} is damaged: it follows no generation, or its last rung")
        generation = self.generations[-1]
        own = {trial.number: trial for trial in generation.trials}
        for one in line.tables("results"):
            number = one.whole("number")
            if number not in own or len(own[number].results) != generation.rungs or own[number].failure:
                raise UserError(f"{line.where} is damaged: trial {number} does not belong here")
            own[number].results.append(_result(one, settings.objectives))
        generation.rungs += 1

    def _scored(self, number: Any, line: Table) -> Trial:
        """The trial of a number, which must have a score."""
        if type(number) is not int or not 0 <= number < len(self.trials) or not self.trials[number].scores:
            raise UserError(f"{line.where} is damaged: there is no such trial, or it has no score")
        return self.trials[number]


def described(trial: Trial) -> dict[str, Any]:
    """A trial in a line of the record."""
    return {
        "number": trial.number,
        "parameters": trial.parameters,
        "options": trial.options,
        "is_preset": trial.is_preset,
    }


def described_result(number: int, result: Result) -> dict[str, Any]:
    """A result in a line of the record."""
    return {"number": number, **asdict(result)}


def _trial(table: Table, learner: str) -> Trial:
    parameters, options = table.optional("parameters", table.table), table.table("options")
    for some in (options,) if parameters is None else (options, parameters):
        if len(some.content) > MAX_ENTRIES or not all(map(_is_name, some.content)):
            raise UserError(f"{some.where} is damaged: at most {MAX_ENTRIES} entries, of plain names")
    wrong = [name for name, value in options.content.items() if not _is_option(value)]
    wrong += [
        name for name, value in ({} if parameters is None else parameters.content).items() if not _is_value(value)
    ]
    if wrong:
        raise UserError(f"{table.where} is damaged: {wrong[0]} must be a number, a text, true, false or null")
    return Trial(
        number=table.whole("number"),
        learner=learner,
        parameters=None if parameters is None else parameters.content,
        options=options.content,
        is_preset=table.content.get("is_preset") is True,
    )


def _is_name(text: str) -> bool:
    """Tests if a text can be the name of a parameter."""
    return len(text) <= MAX_NAME and text.isprintable()


def _is_value(value: Any) -> bool:
    """Tests if a value is one that a parameter can have."""
    if isinstance(value, str):
        return len(value) <= MAX_TEXT and value.isprintable()
    return value is None or isinstance(value, bool) or is_finite(value)


def _is_option(value: Any) -> bool:
    """Tests if a value is one that an option can have."""
    return all(map(_is_value, value)) and len(value) <= MAX_ENTRIES if isinstance(value, list) else _is_value(value)


def _result(table: Table, names: Sequence[str]) -> Result:
    """Reads a result, which has these scores unless it failed."""
    result = Result(
        iterations=table.whole("iterations"),
        whole=table.whole("whole", 1),
        cost=table.number("cost", 0),
        scores=table.numbers("scores"),
        failure=table.text("failure"),
    )
    if not result.failure and (lacking := [name for name in names if name not in result.scores]):
        raise UserError(f"{table.where} is damaged: scores lacks {lacking[0]}")
    return result
