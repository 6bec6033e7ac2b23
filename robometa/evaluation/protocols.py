"""Evaluation protocols: how many episodes of which tasks, fixed under a versioned name. Standard library only."""

from __future__ import annotations

from dataclasses import dataclass

from robometa.errors import UserError, unknown
from robometa.suites.suite import Suite, Task


@dataclass(frozen=True)
class Protocol:
    """How a suite is measured; another number is another name."""

    name: str
    adaptation: int
    """Episodes of a task that the adaptation is found from."""
    evaluation: int
    """Episodes that are scored, each from that adaptation; none is learned from."""
    goals: int
    """Goals of each task: the first so many of the suite's."""

    def words(self) -> str:
        """What it asks for."""
        return (
            f"{self.adaptation} episodes to adapt, then {self.evaluation} scored, "
            f"on the first {self.goals} goals of each task"
        )

    def label(self, goals: int | None = None) -> str:
        """Its name, and how much of it was done if not all."""
        if goals is None or goals == self.goals:
            return self.name
        return f"{self.name} (first {goals} of {self.goals} goals)"


PROTOCOLS = {
    protocol.name: protocol for protocol in (Protocol("metaworld-few-shot-v1", adaptation=10, evaluation=3, goals=40),)
}
"""By name. The numbers of the first are those of Meta-World's own few-shot evaluation."""
NONE = "none"
"""What stands for no protocol where one would be the default."""


def find(name: str) -> Protocol:
    """The protocol of a name.

    Raises: UserError: If there is none.
    """
    if name not in PROTOCOLS:
        raise UserError(unknown("protocol", name, [*PROTOCOLS, NONE]))
    return PROTOCOLS[name]


def default(suite: Suite) -> Protocol | None:
    """How a suite is measured if nothing else is asked for; None if no protocol is its own.

    Meta-World's suites with held-out goals have one; its multi-task suites hold nothing out that could be adapted to.
    """
    return PROTOCOLS["metaworld-few-shot-v1"] if suite.benchmark is not None and not suite.finite else None


def first_goals(tasks: tuple[Task, ...], goals: int) -> tuple[Task, ...]:
    """The first so many goals of each task, in their order.

    Raises: UserError: If a task has fewer.
    """
    chosen: dict[str, list[Task]] = {}
    for task in tasks:
        chosen.setdefault(task.objective, []).append(task)
    fewest = min(len(of_task) for of_task in chosen.values())
    if not 1 <= goals <= fewest:
        raise UserError(f"goals of each task must be from 1 to {fewest}, not {goals}")
    return tuple(task for of_task in chosen.values() for task in of_task[:goals])
