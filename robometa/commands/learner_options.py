"""A learner's options on the command line: its configuration's fields, with their docstrings as help."""

from __future__ import annotations

import contextlib
import io
import itertools
import re
from collections.abc import Sequence
from dataclasses import asdict, field, make_dataclass
from functools import partial
from typing import Annotated, Any

from robometa.commands.hints import numbers_apart, unknown_option
from robometa.errors import UserError
from robometa.escape import word
from robometa.registry.options import Option, described, resolve
from robometa.suites.suite import Suite

STARTS, ENDS = (
    ("Error parsing", "Unrecognized options:", "Missing value"),
    ("---", "Argument helptext", "For full helptext"),
)
"""Beginnings of the lines of a parser's error message, and of the lines after it."""


def read_options(
    suite: Suite, learner: str, preset: str | None, words: list[str], others: Sequence[str] = ()
) -> dict[str, Any]:
    """Reads a learner's options for a suite, with the user's words on top.

    With `--help` among the words, prints the options and exits. `others` are further options of the command, which a
    wrong one may have meant.

    Raises:
        UserError: In one line per mistake.
    """
    import tyro  # only the command line needs it

    default = resolve(suite, learner, {}, preset)
    kind = type(default)
    names = [f"--{name.replace('_', '-')}" for name in asdict(default)]
    flags = [f"--no-{name.replace('_', '-')}" for name, value in asdict(default).items() if isinstance(value, bool)]
    known = [*names, *flags, "--help", "-h"]
    given = [word.split("=")[0].replace("_", "-") for word in words if word.startswith("--")]
    wrong = [unknown_option(name, [*names, *others], f"learner {learner}") for name in given if name not in known]
    if wrong:
        raise UserError("\n".join(wrong))
    if "--help" in words or "-h" in words:
        print_help(default, f"robometa train {word(suite.name)} {word(learner)}")
    said = io.StringIO()
    try:
        with contextlib.redirect_stderr(said), contextlib.redirect_stdout(said):
            chosen = tyro.cli(kind, args=words, default=default, prog="robometa train")
    except SystemExit:
        raise UserError(f"learner {learner}: {_complaint(said.getvalue(), words, default)}") from None
    return asdict(chosen)


def print_help(default: Any, command: str) -> None:
    """Prints the options of a configuration with their meanings, ranges and values, and exits."""
    import tyro

    kind = type(default)
    table = [
        (
            option.name,
            Annotated[option.kind, tyro.conf.arg(help=_help(option))],
            field(default_factory=partial(getattr, default, option.name)),
        )
        for option in described(kind)
    ]
    shown = make_dataclass(kind.__name__, table, frozen=True)
    tyro.cli(shown, args=["--help"], prog=command, description=kind.__doc__)


def _help(option: Option) -> str:
    """The meaning of an option, and its range."""
    return f"{option.meaning} Range: {option.range}." if option.range else option.meaning


def _complaint(boxed: str, words: list[str], default: Any) -> str:
    """Rewords a parser's error message on an option's value; returns any other unchanged."""
    said = _one_line(boxed)
    name = said.partition(":")[0]
    usual = asdict(default).get(name.removeprefix("--").replace("-", "_"))
    if usual is None:
        return said
    split = [part for word in words for part in (word.split("=") if word.startswith("--") else [word])]
    after = split[[part.replace("_", "-") for part in split].index(name) + 1 :]
    given = list(itertools.takewhile(lambda part: not part.startswith("--"), after))
    if isinstance(usual, tuple) and (hint := numbers_apart(name, " ".join(given))):
        return hint
    wanted = (" ".join(map(str, usual)) or "whole numbers") if isinstance(usual, tuple) else usual
    return f"option {name} must be something like {wanted}, not {' '.join(given)}"


def _one_line(boxed: str) -> str:
    """Extracts a parser's boxed error message, in one line."""
    bare = re.sub(r"\x1b\[[0-9;]*m|[│╭╮╰╯─━┃]", " ", boxed)
    lines = [line.strip() for line in bare.splitlines() if line.strip()]
    first = next((row for row, line in enumerate(lines) if line.startswith(STARTS)), 0)
    last = next((row for row, line in enumerate(lines) if row > first and line.startswith(ENDS)), len(lines))
    return " ".join(" ".join(lines[first:last]).removeprefix("Error parsing ").split())
