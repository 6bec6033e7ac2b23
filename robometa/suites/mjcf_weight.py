"""Numbers of elements and bodies of a robot model, copies and attached models included. Standard library only."""

from __future__ import annotations

from dataclasses import dataclass

MAX_ELEMENTS, MAX_BODIES = 100_000, 5_000
"""Limits on the elements of a model, and on its bodies: MuJoCo's time to compile it grows with the square of these."""
MOST = f"{MAX_ELEMENTS} elements or {MAX_BODIES} bodies"
"""The limits in words."""
BODIES = ("body", "link", "composite", "flexcomp")
"""Elements that make bodies; `link` is URDF's."""


@dataclass
class Weight:
    """Elements of a file: those that it creates, its `<attach>` elements, and the largest model that it can attach."""

    elements: float = 0
    bodies: float = 0
    """Those of the elements that make bodies."""
    attached: float = 0
    heaviest: tuple[float, float] = (0, 0)
    """Most elements, and most bodies, of a model that it can attach."""

    def add(self, other: Weight, copies: float) -> None:
        """Adds the elements of an included file."""
        self.elements += other.elements * copies
        self.bodies += other.bodies * copies
        self.attached += other.attached * copies
        self.can_attach(other.heaviest)

    def can_attach(self, whole: tuple[float, float]) -> None:
        """Notes a model that it can attach, by its elements and bodies."""
        self.heaviest = max(self.heaviest[0], whole[0]), max(self.heaviest[1], whole[1])

    @property
    def total(self) -> tuple[float, float]:
        """Upper limits on the elements and bodies after everything is attached."""
        elements, bodies = (self.attached * most if self.attached else 0 for most in self.heaviest)
        return self.elements + elements, self.bodies + bodies


def too_many(elements: float, bodies: float) -> bool:
    """True if a model may not have so many; infinitely many are too many, and so is what is no number."""
    return not (elements <= MAX_ELEMENTS and bodies <= MAX_BODIES)
