"""A suite's family: what all suites of a kind share. Standard library only."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from typing import ClassVar

from robometa.errors import UserError
from robometa.suites.task import Task


class Family(ABC):
    """A kind of suite, such as locomotion or Meta-World's manipulation.

    A family describes. The rooms above simulate, film and measure it, each with a table that has an entry for the
    family's name: `CPU_ENGINES` in `sim/select.py`, `SIMULATIONS` in `sim/postmortem.py`, `SUBJECTS` in
    `video/storyboard.py`, and, if it has a protocol, `PROTOCOLS` in `evaluation/protocols.py`.
    """

    name: ClassVar[str]
    """Key of those tables."""
    title: ClassVar[str]
    """Name in a sentence."""
    has_goals: ClassVar[bool] = False
    """Its suites list several goals of each named task, and results are grouped by task name."""
    has_experts: ClassVar[bool] = False
    """Its tasks have scripted experts."""
    one_simulation_per_world: ClassVar[bool] = False
    """Each world keeps a simulation of its own, which takes some megabytes."""
    warp_obstacle: ClassVar[str | None] = None
    """Reason why MuJoCo Warp cannot step it; None if it can."""

    @abstractmethod
    def has_success(self, task: Task) -> bool:
        """Returns True if the suite of a task has a success condition."""

    @abstractmethod
    def rows(self, task: Task) -> Iterator[tuple[str, str]]:
        """Yields the rows of a suite's description that depend on the family: label and text.

        Args:
            task: Any task of the suite.
        """

    @abstractmethod
    def listing(self, tasks: tuple[Task, ...]) -> tuple[str, list[str]]:
        """Describes the tasks of a split: how many there are, and lines that list them."""

    def first(self, tasks: tuple[Task, ...], count: int) -> tuple[Task, ...]:
        """Returns the first `count` tasks of a split.

        Raises:
            UserError: If there are fewer.
        """
        if not 1 <= count <= len(tasks):
            raise UserError(f"tasks must be from 1 to {len(tasks)}, not {count}")
        return tasks[:count]
