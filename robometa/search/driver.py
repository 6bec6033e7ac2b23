"""The search itself: generations of trials, rung by rung, then the finalists; resumed from its record."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from typing import Any

from robometa import registry, suites
from robometa.errors import UserError
from robometa.registry.user_file import is_reference
from robometa.search import halving, preset_file, record
from robometa.search.budget import Budget
from robometa.search.cluster import Carriers, carriers_of
from robometa.search.finals import chosen_finalists, final_orders
from robometa.search.objectives import gains
from robometa.search.places import SETTINGS, description
from robometa.search.record import Generation, Result, State, Trial
from robometa.search.record_file import RECORD, Record
from robometa.search.screen import Screen
from robometa.search.settings import Settings
from robometa.search.space import Space, space_of, tables_of
from robometa.search.suggest import Journal, require_optuna
from robometa.search.timings import TIMINGS, Times, Timings
from robometa.search.work import Order, Searching
from robometa.storage import atomic
from robometa.storage.open_folder import OpenFolder, opened
from robometa.suites.suite import Suite

TRIALS, FINALS = "trials", "finals"
"""Names below a search's folder."""


def spaces_of(suite: Suite, settings: Settings, where: str = "[search]") -> dict[str, Space]:
    """Search space of each learner, by short name.

    Args:
        suite: The suite.
        settings: Settings of the search, with the user's table.
        where: Place of the table, for messages.

    Raises:
        UserError: Naming every mistake in the settings' table.
    """
    tables = tables_of(settings.table, settings.learners, where)
    spaces = {
        registry.label(name): space_of(suite, name, settings.preset, tables[name], where) for name in settings.learners
    }
    if len(spaces) < len(settings.learners):
        raise UserError(f"learners must differ, not {' '.join(map(registry.label, settings.learners))}")
    return spaces


def read_settings(folder: Path) -> Settings:
    """Settings of the search in a folder.

    Raises:
        UserError: If there is none, or its description is damaged.
    """
    return Settings.read(description(folder))


def read_suite(settings: Settings) -> Suite:
    """The suite of a search.

    Raises:
        UserError: If it has changed since.
    """
    suite = suites.load(settings.suite)
    if suite.content_hash != settings.suite_hash:
        raise UserError(f"suite {suite.name} is no longer the one that the search was begun on")
    return suite


