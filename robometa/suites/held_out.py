"""Held-out tasks that were not held out. Standard library only."""

from __future__ import annotations

from collections.abc import Sequence

from robometa.suites.distributions import Distribution, is_random
from robometa.suites.variations import VARIATIONS

Parameters = tuple[tuple[str, tuple[float, ...]], ...]
"""The hidden numbers of a task, by name."""
Split = tuple[Sequence[Parameters], dict[str, Distribution]]
"""The tasks of a split, and the distributions that they were drawn from."""


def count_repeated(train: Split, test: Split) -> int:
    """Counts the held-out tasks that are training tasks, whatever else the two tables say.

    Two tasks are equal if their hidden numbers are, once variations that change nothing are left out. A held-out task
    is also refused if every number that both splits draw at random is that of one training task: no chance does that,
    only an equal seed.
    """
    (learned, spread), (held_out, test_spread) = train, test
    both = {name for name in spread.keys() & test_spread.keys() if is_random(spread[name])}
    both = {name for name in both if is_random(test_spread[name])}
    known = {_effective(task) for task in learned}
    drawn = {_of_names(task, both) for task in learned}
    return sum(_effective(task) in known or (bool(both) and _of_names(task, both) in drawn) for task in held_out)


def _effective(task: Parameters) -> Parameters:
    """The hidden numbers without variations that change nothing, such as a factor of 1."""
    return tuple((name, value) for name, value in task if not _is_neutral(name, value))


def _is_neutral(name: str, value: tuple[float, ...]) -> bool:
    return name in VARIATIONS and all(number == VARIATIONS[name].neutral for number in value)


def _of_names(task: Parameters, names: set[str]) -> Parameters:
    return tuple((name, value) for name, value in task if name in names)
