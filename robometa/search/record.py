"""Record of a search, `search.jsonl`: one line for each generation, each of its rungs, and the finals.

The record is what counts; the journal of Optuna beside it is written anew from it when a search is resumed. A line is
appended once everything it tells of is on the disk, so a search that is killed does again what has no line yet.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from robometa.errors import UserError
from robometa.search.space import Value
from robometa.storage import atomic
from robometa.storage.open_folder import OpenFolder
from robometa.storage.paths import is_own_file
from robometa.storage.sealed_folder import MAX_MANIFEST_BYTES
from robometa.storage.table import Table

RECORD = "search.jsonl"
"""File of the record, below a search's folder."""
MAX_BYTES = 1 << 28
"""Largest record that is read, bytes."""
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

    def take(self, line: Table) -> None:
        """Takes in a line of the record.

        Raises:
            UserError: If it does not follow those before.
        """
        kind = line.text("kind", (GENERATION, RUNG, FINALISTS, FINALS))
        if kind == GENERATION:
            learner, count = line.text("learner"), len(self.trials)
            trials = [_trial(one, learner) for one in line.tables("trials")]
            if [trial.number for trial in trials] != [*range(count, count + len(trials))]:
                raise UserError(f"{line.where} is damaged: trials must be numbered from {count}")
            self.generations.append(Generation(learner, trials))
        elif kind == RUNG:
            self._take_rung(line)
        elif kind == FINALISTS:
            self.finalists = [self._known(number, line) for number in line.content.get("numbers", [])]
        else:
            self.finals = [
                Final(self._known(one.whole("number"), line), one.whole("seed"), _result(one))
                for one in line.tables("results")
            ]

    def _take_rung(self, line: Table) -> None:
        if not self.generations:
            raise UserError(f"{line.where} is damaged: no generation comes before it")
        generation = self.generations[-1]
        own = {trial.number: trial for trial in generation.trials}
        for one in line.tables("results"):
            number = one.whole("number")
            if number not in own or len(own[number].results) != generation.rungs:
                raise UserError(f"{line.where} is damaged: trial {number} does not belong here")
            own[number].results.append(_result(one))
        generation.rungs += 1

    def _known(self, number: Any, line: Table) -> int:
        if type(number) is not int or not 0 <= number < len(self.trials):
            raise UserError(f"{line.where} is damaged: there is no such trial")
        return number


class Record:
    """The file of the record, and the state that its lines add up to."""

    def __init__(self, path: Path, folder: Callable[[], AbstractContextManager[OpenFolder]]) -> None:
        """Reads the lines; a last one that was cut short is removed by the next `append`.

        Args:
            path: The file, which need not exist.
            folder: Opens the folder that holds it, before each write.

        Raises:
            UserError: If a line is damaged.
        """
        self.path, self._folder, self.state = path, folder, State()
        self._size = 0
        for line, end in _lines(path):
            self.state.take(line)
            self._size = end

    def append(self, line: Mapping[str, Any]) -> None:
        """Appends a line, flushed to the disk, and takes it in.

        Raises:
            OSError: If it cannot be written; the record is as it was.
        """
        content = (json.dumps(line, allow_nan=False, sort_keys=True) + "\n").encode()
        taken = Table(json.loads(content), str(self.path))
        with self._folder() as folder, folder.file(self.path.name, "ab", buffering=0) as file:
            file.truncate(self._size)
            rest = memoryview(content)
            try:
                while rest:
                    rest = rest[file.write(rest) :]
                os.fsync(file.fileno())
            except OSError:
                with suppress(OSError):
                    file.truncate(self._size)
                raise
        self._size += len(content)
        self.state.take(taken)


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


def read_state(path: Path) -> State:
    """The state of a search, from its record.

    Raises:
        UserError: If a line is damaged.
    """
    state = State()
    for line, _ in _lines(path):
        state.take(line)
    return state


def _lines(path: Path) -> Iterator[tuple[Table, int]]:
    """The whole lines of a record, and where each ends."""
    if not os.path.lexists(path):
        return
    if not is_own_file(path.parent, path.name) or path.stat().st_size > MAX_BYTES:
        raise UserError(f"{path} is damaged: it is no file, is a link, or has more than {MAX_BYTES} bytes")
    end = 0
    for number, line in enumerate(path.read_bytes().split(b"\n")[:-1], start=1):
        end += len(line) + 1
        where = f"line {number} of {path}"
        try:
            content = json.loads(line.decode()) if len(line) <= MAX_MANIFEST_BYTES else None
        except (ValueError, RecursionError) as error:
            raise UserError(f"{where} is damaged: {str(error)[:200]}") from None
        yield Table(content, where), end


def _trial(table: Table, learner: str) -> Trial:
    parameters = table.optional("parameters", table.table)
    return Trial(
        number=table.whole("number"),
        learner=learner,
        parameters=None if parameters is None else parameters.content,
        options=table.table("options").content,
        is_preset=table.content.get("is_preset") is True,
    )


def _result(table: Table) -> Result:
    return Result(
        iterations=table.whole("iterations"),
        whole=table.whole("whole"),
        cost=table.number("cost", 0),
        scores=table.numbers("scores"),
        failure=table.text("failure"),
    )


def save_text(folder: OpenFolder, name: str, text: str) -> None:
    """Writes a text file of a search's folder."""
    atomic.replace(folder, name, text.encode())
