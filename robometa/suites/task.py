"""A task. Standard library only."""

from __future__ import annotations

from dataclasses import dataclass

from robometa.suites.change import Change
from robometa.suites.robots import Robot


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
        words = []
        for name, value in self.parameters:
            shown = " ".join(f"{number:.3g}" for number in value[:6])
            words.append(f"{name} {shown}" + (f" ... ({len(value)} numbers)" if len(value) > 6 else ""))
        return ", ".join(words) or "no hidden parameters"
