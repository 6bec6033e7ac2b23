"""Shared pieces of the commands' arguments: the parser, kinds of numbers, options of several commands."""

from __future__ import annotations

import argparse
import math
import re
import textwrap
from collections.abc import Callable
from itertools import groupby
from typing import Any, NoReturn

from robometa.commands import hints
from robometa.compute.hardware import ENGINES, forms_of
from robometa.errors import UserError

OWN = "./FILE.py:CLASS"
"""Form of the name of a user's own learner."""

REWARDED = (
    *("train", "resume", "search", "evaluate", "baseline", "export", "check-export"),
    *("suites", "record", "play", "replay", "verify", "collect", "probe", "distil", "page", "doctor"),
)
"""Commands that load a suite, whose objective may be of a user's own file."""


class Parser(argparse.ArgumentParser):
    """An argument parser that reports a mistake in one line, with exit code 2."""

    example = "robometa train half-cheetah-direction maml-trpo"
    """A command line that works, shown in the help and when an argument is missing."""

    def _check_value(self, action: argparse.Action, value: Any) -> None:
        """Checks that a word is one of an argument's choices, such as the commands."""
        if action.choices is not None and value not in action.choices:
            raise UserError(hints.unknown_command(str(action.metavar or action.dest).lower(), value, action.choices))

    def options(self) -> list[str]:
        """The options, as they are written."""
        return [option for action in self._actions for option in action.option_strings]

    def error(self, message: str) -> NoReturn:
        """Raises the mistake instead of printing the usage."""
        message = re.sub(r"^argument (\S+): must", r"\1 must", message).removeprefix("argument ")
        missing = "the following arguments are required: "
        if message.startswith(missing):
            message = f"missing {message.removeprefix(missing)}, as in `{self.example}`"
        raise UserError(f"{message} (see `{self.prog} --help`)")


class Filled(argparse.HelpFormatter):
    """Fills paragraphs to the terminal's width, and breaks at spaces only; lines that are indented stay as they are."""

    def _fill_text(self, text: str, width: int, indent: str) -> str:
        """Fills runs of lines that are not indented, as one paragraph each."""
        filled = []
        for plain, group in groupby(text.splitlines(), lambda line: bool(line) and not line[0].isspace()):
            lines = list(group)
            filled += textwrap.wrap(" ".join(lines), width, break_on_hyphens=False) if plain else lines
        return "\n".join(indent + line for line in filled)

    def _split_lines(self, text: str, width: int) -> list[str]:
        """Breaks an argument's help at spaces only, so that no path or name is torn."""
        return textwrap.wrap(" ".join(text.split()), width, break_on_hyphens=False)


class Commands:
    """The commands of a parser."""

    def __init__(self, parser: Parser, metavar: str = "COMMAND", about: str = argparse.SUPPRESS) -> None:
        """Adds an argument that names one of the commands; `about` is its help."""
        self._parsers = parser.add_subparsers(
            dest=metavar.lower(), metavar=metavar, required=True, prog=parser.prog, help=about
        )

    def add(
        self,
        name: str,
        about: str,
        work: Callable[[argparse.Namespace], int | None] | None,
        example: str,
        *,
        more: str = "",
        takes_learner_options: bool = False,
        **settings: Any,
    ) -> Parser:
        """Adds a command and returns its parser.

        Args:
            name: First word of the command.
            about: Its purpose, in one line.
            work: Runs the command and returns the exit code, or None for 0. None for a command with subcommands.
            example: A command line that works.
            more: Further lines for its own help.
            takes_learner_options: Passes unknown options on, as `asked.learner_options`, and the first word that
                belongs to none of them, as `asked.stray`.
            **settings: Settings of the argument parser.
        """
        parser: Parser = self._parsers.add_parser(
            name,
            help=about,
            description=f"{about}\n\n{more}" if more else about,
            epilog=f"example:\n  {example}",
            formatter_class=Filled,
            allow_abbrev=False,
            **settings,
        )
        parser.example = example
        parser.set_defaults(reward=None)
        if name in REWARDED:
            about = "file and class of a suite's own objective (default: none)"
            parser.add_argument("--reward", metavar="FILE.py:CLASS", help=about)
        parser.set_defaults(work=work, parser=parser, takes_learner_options=takes_learner_options)
        return parser


def add_hardware_options(parser: Parser) -> None:
    """Adds the options of where the learner and the simulation run."""
    parser.add_argument("--device", default="cpu", help="device of the networks: cpu, cuda, cuda:1 (default: cpu)")
    parser.add_argument("--engine", default="cpu", help=f"simulator: {', '.join(ENGINES)} (default: cpu)")
    about = "warp only: multiplies the memory for contacts, up to 1000 (default: 1)"
    factor = number(0, 1000, above=True)
    parser.add_argument("--contact-capacity", metavar="FACTOR", type=factor, default=1.0, help=about)
    add_threads_option(parser)


def add_threads_option(parser: Parser, usual: str = "all processors") -> None:
    """Adds the option of how many threads simulate."""
    parser.add_argument("--threads", type=count, help=f"CPU threads of the simulation (default: {usual})")


def add_collect_option(parser: Parser, default: str | None) -> None:
    """Adds the option of who collects."""
    usual = default or "as before"
    about = f"simulators, with the same results: {', '.join(forms_of())} (default: {usual})"
    parser.add_argument("--collect", metavar="WHO", default=default, help=about)


def add_policy_options(parser: Parser, shots: int | None) -> None:
    """Adds the options of the tasks that a policy adapts to."""
    parser.add_argument("--suite", help="another suite with equal observations and actions (default: the policy's)")
    add_split_option(parser)
    parser.add_argument(
        "--shots", type=whole, default=shots, help="times the policy adapts before its last score (default: 2)"
    )
    parser.add_argument("--seed", type=whole, default=0, help="seed of resets and exploration (default: 0)")
    add_learner_option(parser)


def add_split_option(parser: Parser) -> None:
    """Adds the option of which tasks of a suite are meant."""
    parser.add_argument("--split", default="test", help="tasks: test (held-out) or train (default: test)")


def add_learner_option(parser: Parser) -> None:
    """Adds the option of the file of a user's own learner."""
    about = "file and class of a learner of your own (default: none)"
    parser.add_argument("--learner", metavar="FILE.py:CLASS", type=hints.own_learner, help=about)


def add_moved_suite_option(parser: Parser) -> None:
    """Adds the option of where a run's suite is now."""
    parser.add_argument("--suite", metavar="FILE.toml", help="file of the run's suite, if moved (default: as before)")


def whole(text: str) -> int:
    """A whole number from 0."""
    return _whole(text, 0)


def count(text: str) -> int:
    """A whole number from 1."""
    return _whole(text, 1)


def _whole(text: str, low: int) -> int:
    try:
        value = int(text)
    except ValueError:
        value = low - 1
    if value < low:
        apart = "; separate several by spaces" if "," in text else ""
        raise argparse.ArgumentTypeError(f"must be a whole number from {low}, not {text}{apart}")
    return value


def number(low: float, high: float = math.inf, *, above: bool = False) -> Callable[[str], float]:
    """A number from `low`, or above it, to `high`."""
    begin, end = ("above", " and at most") if above else ("from", " to")
    allowed = f"{begin} {low:g}" + (f"{end} {high:g}" if high < math.inf else "")

    def read(text: str) -> float:
        try:
            value = float(text)
        except ValueError:
            value = math.nan
        if not (low <= value <= high and value < math.inf) or (above and value == low):
            raise argparse.ArgumentTypeError(f"must be a number {allowed}, not {text}")
        return value

    return read
