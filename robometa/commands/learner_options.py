"""A learner's options on the command line: its configuration's fields, with their docstrings as help."""

from __future__ import annotations

import argparse
import contextlib
import io
import itertools
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from robometa import registry
from robometa.commands.arguments import Parser
from robometa.commands.hints import numbers_apart, too_many, unknown_option
from robometa.errors import UserError
from robometa.escape import word
from robometa.registry.options import Option, described, resolve, scheduled
from robometa.suites.suite import Suite

STARTS, ENDS = (
    ("Error parsing", "Unrecognized options:", "Missing value"),
    ("---", "Argument helptext", "For full helptext"),
)
"""Beginnings of the lines of a parser's error message, and of the lines after it."""


def read_options(
    suite: Suite,
    learner: str,
    preset: str | None,
    words: list[str],
    others: Sequence[str] = (),
    base: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Reads a learner's options for a suite, with the user's words on top.

    `others` are further options of the command, which a wrong one may have meant; `base` are options of a file, which
    the words override.

    Raises:
        UserError: In one line per mistake.
    """
    import tyro  # only the command line needs it

    default = resolve(suite, learner, dict(base or {}), preset)
    kind = type(default)
    names = [f"--{name.replace('_', '-')}" for name in asdict(default)]
    flags = [f"--no-{name.replace('_', '-')}" for name, value in asdict(default).items() if isinstance(value, bool)]
    known = [*names, *flags]
    written = [word.split("=")[0].replace("_", "-") for word in words if word.startswith("--")]
    if words and not words[0].startswith("-"):
        raise UserError(too_many(words[0], "train"))
    wrong = [unknown_option(name, [*names, *others], f"learner {learner}") for name in written if name not in known]
    if wrong:
        raise UserError("\n".join(wrong))
    said = io.StringIO()
    try:
        with contextlib.redirect_stderr(said), contextlib.redirect_stdout(said):
            chosen = tyro.cli(kind, args=words, default=default, prog="robometa train")
    except SystemExit:
        raise UserError(f"learner {learner}: {_complaint(said.getvalue(), words, default)}") from None
    options = asdict(chosen)
    return options | scheduled(asdict(default), {name: options[name] for name in given(words) if name in options})


def given(words: list[str]) -> list[str]:
    """Names of the options that the user's words give."""
    return [word.split("=")[0].removeprefix("--").replace("-", "_") for word in words if word.startswith("--")]


def print_help(suite: Suite, learner: str, preset: str | None, command: Parser) -> None:
    """Prints a learner's options on a suite, with their meanings, ranges and values, and then those of the command."""
    default = resolve(suite, learner, {}, preset)
    whole = argparse.ArgumentParser(
        prog=command.prog,
        usage=f"{command.prog} {word(suite.name)} {word(learner)} [options]",
        description=_one_line(type(default).__doc__ or ""),
        add_help=False,
    )
    own = whole.add_argument_group(f"options of {registry.label(learner)}")
    for option in described(type(default)):
        name = f"--{option.name.replace('_', '-')}"
        value = getattr(default, option.name)
        shown = " ".join(map(str, value)) or "none" if isinstance(value, tuple) else value
        about = f"{_help(option)} (default: {shown})".replace("%", "%%")
        if isinstance(value, bool):
            own.add_argument(name, action=argparse.BooleanOptionalAction, help=about)
        else:
            own.add_argument(name, metavar="N ..." if isinstance(value, tuple) else _metavar(value), help=about)
    every = whole.add_argument_group("options of every training")
    for action in command._actions:
        if action.option_strings:
            every._add_action(action)
    whole.print_help()


def _metavar(value: Any) -> str:
    """Placeholder of an option's value."""
    return {int: "N", float: "X"}.get(type(value), "NAME")


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
