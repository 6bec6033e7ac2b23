"""A suite: a named distribution of tasks, drawn once. Standard library only."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from robometa.errors import UserError, unknown
from robometa.escape import counted, html_table
from robometa.suites.change import Change
from robometa.suites.command import Command
from robometa.suites.distributions import Distribution, draw
from robometa.suites.family import Family
from robometa.suites.grounds import ground_of
from robometa.suites.robots import Robot
from robometa.suites.task import Task

SHOWN = 3
"""Tasks of each split that a notebook shows."""


@dataclass(frozen=True)
class Suite:
    """A named distribution of tasks: a fixed set to train on and a disjoint one held out."""

    name: str
    about: str
    source: str
    family: Family
    """Kind of suite, which determines the engine, the film and the protocol."""
    robot: Robot
    objective: str
    horizon: int
    train: tuple[Task, ...]
    test: tuple[Task, ...]
    finite: bool
    """The task set is finite, and training and held-out tasks are the same, as for two directions."""
    learner: Mapping[str, Mapping[str, Any]] = field(hash=False, compare=False)
    """Options that differ from a learner's defaults on this suite, by learner."""
    path: Path = field(hash=False, compare=False)
    content_hash: str
    """SHA-256 of everything that a result depends on: model, observation, reward, horizon and every task."""
    spread: Mapping[str, Distribution] = field(default_factory=dict, hash=False, compare=False)
    """Distributions of the parameters of its training tasks."""
    command: Command | None = None
    """Visible commands."""
    change: Change | None = None
    """Rule by which its training tasks change along a trial; None if tasks stay."""

    def __repr__(self) -> str:
        """Name and sizes."""
        return f"<suite {self.name}: {self._sizes()}, robot {self.robot.name}, horizon {self.horizon}>"

    def _repr_html_(self) -> str:
        """Description for a notebook, with the first tasks."""
        facts = [("robot", self.robot.name), ("objective", self.objective), ("tasks", self._sizes())]
        facts += [
            ("horizon", f"{self.horizon} control steps"),
            ("source", self.source),
            ("hash", self.content_hash[:16]),
        ]
        for split in ("train", "test"):
            facts += [(f"{split} {index}", task.describe()) for index, task in enumerate(self.tasks(split)[:SHOWN])]
        return html_table(f"{self.name}: {self.about}", facts)

    def _sizes(self) -> str:
        test = f"{len(self.test)} {'the same' if self.finite else 'held out'}"
        return f"{counted(len(self.train), 'training task')}, {test}"

    @property
    def has_success(self) -> bool:
        """True if its tasks have a success condition."""
        return self.family.has_success(self.train[0])

    @property
    def endless(self) -> bool:
        """True if `drawn` can draw further training tasks."""
        listed = any("values" in one for one in self.spread.values())
        return not self.finite and not listed and any("constant" not in one for one in self.spread.values())

    def unreached(self, shots: int) -> str | None:
        """Says which changes of its tasks a trial with so many adaptations does not reach; None if there are none."""
        return None if self.change is None else self.change.unreached(self.horizon * (shots + 1))

    def drawn(self, seed: int, index: int) -> Task:
        """Draws a further task from the training tasks' distributions. Only for an endless suite."""
        key = f"drawn/{seed}/{index}"
        parameters = tuple((name, draw(self.spread[name], f"{key}/{name}", 0)) for name in sorted(self.spread))
        return replace(self.train[0], parameters=parameters, ground=ground_of(self.robot, key))

    def tasks(self, split: str) -> tuple[Task, ...]:
        """The tasks of a split, `train` or `test`."""
        if split not in ("train", "test"):
            raise UserError(unknown("split", split, ("train", "test")))
        return self.train if split == "train" else self.test