class Search:
    """A search on its way."""

    def __init__(self, folder: OpenFolder, settings: Settings, jobs: int | str, screen: Screen) -> None:
        """Reads the record.

        Args:
            folder: Its folder, locked.
            settings: Its settings.
            jobs: Trials that are trained at a time, or the Ray cluster that trains them.
            screen: Shows how far it is.

        Raises:
            UserError: If the suite or a learner's file has changed, or the record is damaged.
        """
        require_optuna()
        self.folder, self.settings, self._jobs, self._screen = folder, settings, jobs, screen
        self.suite = read_suite(settings)
        self.cut = folder.path / "suite" / f"{self.suite.name}-validation.toml"
        if suites.load(self.cut).content_hash != settings.validation_hash:
            raise UserError(f"{self.cut} is no longer the suite that the search was begun on")
        self._require_learners()
        self.spaces = spaces_of(self.suite, settings)
        self._record = Record(folder.path / RECORD, self._opened, settings)
        self._require_own_space()
        self._timings = Timings(folder.path / TIMINGS, self._opened)
        self._journal: Journal | None = None

    @property
    def state(self) -> State:
        """The search so far."""
        return self._record.state

    def run(self) -> None:
        """Goes on to the end."""
        work = Searching(
            self.suite, Budget(self.settings.training, self.settings.budget.unit), self.settings.objectives
        )
        with ExitStack() as stack:
            pool = stack.enter_context(closing(carriers_of(work, self._jobs, self.folder)))
            over = [one for one in self.state.generations if self._is_over(one)]
            done = [trial for one in over for trial in one.trials]
            self._journal = Journal(self._opened, self.settings, self.spaces, done)
            while (generation := self._next_generation()) is not None:
                self._finish(generation, pool)
            self._finals(pool)

    def _next_generation(self) -> Generation | None:
        """The generation to go on with: the last one if it is not over, else a new one while the budget lasts."""
        if self.state.generations and not self._is_over(self.state.generations[-1]):
            return self.state.generations[-1]
        if self.state.finalists is not None or len(self.state.trials) + self.settings.generation > record.MAX_TRIALS:
            return None
        share = self.settings.trials_budget / len(self.spaces)
        spent = {label: self.state.spent(label) for label in self.spaces}
        for label in sorted(self.spaces, key=lambda one: spent[one]):
            begun = any(one.learner == label for one in self.state.generations)
            if begun and spent[label] + self.settings.generation_cost > share * (1 + 1e-9):
                return None
            line = self._suggested(label)
            if line["trials"]:  # none: all that its space has were tried
                self._record.append(line)
                return self.state.generations[-1]
        return None

    def _suggested(self, label: str) -> dict[str, Any]:
        """The line of a new generation; the first of a learner begins with its hand-set preset."""
        assert self._journal is not None
        known = [trial for trial in self.state.trials if trial.learner == label]
        space, first, trials = self.spaces[label], len(self.state.trials), list[Trial]()
        if not known:
            trials.append(Trial(first, label, space.parameters(space.usual), {}, is_preset=True))
        number, count = len(self.state.generations), self.settings.generation - len(trials)
        for parameters in self._journal.suggest(label, count, number, [*known, *trials]):
            trials.append(Trial(first + len(trials), label, parameters, space.options(parameters)))
        return {"kind": record.GENERATION, "learner": label, "trials": [record.described(one) for one in trials]}

    def _finish(self, generation: Generation, pool: Carriers) -> None:
        """Trains a generation's trials, rung by rung."""
        while not self._is_over(generation):
            rung = generation.rungs
            trials = self._on_rung(generation, rung)
            orders = [self._order(trial, rung) for trial in trials]
            results = self._carried_out(pool, orders, [trial.name for trial in trials], f"rung {rung + 1}")
            self._record.append(
                {
                    "kind": record.RUNG,
                    "results": [
                        record.described_result(trial.number, result)
                        for trial, result in zip(trials, results, strict=True)
                    ],
                }
            )
            self._screen.show(self.state)
        assert self._journal is not None
        for trial in generation.trials:
            self._journal.add(trial)

    def _on_rung(self, generation: Generation, rung: int) -> list[Trial]:
        """Trials of a generation that a rung is for; none if the generation is over."""
        if rung >= self.settings.rungs:
            return []
        if rung == 0:
            return generation.trials
        names, reached = self.settings.objectives, dict[int, tuple[float, ...]]()
        for trial in self.state.trials:
            result = trial.results[rung - 1] if len(trial.results) >= rung else None
            if trial.learner == generation.learner and result is not None and not result.failure:
                reached[trial.number] = gains(result.scores, names)
        candidates = [trial.number for trial in generation.trials if trial.number in reached]
        chosen = halving.promoted(reached, candidates, rung - 1, self.settings.generation) if candidates else []
        return [trial for trial in generation.trials if trial.number in chosen]

    def _is_over(self, generation: Generation) -> bool:
        return not self._on_rung(generation, generation.rungs)

    def _order(self, trial: Trial, rung: int) -> Order:
        """Work of a trial at a rung."""
        space = self.spaces[trial.learner]
        return Order(
            folder=str(self.folder.path / TRIALS / trial.name),
            suite=str(self.cut),
            learner=space.learner,
            preset=space.preset,
            options=trial.options,
            seed=self.settings.seed,
            share=halving.share(rung, self.settings.rungs),
            counted=trial.results[-1].iterations if trial.results else 0,
            whole=trial.results[-1].whole if trial.results else None,
        )

    def _carried_out(self, pool: Carriers, orders: Sequence[Order], names: Sequence[str], about: str) -> list[Result]:
        """Carries out orders; their results in order."""
        results: list[Result | None] = [None] * len(orders)
        times = Times()
        self._screen.begin(about, names)
        self._screen.show(self.state)
        for place, outcome in pool.run(orders):
            result = results[place] = outcome.result
            times += Times(outcome.training, outcome.beside)
            for remark in pool.remarks():
                self._screen.say(remark)
            self._screen.ended(names[place], result)
        self._timings.append(times)
        return [result for result in results if result is not None]

    def _finals(self, pool: Carriers) -> None:
        """Chooses the finalists, trains them anew beside the presets, and measures all on the held-out tasks."""
        if self.state.finalists is None:
            numbers = chosen_finalists(self.state, self.settings)
            self._record.append({"kind": record.FINALISTS, "numbers": numbers})
        self.write_presets()
        if self.state.finals is None:
            planned = final_orders(self.state, self.settings, self.spaces, self.suite, self.folder.path / FINALS)
            names = [Path(order.folder).name for _, order in planned]
            results = self._carried_out(pool, [order for _, order in planned], names, "finals")
            self._record.append(
                {
                    "kind": record.FINALS,
                    "results": [
                        record.described_result(number, result) | {"seed": order.seed}
                        for (number, order), result in zip(planned, results, strict=True)
                    ],
                }
            )
            self._screen.show(self.state)

    def write_presets(self) -> None:
        """Writes the finalists' options as TOML: `best.toml`, and `finalist-2.toml` and so on."""
        trials = self.state.trials
        for place, number in enumerate(self.state.finalists or []):
            trial = trials[number]
            name = preset_file.BEST if place == 0 else f"finalist-{place + 1}.toml"
            text = preset_file.text(self.spaces[trial.learner], trial, self.settings, name)
            atomic.replace(self.folder, name, text.encode())

    @contextmanager
    def _opened(self) -> Iterator[OpenFolder]:
        """The locked folder.

        Raises:
            FolderGoneError: If it is no longer at its path.
        """
        self.folder.require_at_its_path()
        yield self.folder

    def _require_own_space(self) -> None:
        for trial in self.state.trials:
            known = {one.name: one for one in self.spaces[trial.learner].dimensions}
            values = trial.parameters
            if values is None:
                continue
            if known.keys() != values.keys() or not all(one.holds(values[name]) for name, one in known.items()):
                raise UserError(f"{self._record.path} is damaged: trial {trial.name} has parameters of another space")

    def _require_learners(self) -> None:
        for name in self.settings.learners:
            digest = registry.find(name).fingerprint() if is_reference(name) else None
            if digest != self.settings.learner_sha256.get(name):
                raise UserError(f"{name} has changed since the search began: start it anew")


@contextmanager
def locked(folder: Path) -> Iterator[OpenFolder]:
    """Opens and locks a search's folder for one process.

    Raises:
        UserError: If it is not there, or another process searches in it.
    """
    try:
        with opened(folder) as search_folder:
            if search_folder.lock_at_once() is False:
                raise UserError(f"{folder} is being searched in by another process")
            yield search_folder
    except (FileNotFoundError, NotADirectoryError):
        raise UserError(f"no search here: {folder} has no {SETTINGS}") from None


def learner_hashes(learners: Sequence[str]) -> Mapping[str, str]:
    """Hashes of the files of learners of the user's own."""
    hashes = {name: registry.find(name).fingerprint() for name in learners if is_reference(name)}
    return {name: value for name, value in hashes.items() if value is not None}
