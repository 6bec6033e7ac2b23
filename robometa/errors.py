"""What goes wrong: a user's mistake, told in one readable message, and a training that cannot go on."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from dataclasses import fields, is_dataclass
from typing import Any

LONGEST_LINE, LONGEST = 1000, 3000
"""Characters of a message: what it quotes may be anybody's."""


class UserError(Exception):
    """A mistake in what the user asked for; its message names the value and the allowed ones.

    A message can be read whatever it quotes: lines are cut where they get long, and so is the list of them; what would
    move the cursor or clear the screen is written out.
    """

    def __init__(self, message: str) -> None:
        """With a message of one line for each mistake."""
        lines, kept = message.split("\n"), list[str]()
        for line in lines:
            cut = line if len(line) <= LONGEST_LINE else f"{line[: LONGEST_LINE - 100]} ... {line[-80:]}"
            if sum(map(len, kept)) + len(cut) > LONGEST:
                kept.append(f"and {len(lines) - len(kept)} more")
                break
            kept.append("".join(sign if sign.isprintable() else repr(sign)[1:-1] for sign in cut))
        super().__init__("\n".join(kept))


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
    defaults = {entry.name: entry.default for entry in fields(options)} if is_dataclass(options) else {}
    for name, interval in intervals.items():
        low, high = (float(end) for end in interval[1:-1].split(","))
        value, usual = getattr(options, name), defaults.get(name)
        usual = (usual[0] if usual else 0) if isinstance(usual, tuple) else usual
        for number in value if isinstance(value, tuple) else (value,):
            if isinstance(number, bool) or not isinstance(number, int if type(usual) is int else int | float):
                kind = "whole number" if type(usual) is int else "number"
                mistakes.append(f"option {name} must be a {kind} in {interval}, not {value!r}")
                break
            above = number > low if interval[0] == "(" else number >= low
            below = number < high if interval[-1] == ")" else number <= high
            if not (above and below):
                mistakes.append(f"option {name} must be in {interval}, not {value}")
                break
    if mistakes:
        raise UserError("\n".join(mistakes))


def of_kind(value: Any, default: Any) -> bool:
    """Whether a value is of the same kind as an option's default; a whole number may stand for any number."""
    if isinstance(default, tuple):
        return isinstance(value, tuple) and all(of_kind(entry, default[0] if default else 0) for entry in value)
    if isinstance(default, float):
        return isinstance(value, int | float) and not isinstance(value, bool)
    return type(value) is type(default)
