"""A task. Standard library only."""

from __future__ import annotations

from dataclasses import dataclass

from robometa.suites.change import Change
from robometa.suites.robots import Robot

MAX_SHOWN = 6
"""Most numbers of a parameter that a short description shows."""


@dataclass(frozen=True)
class Task:
    """A Markov decision process: a robot, an objective, hidden parameters, a horizon."""

    robot: Robot
    objective: str
    coefficients: tuple[tuple[str, float], ...]
    parameters: tuple[tuple[str, tuple[float, ...]], ...]
    """The hidden numbers, by name."""
    horizon: int
    """Control steps per episode."""
    change: Change | None = None
    """Rule by which it changes along a trial; None if it stays."""
    ground: int = 0
    """Seed of its uneven ground; 0 if its ground is even."""

    def __repr__(self) -> str:
        """The hidden numbers in a few words."""
        return f"<task of {self.robot.name}, {self.objective}: {self.describe()}>"

    def describe(self) -> str:
        """The hidden numbers in a few words, such as `velocity 1.25`."""
        return shortened(self.all_numbers())

    def all_numbers(self) -> str:
        """The hidden numbers, none left out."""
        words = []
        for name, value in self.parameters:
            if len(value) > 1 and len(set(value)) == 1:
                words.append(f"{name} {value[0]:.3g} (all {len(value)})")
                continue
            words.append(" ".join((name, *(f"{number:.3g}" for number in value))))
        return ", ".join(words) or "no hidden parameters"


def shortened(words: str) -> str:
    """Words of `all_numbers`, perhaps after "NAME: ", with at most `MAX_SHOWN` numbers of each parameter."""
    name, colon, parameters = words.rpartition(": ")
    return name + colon + ", ".join(map(_short, parameters.split(", ")))


def _short(parameter: str) -> str:
    name, *numbers = parameter.split(" ")
    if len(numbers) <= MAX_SHOWN or "..." in numbers:  # reports of before are short already
        return parameter
    return " ".join((name, *numbers[:MAX_SHOWN], f"... ({len(numbers)} numbers)"))
