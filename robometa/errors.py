"""Errors: a user's mistake in one readable message, a training that cannot go on; and options with their ranges."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields, is_dataclass
from typing import Any, get_type_hints

LONGEST_LINE, LONGEST = 1000, 3000
"""Characters of a message: what it quotes may be anybody's."""
RANGE = re.compile(r"[(\[] *-?(inf|\d[\d.e-]*), *-?(inf|\d[\d.e-]*) *[)\]]|\{.+\}")
"""An interval, or a set of names."""


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


def unknown(kind: str, name: object, known: Iterable[str], where: str = "", meant: Sequence[str] = ()) -> str:
    """The message for an unknown name: its place, what may be meant (else the nearest name), all known names."""
    names = sorted(known)
    near = meant or difflib.get_close_matches(str(name), names, n=1)
    guess = f" (did you mean {' or '.join(map(repr, near))}?)" if near else ""
    place = f" in {where}" if where else ""
    return f"unknown {kind} {str(name)!r}{place}{guess}; known: {', '.join(names) or 'none'}"


@dataclass(frozen=True)
class Range:
    """The values that an option allows: an interval such as "(0, 1]", or names such as "{gru, lstm}"."""

    text: str
    """The range as it is written, with a round bracket at an end that is left out."""

    def __post_init__(self) -> None:
        """Checks how the range is written.

        Raises:
            UserError: If it is neither an interval nor a set of names.
        """
        if not RANGE.fullmatch(self.text):
            raise UserError(f'a range must be written as "(0, 1]" or as "{{gru, lstm}}", not {self.text!r}')

    @property
    def choices(self) -> tuple[str, ...]:
        """The names to choose from; none for an interval."""
        return tuple(name.strip() for name in self.text[1:-1].split(",")) if self.text.startswith("{") else ()

    @property
    def ends(self) -> tuple[float, float]:
        """The ends of an interval, which may be infinite."""
        low, high = (float(end) for end in self.text[1:-1].split(","))
        return low, high

    def __contains__(self, value: Any) -> bool:
        """Whether a name is one of the choices, or a number is in the interval."""
        if self.choices:
            return value in self.choices
        low, high = self.ends
        above = value > low if self.text[0] == "(" else value >= low
        below = value < high if self.text[-1] == ")" else value <= high
        return bool(above and below)

    def __str__(self) -> str:
        """The range as it is written."""
        return self.text


@dataclass(frozen=True)
class Options:
    """The base of a learner's options, which refuses an option outside the range that its annotation gives.

    A range is written beside the type: `rate: Annotated[float, "(0, 1]"] = 0.1` for a number, or for every number of a
    list; `memory: Annotated[str, "{gru, lstm}"] = "gru"` for a choice.
    """

    def __post_init__(self) -> None:
        """Checks every option against its range.

        Raises:
            UserError: Naming every option outside its range.
        """
        require(self)


def ranges_of(configuration: type) -> dict[str, Range]:
    """The ranges in the annotations of a dataclass, by the option's name."""
    hints = get_type_hints(configuration, include_extras=True)
    notes = {name: getattr(hint, "__metadata__", ()) for name, hint in hints.items()}
    return {
        name: Range(note)
        for name, beside in notes.items()
        for note in beside
        if isinstance(note, str) and note[:1] in ("(", "[", "{")
    }


def require(options: object, **ranges: str) -> None:
    """Checks options, and every entry of an option that is a list, against their ranges.

    Args:
        options: The dataclass that holds them.
        **ranges: The range of each option to check, such as "(0, 1]"; the ranges in the annotations if none is given.

    Raises:
        UserError: Naming every option outside its range, its value and its range.
    """
    wanted = {name: Range(text) for name, text in ranges.items()} or ranges_of(type(options))
    defaults = {entry.name: entry.default for entry in fields(options)} if is_dataclass(options) else {}
    checked = [_mistake(name, getattr(options, name), allowed, defaults.get(name)) for name, allowed in wanted.items()]
    mistakes = [mistake for mistake in checked if mistake]
    if mistakes:
        raise UserError("\n".join(mistakes))


def _mistake(name: str, value: Any, allowed: Range, default: Any) -> str:
    """Returns the reason why an option's value is not allowed, or nothing if it is."""
    if value is None and default is None:
        return ""
    if allowed.choices:
        return "" if value in allowed else unknown(name, value, allowed.choices)
    usual = (default[0] if default else 0) if isinstance(default, tuple) else default
    whole = type(usual) is int
    for number in value if isinstance(value, tuple) else (value,):
        if isinstance(number, bool) or not isinstance(number, int if whole else int | float):
            return f"option {name} must be a {'whole number' if whole else 'number'} in {allowed}, not {value!r}"
        if number not in allowed:
            return f"option {name} must be in {allowed}, not {value}"
    return ""


def of_kind(value: Any, default: Any) -> bool:
    """Whether a value is of the same kind as an option's default; a whole number may stand for any number."""
    if isinstance(default, tuple):
        return isinstance(value, tuple) and all(of_kind(entry, default[0] if default else 0) for entry in value)
    if isinstance(default, float):
        return isinstance(value, int | float) and not isinstance(value, bool)
    return type(value) is type(default)
