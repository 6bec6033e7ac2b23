"""What goes wrong: a user's mistake, told in one readable message, and a training that cannot go on."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class UserError(Exception):
    """A mistake in what the user asked for; its message names the value and the allowed ones."""


class TrainingError(Exception):
    """A training that cannot go on; what was saved stays."""


class Stopped(TrainingError):
    """A training that was asked to stop, and has saved what it did."""


def unknown(kind: str, name: object, known: Iterable[str], where: str = "") -> str:
    """The message for an unknown name: the name, where it stands, the nearest known name, all known names."""
    names = sorted(known)
    near = difflib.get_close_matches(str(name), names, n=1)
    guess = f" (did you mean {near[0]!r}?)" if near else ""
    place = f" in {where}" if where else ""
    return f"unknown {kind} {str(name)!r}{place}{guess}; known: {', '.join(names) or 'none'}"


def require(options: object, **intervals: str) -> None:
    """Checks that every named option, or every number of a list of them, is in its interval, written as "(0, 1]".

    Raises: UserError: Naming every option that is not, its value and its interval.
    """
    mistakes = []
    for name, interval in intervals.items():
        low, high = (float(end) for end in interval[1:-1].split(","))
        value = getattr(options, name)
        for number in value if isinstance(value, tuple) else (value,):
            above = number > low if interval[0] == "(" else number >= low
            below = number < high if interval[-1] == ")" else number <= high
            if not (above and below):
                mistakes.append(f"option {name} must be in {interval}, not {value}")
                break
    if mistakes:
        raise UserError("\n".join(mistakes))
