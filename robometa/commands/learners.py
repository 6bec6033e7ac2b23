"""`robometa learners`: tables of the learners, and of one learner's options."""

from __future__ import annotations

import argparse

from robometa import registry
from robometa.commands import hints
from robometa.commands.arguments import OWN, Commands, Parser
from robometa.commands.exit_codes import FAILURE
from robometa.errors import UserError

ABOUT = "list the learners, or show one: its paper and options"
EXAMPLE = "robometa learners pearl"


def add_to(commands: Commands) -> Parser:
    """Adds the command and its arguments."""
    parser = commands.add("learners", ABOUT, _run, EXAMPLE)
    parser.add_argument("learner", metavar="NAME", nargs="?", help=f"name of a learner, or {OWN}")
    parser.add_argument("--check", action="store_true", help="run the learner, and report violations of the protocol")
    return parser


def _run(asked: argparse.Namespace) -> int:
    if asked.learner is None:
        if asked.check:
            raise UserError("--check needs a learner, as in `robometa learners ./mine.py:MyLearner --check`")
        print_learners()
        return 0
    if hints.is_suite(asked.learner):
        raise UserError(f"{asked.learner} is a suite: robometa suites {asked.learner}")
    registry.find(asked.learner)
    if not asked.check:
        print_learner(asked.learner)
        return 0
    from robometa.conformance.check_learner import check_learner

    violations = check_learner(asked.learner)
    print("\n".join(violations) or f"{registry.label(asked.learner)} keeps the learners' protocol")
    return FAILURE if violations else 0


def print_learners() -> None:
    """Prints a table of the shipped learners."""
    from rich.console import Console

    from robometa.reports.terminal import _table

    table = _table("learner", "paper", "about")
    for name, entry in registry.LEARNERS.items():
        table.add_row(name, entry.paper, entry.about)
    Console().print(table, highlight=False)
    print("\nshow one with its options: robometa learners NAME; one of your own: robometa learners ./mine.py:MyLearner")


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
