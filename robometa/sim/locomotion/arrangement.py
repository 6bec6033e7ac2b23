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
MAX_NUMBERS, MAX_KEPT = 10_000, 100_000
"""Most numbers of an observation by terms, and most numbers that each world keeps for delays and histories."""


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
            UserError: If a delay is no whole number of control steps, or there are too many numbers.
        """
        self.terms, self.sizes, self.numbers, index = tuple(terms), tuple(sizes), [], []
        self.size = sum(sizes)
        """Numbers of a sample of all terms."""
        self._require_small(control_step)
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

    def _require_small(self, control_step: float) -> None:
        """Checks the numbers of an observation, and those that are kept, before any is arranged.

        Raises:
            UserError: If there are too many.
        """
        observed = sum(size * term.history for term, size in zip(self.terms, self.sizes, strict=True))
        if observed > MAX_NUMBERS:
            raise UserError(f"observe makes {observed} numbers, samples of histories included: at most {MAX_NUMBERS}")
        lags = [round(min(term.delay / control_step, MAX_STEPS)) + term.history for term in self.terms]
        kept = max(lags, default=1) * self.size
        if kept > MAX_KEPT:
            raise UserError(
                f"the longest delay and history of observe keep {max(lags)} samples of {self.size} numbers: at most "
                f"{MAX_KEPT} numbers"
            )

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
    if seconds / step > MAX_STEPS + 0.5:
        raise UserError(f"{of}, {seconds:g} s, must be at most {MAX_STEPS} {kind} steps of {step:g} s")
    steps = round(seconds / step)
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
