"""Families of learners by the kind of their adaptation, with a colour each in figures."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

MARKERS = ("o", "s", "^", "D", "v", "P", "X", "*")
"""Markers of the members of a family, in their order."""
DASHES = ("-", "--", ":", "-.")
"""Styles of lines, the next one for each round of the colours."""


@dataclass(frozen=True)
class Family:
    """Learners with one kind of adaptation."""

    name: str
    learners: tuple[str, ...]
    colours: tuple[str, ...]
    """Kindred colours, one for each learner."""


GRADIENT = Family(
    "gradient steps",
    ("maml-trpo", "promp", "anil", "fomaml", "meta-sgd", "e-maml", "reptile", "fine-tune"),
    ("#d9661f", "#c9302c", "#b58900", "#a65e2e", "#e07b9a", "#e8a13a", "#b0487f", "#8c6d4f"),
)
MEMORY = Family(
    "memory or belief",
    ("rl2", "pearl", "varibad", "hypernetwork", "rma", "rma-concurrent", "dpt", "ad", "amago"),
    ("#2a7fb8", "#35a3a0", "#6a6fd1", "#7da7d9", "#1f5f8b", "#5fb8c9", "#4a4fa3", "#93c1b7", "#4b5fa8"),
)
MODEL = Family("dynamics model", ("grbal", "cadm", "pets"), ("#3f9142", "#8fae2e", "#2f7d5b"))
BASELINES = Family(
    "baselines",
    ("no-adaptation", "oracle", "random", "sb3-ppo", "sb3-sac", "sb3-td3", "scripted"),
    ("#7d8593", "#9a7fb0", "#a3a3a3", "#8d99ae", "#6f7a8a", "#a08f86", "#8a8f7a"),
)
OTHERS = Family("learners of one's own", (), ("#9a5fd0", "#c05fb0", "#7a4fa0"))
FAMILIES = (GRADIENT, MEMORY, MODEL, BASELINES, OTHERS)


def family_of(learner: str) -> Family:
    """Family of a learner, by its name."""
    return next((family for family in FAMILIES if learner in family.learners), OTHERS)


@dataclass(frozen=True)
class Look:
    """Colour, marker and line of a row in every figure."""

    family: Family
    place: int
    """Place among the rows of its family; that of its learner, unless an earlier row has it."""

    @property
    def colour(self) -> str:
        """Colour, kindred to those of its family."""
        return self.family.colours[self.place % len(self.family.colours)]

    @property
    def line(self) -> dict[str, Any]:
        """Style of a line."""
        return {"color": self.colour, "linestyle": DASHES[self.place // len(self.family.colours) % len(DASHES)]}

    @property
    def points(self) -> dict[str, Any]:
        """Style of points, which no line joins."""
        return {"color": self.colour, "linestyle": "none", "marker": MARKERS[self.place % len(MARKERS)]}


def looks(learners: Sequence[str]) -> list[Look]:
    """Looks of the rows of a comparison; no two of a family are alike.

    Args:
        learners: Learner of each row.
    """
    chosen: list[Look] = []
    for learner in learners:
        family = family_of(learner)
        taken = {look.place for look in chosen if look.family is family}
        is_known = learner in family.learners
        place, step = (family.learners.index(learner), len(family.colours)) if is_known else (0, 1)
        while place in taken:
            place += step  # another row of a learner has its colour, and another line and marker
        chosen.append(Look(family, place))
    return chosen
