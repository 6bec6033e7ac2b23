"""Cells of the table: each is one learner trained on one suite with one seed."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from robometa import suites
from robometa.errors import UserError, unknown
from robometa.evaluation.stable_baselines3 import ALGORITHMS
from robometa.registry.options import read_config, resolve
from robometa.training.run_folder import CONFIGURATION

PLAN = Path(__file__).parent / "plan.toml"
RESULTS = Path("results")
UNTRAINED = ("random", *ALGORITHMS)
"""Learners that are not trained before they are evaluated."""


@dataclass(frozen=True)
class Cell:
    """One training and its evaluation."""

    suite: str
    learner: str
    seed: int
    options: tuple[tuple[str, Any], ...]
    """Options of the learner in the plan, or `steps` and `tasks` of one that learns from scratch."""
    long: bool = False
    """True for a long run, outside the common budget."""
    preset: str | None = None
    """The preset that the options change; the learner's first if None."""

    @property
    def name(self) -> str:
        """Name of its files."""
        return f"{'long-' if self.long else ''}{self.learner}-{self.seed}"

    @property
    def record(self) -> Path:
        """File of its result."""
        return RESULTS / "cells" / self.suite / f"{self.name}.json"

    @property
    def run(self) -> Path:
        """Folder of its run."""
        return Path("runs") / "results" / self.suite / self.name

    def done(self) -> bool:
        """True if its result is there: of this suite and with these options as they are now, defaults and all."""
        if not self.record.is_file():
            return False
        record = self.result()
        same = record["options"] == self.plain_options() and self.trained_as_now(record.get("configuration", {}))
        return bool(same and record["suite_hash"] == suites.load(self.suite).content_hash)

    def trained_as_now(self, configuration: dict[str, Any]) -> bool:
        """True if a training with these options is the one that would be begun now.

        An option that a configuration does not have is newer than it, and its class default is what was done before.
        """
        if self.learner in UNTRAINED:
            return True
        now = resolve(suites.load(self.suite), self.learner, dict(self.options), self.preset)
        return bool(configuration) and read_config(self.learner, configuration) == now

    def plain_options(self) -> dict[str, Any]:
        """Its options as they come out of JSON."""
        plain: dict[str, Any] = json.loads(json.dumps(dict(self.options)))
        return plain

    def result(self) -> dict[str, Any]:
        """Its result."""
        result: dict[str, Any] = json.loads(self.record.read_text(encoding="utf-8"))
        return result

    def curve(self) -> tuple[list[int], list[float]]:
        """Environment steps, and the mean return of the training's last rollouts, exploring."""
        curve = self.result()["curve"]
        shots = sum(name.startswith("return_") for name in curve)
        return curve["steps"], curve[f"return_{shots - 1}"]


@dataclass(frozen=True)
class Plan:
    """Everything that the table should hold."""

    core_minutes: float
    """Processor time of a training: ten minutes of two cores are 20."""
    own_core_minutes: Mapping[str, float]
    """Processor time of a training on the suites that have a budget of their own."""
    shots: int
    """Shots of every evaluation."""
    worlds: int
    """Episodes of each held-out task at every shot, where an adaptation does not pool them."""
    cells: tuple[Cell, ...]

    def budget(self, suite: str) -> float:
        """Core-minutes of a training on a suite."""
        return self.own_core_minutes.get(suite, self.core_minutes)

    def of(self, suite: str | None, learners: Sequence[str] | None) -> list[Cell]:
        """The cells of a suite and of some learners, of all where None is given.

        Raises:
            UserError: If there are none such in the plan.
        """
        names = {"suite": {cell.suite for cell in self.cells}, "learner": {cell.learner for cell in self.cells}}
        for kind, asked in (("suite", [suite] if suite else []), ("learner", learners or [])):
            for name in asked:
                if name not in names[kind]:
                    raise UserError(unknown(kind, name, names[kind], str(PLAN)))
        return [
            cell
            for cell in self.cells
            if suite in (None, cell.suite) and (learners is None or cell.learner in learners)
        ]


def trained_so(policy: Path, suite: str, options: Mapping[str, Any]) -> bool:
    """True if a published policy was trained on this suite with these options, by the configuration beside it.

    Args:
        policy: Its folder.
        suite: The suite's name.
        options: What the plan says about its learner, as it comes out of JSON.
    """
    path = policy / "training" / CONFIGURATION
    if not path.is_file():
        return False
    asked = json.loads(path.read_text(encoding="utf-8"))
    same = asked["suite_hash"] == suites.load(suite).content_hash
    return same and all(asked["config"][name] == value for name, value in options.items())


def read(path: Path | None = None) -> Plan:
    """The plan of a file; the project's own if None.

    Raises:
        UserError: If it names a suite, a learner or an option that does not exist.
    """
    path = path or PLAN
    table = tomllib.loads(path.read_text(encoding="utf-8"))
    budgets = table.get("budget", {})
    if strange := sorted(set(budgets) - set(table["table"])):
        raise UserError(unknown("suite", strange[0], table["table"], str(path)))
    cells = []
    for kind, common in (("table", table["seeds"]), ("long", table["long_seeds"])):
        for name, rows in table.get(kind, {}).items():
            suite = suites.load(name)
            presets = table.get("presets", {}).get(name, {})
            seeds = budgets.get(name, {}).get("seeds", common) if kind == "table" else common
            for learner, options in rows.items():
                if learner not in ALGORITHMS:
                    resolve(suite, learner, frozen_options(options), presets.get(learner))
                elif set(options) - {"steps", "tasks"}:
                    raise UserError(unknown("option", sorted(set(options))[0], ("steps", "tasks"), str(path)))
                frozen = tuple(frozen_options(options).items())
                preset = presets.get(learner)
                cells += [Cell(name, learner, seed, frozen, kind == "long", preset) for seed in seeds]
    # Seed by seed, so that a table that is not finished compares all learners.
    cells.sort(key=lambda cell: (cell.long, cell.seed))
    own = {name: budget["core_minutes"] for name, budget in budgets.items() if "core_minutes" in budget}
    return Plan(table["core_minutes"], own, table["shots"], table["worlds"], tuple(cells))


def frozen_options(options: dict[str, Any]) -> dict[str, Any]:
    """Options of a file, with tuples for its lists."""
    return {key: tuple(value) if isinstance(value, list) else value for key, value in options.items()}
