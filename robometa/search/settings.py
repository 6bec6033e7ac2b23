"""Settings of a search, and their form in search.json."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any

from robometa.errors import MAX_NUMBER, UserError, unknown
from robometa.search import halving
from robometa.search.budget import SECONDS, STEPS, Budget
from robometa.search.objectives import OBJECTIVES
from robometa.storage.table import Table

SAMPLERS = ("tpe", "random")
"""Ways to suggest options."""
TRAININGS = 40
"""Whole trainings that a budget is worth, if the length of one is not given."""
GENERATION, RUNGS, FINALISTS, SEEDS, VALIDATION = 9, 3, 3, 3, 0.2
"""Default numbers of trials in a generation, of rungs, finalists and their seeds, and share of validation tasks."""
MAX_GENERATION, MAX_RUNGS, MAX_FINALISTS, MAX_SEEDS = 100, 6, 9, 5
"""Most trials of a generation, rungs, finalists, and seeds of each."""


@dataclass(frozen=True)
class Settings:
    """Everything that a search is repeated or resumed from."""

    suite: str
    """Name or path."""
    suite_hash: str
    learners: tuple[str, ...]
    """Names, or `FILE.py:CLASS` with absolute paths."""
    budget: Budget
    """Work of all trainings together, the finalists' included."""
    training: float
    """Work of one whole training, in the budget's unit."""
    objectives: tuple[str, ...] = ("return",)
    preset: str | None = None
    """Preset that the options start from, if there is one learner."""
    table: dict[str, Any] = field(default_factory=dict)
    """The user's [search] table."""
    sampler: str = SAMPLERS[0]
    seed: int = 0
    generation: int = GENERATION
    rungs: int = RUNGS
    finalists: int = FINALISTS
    seeds: int = SEEDS
    validation: float = VALIDATION
    """Share of the training tasks that become validation tasks."""
    learner_sha256: dict[str, str] = field(default_factory=dict)
    """Hashes of the files of learners of the user's own."""
    validation_tasks: tuple[int, ...] = ()
    """Places of the validation tasks among the training tasks."""
    validation_hash: str = ""
    """Content hash of the suite that the trials are trained on."""

    def __post_init__(self) -> None:
        """Checks the numbers.

        Raises:
            UserError: If one is out of its range, or the budget is too small for one generation of each learner.
        """
        for name, low, high in (
            ("generation", 1, MAX_GENERATION),
            ("rungs", 1, MAX_RUNGS),
            ("finalists", 0, MAX_FINALISTS),
            ("seeds", 1, MAX_SEEDS),
            ("seed", 0, MAX_NUMBER),
        ):
            if not low <= getattr(self, name) <= high:
                raise UserError(f"{name} must be from {low} to {high}, not {getattr(self, name)}")
        if not 0 < self.validation < 1:
            raise UserError(f"validation must be above 0 and below 1, not {self.validation:g}")
        if self.sampler not in SAMPLERS:
            raise UserError(unknown("sampler", self.sampler, SAMPLERS))
        if not 0 < self.training < float("inf"):
            raise UserError(f"training must be above 0, not {self.training:g}")
        if self.trials_budget < len(self.learners) * self.generation_cost * (1 - 1e-9):
            least = len(self.learners) * self.generation_cost + self.finals_cost
            raise UserError(
                f"a budget of {self.budget.words()} is too small: a generation of each learner and the finalists, with "
                f"trainings of {self.budget.words(self.training)}, take {self.budget.words(least)}"
            )

    @property
    def generation_cost(self) -> float:
        """Most work of a generation."""
        return self.training * halving.cost(self.rungs, self.generation)

    @property
    def finals_cost(self) -> float:
        """Most work of the finalists and of the presets beside them."""
        presets = min(len(self.learners), self.finalists)
        return self.training * self.seeds * (self.finalists + presets)

    @property
    def trials_budget(self) -> float:
        """Work of all trials."""
        return self.budget.amount - self.finals_cost

    def to_json(self) -> dict[str, Any]:
        """The entries of search.json."""
        described = asdict(self)
        described["budget"] = {"amount": self.budget.amount, "unit": self.budget.unit}
        return described

    @classmethod
    def read(cls, table: Table) -> Settings:
        """Reads the entries of search.json.

        Raises:
            UserError: Naming the entry that is missing, of another kind, or out of its range.
        """
        budget = table.table("budget")
        try:
            return cls(
                suite=table.text("suite"),
                suite_hash=table.text("suite_hash"),
                learners=_texts(table, "learners"),
                budget=Budget(budget.number("amount", 0), budget.text("unit", (SECONDS, STEPS))),
                training=table.number("training", 0),
                objectives=_texts(table, "objectives", tuple(OBJECTIVES)),
                preset=table.optional("preset", table.text),
                table=table.table("table").content,
                sampler=table.text("sampler", SAMPLERS),
                seed=table.whole("seed"),
                generation=table.whole("generation", 1, MAX_GENERATION),
                rungs=table.whole("rungs", 1, MAX_RUNGS),
                finalists=table.whole("finalists", 0, MAX_FINALISTS),
                seeds=table.whole("seeds", 1, MAX_SEEDS),
                validation=table.number("validation", 0, 1),
                learner_sha256=table.texts("learner_sha256"),
                validation_tasks=tuple(_wholes(table, "validation_tasks")),
                validation_hash=table.text("validation_hash"),
            )
        except UserError as error:
            raise UserError(str(error) if table.where in str(error) else f"{table.where} is damaged: {error}") from None


def _texts(table: Table, key: str, allowed: tuple[str, ...] | None = None) -> tuple[str, ...]:
    """Reads a list of texts."""
    values = table.content.get(key)
    if not isinstance(values, list) or not 1 <= len(values) <= 100:
        raise UserError(f"{table.where} is damaged: {key} must be a list of 1 to 100 texts")
    return tuple(Table({key: value}, table.where).text(key, allowed) for value in values)


def _wholes(table: Table, key: str) -> list[int]:
    """Reads a list of whole numbers."""
    values = table.content.get(key)
    if not isinstance(values, list) or not all(type(value) is int and value >= 0 for value in values):
        raise UserError(f"{table.where} is damaged: {key} must be a list of whole numbers")
    return values
