"""Measurements in turn, their medians, and ratios that are taken round by round."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from statistics import median
from time import perf_counter

from bench.size import Size

Values = Mapping[str, list[float]]
"""Values of each figure, by round."""
STEPS = "env-steps/s"
"""The unit of most figures: control steps of one world per second."""


@dataclass(frozen=True)
class Figure:
    """The name of something that is measured, its unit, and why it is missing if it is."""

    name: str
    unit: str = STEPS
    missing: str = ""


@dataclass(frozen=True)
class Comparison:
    """A number made of figures, and what it should reach."""

    name: str
    of: Callable[[Values], list[float]]
    """One number per round; KeyError if a figure is missing."""
    target: float | None = None
    at_least: bool = True
    """True if the target is a lower bound, false if it is an upper one."""
    unit: str = ""

    def reached(self, value: float) -> bool | None:
        """True if the number reaches the target; None without one."""
        if self.target is None:
            return None
        return value >= self.target if self.at_least else value <= self.target


@dataclass(frozen=True)
class Contest:
    """Things that are measured in turn."""

    figures: tuple[Figure, ...]
    entries: tuple[Callable[[], dict[str, float]], ...]
    """Each measures once, and returns its figures by name."""
    comparisons: tuple[Comparison, ...] = ()


@dataclass(frozen=True)
class Result:
    """Result of a contest."""

    name: str
    contest: Contest
    values: dict[str, list[float]] = field(default_factory=dict)

    def of(self, comparison: Comparison) -> float | None:
        """The comparison's median over the rounds; None where something that it needs was not measured."""
        try:
            return median(comparison.of(self.values))
        except KeyError:
            return None


Maker = Callable[[Size], AbstractContextManager[Contest]]


def hold(
    name: str,
    make: Maker,
    size: Size,
    rounds: int,
    tick: Callable[[str, float], None],
    enough: Callable[[Values], bool] = lambda values: False,
) -> Result:
    """Measures a contest's entries in turn, in rounds, every other round backwards.

    Args:
        name: The contest's.
        make: Prepares it, and clears up after it.
        size: How much is measured at a time.
        rounds: How often each entry is measured at the most.
        tick: Takes a description of the progress and the part of the contest that is done with it.
        enough: Takes the figures after a round; no further round follows if it is true.

    Returns:
        Every figure of every round.
    """
    tick(f"{name}: getting ready", 0.0)
    with make(size) as contest:
        values: dict[str, list[float]] = {figure.name: [] for figure in contest.figures if not figure.missing}
        for number in range(rounds):
            order = contest.entries if number % 2 == 0 else contest.entries[::-1]
            for entry in order:
                for figure, value in entry().items():
                    values[figure].append(value)
                tick(f"{name}: round {number + 1} of {rounds}", 1 / (rounds * len(order)))
            if enough(values):
                tick(name, 1 - (number + 1) / rounds)
                break
    return Result(name, contest, values)


def best(values: Values, name: str) -> list[float]:
    """The figure of this name, or the best of those whose names begin with it and a space."""
    matching = [rows for key, rows in values.items() if key == name or key.startswith(name + " ")]
    if not matching:
        raise KeyError(name)
    return max(matching, key=median)


def ratio(over: str, under: str, target: float | None = None) -> Comparison:
    """Ratio of the first figure to the second."""

    def of(values: Values) -> list[float]:
        return [a / b for a, b in zip(best(values, over), best(values, under), strict=True)]

    return Comparison(f"{over} / {under}", of, target)


def cost(of_what: str, of: str, without: str, target: float) -> Comparison:
    """Loss of speed, as a fraction."""

    def lost(values: Values) -> list[float]:
        return [1 - a / b for a, b in zip(best(values, of), best(values, without), strict=True)]

    return Comparison(f"cost of {of_what}", lost, target, at_least=False)


def speed(step: Callable[[], int], seconds: float) -> float:
    """Steps per second: `step` is called until the time is over, and returns how many it took."""
    steps, started = 0, perf_counter()
    while (elapsed := perf_counter() - started) < seconds or steps == 0:
        steps += step()
    return steps / elapsed
