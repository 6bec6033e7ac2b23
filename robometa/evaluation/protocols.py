"""Evaluation protocols: how many episodes of which tasks, fixed under a versioned name. Standard library only."""

from __future__ import annotations

from dataclasses import dataclass

from robometa.errors import UserError, unknown
from robometa.suites.family import Family
from robometa.suites.metaworld import MetaWorld
from robometa.suites.suite import Suite


@dataclass(frozen=True)
class Protocol:
    """An evaluation protocol. If any number changes, so must the name."""

    name: str
    family: type[Family]
    """Family of the suites that it measures."""
    adaptation: int
    """Episodes of a task that the adaptation learns from."""
    evaluation: int
    """Episodes that are scored, each from that adaptation; none is adapted to."""
    goals: int
    """Number of goals of each task, from the first in the suite."""

    def words(self) -> str:
        """Describes the protocol in a line."""
        return (
            f"{self.adaptation} episodes to adapt, then {self.evaluation} scored, "
            f"on the first {self.goals} goals of each task"
        )

    def label(self, goals: int | None = None) -> str:
        """Returns the name, followed by the number of goals if it is not the protocol's."""
        if goals is None or goals == self.goals:
            return self.name
        return f"{self.name} (first {goals} of {self.goals} goals)"


PROTOCOLS = {
    protocol.name: protocol
    for protocol in (Protocol("metaworld-few-shot-v1", MetaWorld, adaptation=10, evaluation=3, goals=40),)
}
"""Protocols by name, the default of each family first. The numbers of the first are those of Meta-World's own few-shot
evaluation."""
NONE = "none"
"""Name for no protocol where one would be the default."""


def find(name: str, suite: Suite) -> Protocol:
    """Returns the protocol of a name.

    Raises:
        UserError: If no protocol has this name, or it measures suites of another family.
    """
    if name not in PROTOCOLS:
        raise UserError(unknown("protocol", name, [*PROTOCOLS, NONE]))
    protocol = PROTOCOLS[name]
    if not isinstance(suite.family, protocol.family):
        raise UserError(f"protocol {name} is for {protocol.family.title}'s suites, not for {suite.name}")
    return protocol


def of_family(family: Family) -> list[Protocol]:
    """Lists the protocols that measure a family's suites, the default first."""
    return [protocol for protocol in PROTOCOLS.values() if isinstance(family, protocol.family)]


def default(suite: Suite) -> Protocol | None:
    """Returns the protocol that measures a suite unless the user asks for another; None if there is none.

    A finite suite has none, because it holds no tasks out that could be adapted to.
    """
    known = of_family(suite.family)
    return known[0] if known and not suite.finite else None
