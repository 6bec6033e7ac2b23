"""A learner's options as the command line gives them: its configuration's fields, with their own words as help."""

from __future__ import annotations

import contextlib
import io
import itertools
import re
from dataclasses import asdict
from typing import Any

from robometa import learners
from robometa.errors import UserError, of_kind, unknown
from robometa.learners import own
from robometa.suites import Suite

STARTS, ENDS = (
    ("Error parsing", "Unrecognized options:", "Missing value"),
    ("---", "Argument helptext", "For full helptext"),
)
"""How the lines of a parser's complaint begin, and the lines after it."""


def read_options(suite: Suite, learner: str, preset: str | None, words: list[str]) -> dict[str, Any]:
    """The learner's options for a suite, with what the user wrote on top.

    With `--help` among the words, prints what there is and exits.

    Raises: UserError: In one line per mistake.
    """
    import tyro  # which only a command line needs

    kind = learners.find(learner).load().configuration
    default = kind(**resolve_options(suite, learner, {}, preset))
    names = [f"--{name.replace('_', '-')}" for name in asdict(default)]
    flags = [f"--no-{name.replace('_', '-')}" for name, value in asdict(default).items() if isinstance(value, bool)]
    known = [*names, *flags, "--help", "-h"]
    given = [word.split("=")[0].replace("_", "-") for word in words if word.startswith("--")]
    wrong = [unknown("option", name, names, f"learner {learner}") for name in given if name not in known]
    if wrong:
        raise UserError("\n".join(wrong))
    if "--help" in words or "-h" in words:
        tyro.cli(kind, args=["--help"], default=default, prog=f"robometa train {suite.name} {learner}")
    said = io.StringIO()
    try:
        with contextlib.redirect_stderr(said), contextlib.redirect_stdout(said):
            chosen = tyro.cli(kind, args=words, default=default, prog="robometa train")
    except SystemExit:
        raise UserError(f"learner {learner}: {_complaint(said.getvalue(), words, default)}") from None
    return asdict(chosen)


def resolve_options(suite: Suite, learner: str, options: dict[str, Any], preset: str | None = None) -> dict[str, Any]:
    """The learner's options: the preset's, the suite file's on top, the user's on top of these.

    Raises: UserError: Naming every option that the learner does not have, or that is of another kind.
    """
    presets = learners.find(learner).presets()
    if preset is not None and preset not in presets:
        raise UserError(unknown("preset", preset, presets))
    resolved = asdict(presets[preset] if preset is not None else next(iter(presets.values())))
    mistakes = [
        unknown("learner", name, learners.LEARNERS, suite.path.name)
        for name in suite.learner
        if name not in learners.LEARNERS and not own.is_reference(name)
    ]
    learner = own.short(learner)
    from_suite = suite.learner.get(learner, {})
    for source, where in ((from_suite, f"[learner.{learner}] of {suite.path.name}"), (options, f"learner {learner}")):
        mistakes += [unknown("option", name, resolved, where) for name in source if name not in resolved]
        known = {name: value for name, value in source.items() if name in resolved}
        known = {name: tuple(value) if isinstance(value, list) else value for name, value in known.items()}
        mistakes += [
            f"option {name} of {where} must be something like {resolved[name]}, not {value!r}"
            for name, value in known.items()
            if not of_kind(value, resolved[name])
        ]
        resolved |= known
    if mistakes:
        raise UserError("\n".join(mistakes))
    return resolved


def check_options(suite: Suite) -> None:
    """Returns if the options that a suite's file has for learners are sound.

    Raises: UserError: With all that is wrong with them.
    """
    mistakes: dict[str, None] = {}  # what is said for every learner is said once
    for name in ("random", *(name for name in suite.learner if name in learners.LEARNERS)):
        try:
            learners.find(name).load().configuration(**resolve_options(suite, name, {}))
        except UserError as error:
            mistakes |= dict.fromkeys(str(error).splitlines())
    if mistakes:
        raise UserError("\n".join(mistakes))


def _complaint(boxed: str, words: list[str], default: Any) -> str:
    """What a parser says of an option's value, in our words; what it says of anything else, in its own."""
    said = _one_line(boxed)
    name = said.partition(":")[0]
    usual = asdict(default).get(name.removeprefix("--").replace("-", "_"))
    if usual is None:
        return said
    split = [part for word in words for part in (word.split("=") if word.startswith("--") else [word])]
    after = split[[part.replace("_", "-") for part in split].index(name) + 1 :]
    given = itertools.takewhile(lambda part: not part.startswith("--"), after)
    wanted = (" ".join(map(str, usual)) or "whole numbers") if isinstance(usual, tuple) else usual
    return f"option {name} must be something like {wanted}, not {' '.join(given)}"


def _one_line(boxed: str) -> str:
    """What a parser's boxed complaint says, in one line."""
    bare = re.sub(r"\x1b\[[0-9;]*m|[│╭╮╰╯─━┃]", " ", boxed)
    lines = [line.strip() for line in bare.splitlines() if line.strip()]
    first = next((row for row, line in enumerate(lines) if line.startswith(STARTS)), 0)
    last = next((row for row, line in enumerate(lines) if row > first and line.startswith(ENDS)), len(lines))
    return " ".join(" ".join(lines[first:last]).removeprefix("Error parsing ").split())
