"""Order of an observation's numbers: which sample of which term each of them is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from robometa.errors import UserError
from robometa.suites.observation import Term

MAX_STEPS = 1000
"""Most steps of a delay, all of which are kept."""


@dataclass(frozen=True)
class Number:
    """A number of an observation."""

    term: Term
    column: int
    """Place among the numbers of its term."""
    lag: int
    """Control steps since it was measured."""


class Arrangement:
    """Numbers of an observation, in their order: term by term, within a term the oldest sample first."""

    def __init__(self, terms: Sequence[Term], sizes: Sequence[int], control_step: float) -> None:
        """Arranges the terms.

        Args:
            terms: Terms in their order.
            sizes: Count of the numbers of each.
            control_step: Duration of a control step, s.

        Raises:
            UserError: If a delay is no whole number of control steps.
        """
        self.terms, self.sizes, self.numbers, index = tuple(terms), tuple(sizes), [], []
        self.size = sum(sizes)
        """Numbers of a sample of all terms."""
        first = 0
        for term, size in zip(terms, sizes, strict=True):
            delay = whole_steps(term.delay, control_step, f"the delay of {term.name}", "control")
            for lag in reversed(range(delay, delay + term.history)):
                self.numbers += [Number(term, column, lag) for column in range(size)]
                index += [lag * self.size + first + column for column in range(size)]
            first += size
        self.index = torch.tensor(index, dtype=torch.int64)
        """Place of each number in the samples that are kept, the newest first. `[number]`"""
        self.depth = 1 + max((number.lag for number in self.numbers), default=0)
        """Samples that must be kept."""

    def column(self, values: Sequence[float]) -> Tensor:
        """Gives the numbers of each term the term's own value. `[number of a sample]`, float64."""
        return torch.tensor(
            [value for value, size in zip(values, self.sizes, strict=True) for _ in range(size)]
        ).double()


def whole_steps(seconds: float, step: float, of: str, kind: str) -> int:
    """Returns a time in steps.

    Raises:
        UserError: If it is no whole number of them, or too many.
    """
    steps = round(seconds / step)
    if steps > MAX_STEPS:
        raise UserError(f"{of}, {seconds:g} s, must be at most {MAX_STEPS} {kind} steps of {step:g} s")
    if abs(steps * step - seconds) > 1e-6 * max(step, seconds):
        raise UserError(f"{of}, {seconds:g} s, must be a whole number of {kind} steps of {step:g} s")
    return steps


class Slots:
    """Named columns side by side."""

    def __init__(self, sizes: Mapping[str, int]) -> None:
        """Places as many columns under each name; none under a name of size 0."""
        self._places: dict[str, slice] = {}
        self.size = 0
        for name, size in sizes.items():
            self._places[name] = slice(self.size, self.size + size)
            self.size += size

    def of(self, values: Tensor, name: str) -> Tensor:
        """The columns of a name, as a view. `[world, column]`."""
        return values[:, self._places[name]]

    def __contains__(self, name: str) -> bool:
        """True if the name has columns."""
        place = self._places[name]
        return place.stop > place.start
