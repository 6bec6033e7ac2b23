"""Errors of the user and of training, and options with their ranges."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields, is_dataclass
from typing import Any, get_type_hints

from robometa.escape import printable

LONGEST_LINE, LONGEST = 1000, 3000
"""Limits on a line and on a whole message, characters, because a message may quote untrusted text."""
MAX_NUMBER, MAX_LIST = 10**9, 100
"""Largest number of an option, and most entries of a list, because a policy may be from a stranger."""
MOST_NAMES_BESIDE_A_GUESS = 24
"""Most known names that a message lists after a guess at the meant one."""
RANGE = re.compile(r"[(\[] *-?(inf|\d[\d.e-]*), *-?(inf|\d[\d.e-]*) *[)\]]|\{.+\}")
"""Pattern of an interval or a set of names."""


class UserError(Exception):
    """A mistake in the user's request; its message names the value and the allowed ones.

    The message stays readable whatever it quotes. Long lines are cut, and so are long lists of them. Control characters
    are escaped.
    """

    def __init__(self, message: str) -> None:
        """Takes a message of one line for each mistake."""
        lines, kept = message.split("\n"), list[str]()
        for line in lines:
            cut = line if len(line) <= LONGEST_LINE else f"{line[: LONGEST_LINE - 100]} ... {line[-80:]}"
            if sum(map(len, kept)) + len(cut) > LONGEST:
                kept.append(f"and {len(lines) - len(kept)} more")
                break
            kept.append(printable(cut))
        super().__init__("\n".join(kept))


class TrainingError(Exception):
    """A training cannot go on; saved files stay."""


class FolderGoneError(TrainingError):
    """The folder that is being written is no longer at its path."""


class Stopped(TrainingError):
    """A training has stopped on request, after saving its progress."""


def unknown(kind: str, name: object, known: Iterable[str], where: str = "", meant: Sequence[str] = ()) -> str:
    """Message for an unknown name: its place, the likely meant names (else the nearest one), all known names.

    Where there are likely names, a list of more than `MOST_NAMES_BESIDE_A_GUESS` is left out: the guess is the message.
    """
    names = sorted(known)
    by_case = {one.casefold(): one for one in names}
    near = meant or [by_case[one] for one in difflib.get_close_matches(str(name).casefold(), by_case, n=1)]
    guess = f" (did you mean {' or '.join(map(repr, near))}?)" if near else ""
    place = f" in {where}" if where else ""
    known_names = "" if near and len(names) > MOST_NAMES_BESIDE_A_GUESS else f"; known: {', '.join(names) or 'none'}"
    return f"unknown {kind} {str(name)!r}{place}{guess}{known_names}"


@dataclass(frozen=True)
class Range:
    """The values that an option allows: an interval such as "(0, 1]", or names such as "{gru, lstm}"."""

    text: str
    """The range as written; a round bracket excludes that end."""

    def __post_init__(self) -> None:
        """Checks the notation of the range.

        Raises:
            UserError: If it is neither an interval nor a set of names.
        """
        if not RANGE.fullmatch(self.text):
            raise UserError(f'a range must be written as "(0, 1]" or as "{{gru, lstm}}", not {self.text!r}')

    @property
    def choices(self) -> tuple[str, ...]:
        """Names to choose from; none for an interval."""
        return tuple(name.strip() for name in self.text[1:-1].split(",")) if self.text.startswith("{") else ()

    @property
    def ends(self) -> tuple[float, float]:
        """Ends of an interval, which may be infinite."""
        low, high = (float(end) for end in self.text[1:-1].split(","))
        return low, high

    @property
    def words(self) -> str:
        """The range after "must be": "at least 1", "above 0", "in (0, 1]"."""
        low = self.text[1:].split(",")[0].strip()
        if self.choices or self.ends[1] != float("inf") or self.ends[0] == -float("inf"):
            return f"in {self.text}"
        return f"{'above' if self.text[0] == '(' else 'at least'} {low}"

    def __contains__(self, value: Any) -> bool:
        """True if a name is one of the choices, or a number is in the interval."""
        if self.choices:
            return value in self.choices
        low, high = self.ends
        above = value > low if self.text[0] == "(" else value >= low
        below = value < high if self.text[-1] == ")" else value <= high
        return bool(above and below)

    def __str__(self) -> str:
        """The range as written."""
        return self.text


@dataclass(frozen=True)
class Search:
    """Values of an option that `robometa search` tries by default; an option without one keeps its preset's value.

    It follows the range in the annotation: `Annotated[float, "(0, inf)", Search(1e-4, 1e-2, log=True)]` for a number,
    `Annotated[tuple[int, ...], "[1, inf)", Search(16, 256, log=True, depth=(1, 3))]` for the widths of layers, which
    are alike, `Annotated[str, "{gru, lstm}", Search()]` for every name of a range, and `Search(choices=(2, 4, 8))`.
    """

    low: float | None = None
    high: float | None = None
    """Ends of an interval, both included."""
    log: bool = False
    """True to draw from the interval on a logarithmic scale."""
    choices: tuple[Any, ...] = ()
    """Values to choose from, instead of an interval."""
    depth: tuple[int, int] | None = None
    """Fewest and most entries of an option that is a list."""


@dataclass(frozen=True)
class Options:
    """Base class of a learner's options; refuses an option outside its annotated range.

    The range is in the annotation: `rate: Annotated[float, "(0, 1]"] = 0.1` for a number or every number of a list,
    `memory: Annotated[str, "{gru, lstm}"] = "gru"` for a choice. A `Search` may follow it.
    """

    def __post_init__(self) -> None:
        """Checks every option against its range.

        Raises:
            UserError: Naming every option outside its range.
        """
        require(self)


def ranges_of(configuration: type) -> dict[str, Range]:
    """Reads the ranges in a dataclass's annotations, by option name."""
    hints = get_type_hints(configuration, include_extras=True)
    notes = {name: getattr(hint, "__metadata__", ()) for name, hint in hints.items()}
    return {
        name: Range(note)
        for name, beside in notes.items()
        for note in beside
        if isinstance(note, str) and note[:1] in ("(", "[", "{")
    }


