"""`robometa learners`: its arguments and its work, tables for the terminal."""

from __future__ import annotations

import argparse
import ast
import inspect
import itertools
from collections.abc import Callable
from dataclasses import asdict

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
    """A learner: what it does, its paper, its options in every preset."""
    from rich.console import Console

    from robometa.reports.terminal import _table

    entry = registry.find(name)
    presets = entry.presets()
    console = Console()
    console.print(f"[bold]{registry.label(name)}[/bold]: {entry.about}\npaper: {entry.paper}", highlight=False)
    table = _table("option", *presets, "meaning")
    meanings = _meanings(type(next(iter(presets.values()))))
    for option in asdict(next(iter(presets.values()))):
        values = [str(asdict(preset)[option]) for preset in presets.values()]
        table.add_row(f"--{option.replace('_', '-')}", *values, meanings.get(option, ""))
    console.print(table, highlight=False)


def _meanings(configuration: type) -> dict[str, str]:
    """The words under each field of a configuration, by the field's name."""
    tables = [ast.parse(inspect.getsource(kind)).body[0] for kind in configuration.__mro__[-2::-1]]
    return {
        field.target.id: " ".join(line.value.value.split())
        for table in tables
        if isinstance(table, ast.ClassDef)
        for field, line in itertools.pairwise(table.body)
        if isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name)
        if isinstance(line, ast.Expr) and isinstance(line.value, ast.Constant) and isinstance(line.value.value, str)
    }
