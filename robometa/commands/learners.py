"""`robometa learners`: its arguments and its work, tables for the terminal."""

from __future__ import annotations

import argparse
from collections.abc import Callable

from robometa import registry
from robometa.commands.arguments import OWN, Parser
from robometa.commands.exit_codes import FAILURE
from robometa.errors import UserError


def add_arguments(command: Callable[..., Parser]) -> None:
    """Adds `robometa learners` to the parser."""
    add = command("learners", "list the learners, or show one: what it does, its paper, its options")
    add.add_argument("learner", metavar="NAME", nargs="?", help=f"a learner's name, or {OWN}")
    add.add_argument("--check", action="store_true", help="run it, and tell what it breaks of the learners' protocol")


def _learners(asked: argparse.Namespace, rest: list[str]) -> int:
    if asked.learner is None:
        if asked.check:
            raise UserError("--check needs a learner, as in `robometa learners ./mine.py:MyLearner --check`")
        print_learners()
        return 0
    registry.find(asked.learner)
    if not asked.check:
        print_learner(asked.learner)
        return 0
    from robometa.conformance.check_learner import check_learner

    findings = check_learner(asked.learner)
    print("\n".join(findings) or f"{registry.label(asked.learner)} keeps the learners' protocol")
    return FAILURE if findings else 0


def print_learners() -> None:
    """Every learner in a line."""
    from rich.console import Console

    from robometa.reports.terminal import _table

    table = _table("learner", "paper", "about")
    for name, entry in registry.LEARNERS.items():
        table.add_row(name, entry.paper, entry.about)
    Console().print(table, highlight=False)
    print(
        "\none of them with its options: robometa learners NAME; one of your own: robometa learners ./mine.py:MyLearner"
    )


def print_learner(name: str) -> None:
    """Prints a learner: what it does, its paper, its options in every preset with their ranges."""
    from rich.console import Console
    from rich.markup import escape

    from robometa.registry.options import described
    from robometa.reports.terminal import _table

    entry = registry.find(name)
    presets = entry.presets()
    console = Console()
    console.print(f"[bold]{registry.label(name)}[/bold]: {entry.about}\npaper: {entry.paper}", highlight=False)
    table = _table("option", *presets, "range", "meaning")
    for option in described(type(next(iter(presets.values())))):
        values = [str(getattr(preset, option.name)) for preset in presets.values()]
        allowed = escape(str(option.range or ""))
        table.add_row(f"--{option.name.replace('_', '-')}", *values, allowed, option.meaning)
    console.print(table, highlight=False)