def searches_of(configuration: type) -> dict[str, Search]:
    """Reads the default search ranges in a dataclass's annotations, by option name."""
    hints = get_type_hints(configuration, include_extras=True)
    notes = {name: getattr(hint, "__metadata__", ()) for name, hint in hints.items()}
    return {name: note for name, beside in notes.items() for note in beside if isinstance(note, Search)}


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
    """Describes the fault of an option's value; an empty string if it is allowed."""
    if value is None and default is None:
        return ""
    if allowed.choices:
        return "" if value in allowed else unknown(name, value, allowed.choices)
    usual = (default[0] if default else 0) if isinstance(default, tuple) else default
    whole = type(usual) is int
    if isinstance(value, tuple) and len(value) > MAX_LIST:
        return f"option {name} must have at most {MAX_LIST} entries, not {len(value)}"
    for number in value if isinstance(value, tuple) else (value,):
        if isinstance(number, bool) or not isinstance(number, int if whole else int | float):
            return f"option {name} must be a {'whole number' if whole else 'number'} in {allowed}, not {value!r}"
        if number not in allowed:
            return f"option {name} must be {allowed.words}, not {value!r:.100}"
        if abs(number) > MAX_NUMBER:
            return f"option {name} must be at most {MAX_NUMBER}, not {value!r:.100}"
    return ""


def of_kind(value: Any, default: Any) -> bool:
    """True if a value has the kind of an option's default; a whole number is also a valid float."""
    if isinstance(default, tuple):
        return isinstance(value, tuple) and all(of_kind(entry, default[0] if default else 0) for entry in value)
    if isinstance(default, float):
        return isinstance(value, int | float) and not isinstance(value, bool)
    return type(value) is type(default)
