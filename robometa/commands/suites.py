"""`robometa suites`: tables of the suites, and of one suite."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path
from textwrap import fill
from typing import TYPE_CHECKING

from robometa import registry, suites
from robometa.commands.arguments import Commands, Parser
from robometa.errors import UserError
from robometa.escape import printable
from robometa.evaluation import protocols
from robometa.storage.paths import is_plain_file
from robometa.suites.shipped import INSTALL, benchmark_names, legged_names
from robometa.suites.suite import Suite
from robometa.suites.toml_file import learner_options, read_toml

if TYPE_CHECKING:
    from robometa.console import WholeTable
    from robometa.sim.suite_check import Checked

ABOUT = "list the suites, or show one: its tasks and observations"
EXAMPLE = "robometa suites half-cheetah-velocity"


def add_to(commands: Commands) -> Parser:
    """Adds the command and its arguments."""
    parser = commands.add("suites", ABOUT, _run, EXAMPLE)
    parser.add_argument("suite", metavar="NAME", nargs="?", help="name of a suite, or path of a .toml or .xml file")
    return parser


def _run(asked: argparse.Namespace) -> None:
    if asked.suite is None:
        print_suites()
        return
    if asked.suite in registry.LEARNERS:
        raise UserError(f"{asked.suite} is a learner: robometa learners {asked.suite}")
    if asked.suite.lower().endswith(".xml"):
        from robometa.commands.robot_model import print_model

        print_model(Path(asked.suite))
        return
    if asked.suite.endswith(".toml") and is_plain_file(Path(asked.suite)):
        print_suite(*_checked(Path(asked.suite)))
    else:
        print_suite(suites.load(asked.suite))


def _checked(path: Path) -> tuple[Suite, Checked]:
    """Loads a file of the user's own, checks it as a training does, and returns what its simulation shows, too.

    Raises:
        UserError: Naming every mistake in the file, in its options for learners, and in its robot.
    """
    options = learner_options(read_toml(path, path), path.name, [])
    mistakes = list[str]()
    try:
        suite = suites.load(path)
        from robometa.sim.suite_check import check_suite  # a fault in the file is shown without torch

        checked = check_suite(suite)
    except UserError as error:
        mistakes.append(str(error))
    if options:
        from robometa.registry.options import check_options

        try:
            check_options(options, path.name)
        except UserError as error:
            mistakes.append(str(error))
    if mistakes:
        raise UserError("\n".join(mistakes))
    return suite, checked


def print_suites() -> None:
    """Prints a table of the shipped suites."""
    from robometa.console import PlainConsole, WholeTable

    table = WholeTable("suite", "train/test", "horizon", "about", prose=("about",))
    for name in suites.names():
        _suite_row(table, name, suites.load(name))
    for name in benchmark_names():
        parameterised = name == "ml1"
        _suite_row(table, "ml1/TASK" if parameterised else name, suites.load("ml1/reach-v3" if parameterised else name))
    PlainConsole().print(table)
    absent = [name for name in legged_names() if name not in suites.names()]
    if absent:
        print(f"\n{', '.join(absent)}: once the models are here ({INSTALL})")
    print("\nshow one: robometa suites NAME; show a file of your own: robometa suites ./mine.toml")
    print("ml1, ml10, ... are Meta-World's (pip install 'robometa[metaworld]'); ml10/v1, ... have its first rewards")


def _suite_row(table: WholeTable, name: str, suite: Suite) -> None:
    counts = f"{len(suite.train)}/{len(suite.test)}" + (" (same)" if suite.finite else "")
    table.add_row(name, counts, str(suite.horizon), suite.about)


def print_suite(suite: Suite, checked: Checked | None = None) -> None:
    """Prints a suite: robot, objective, observation, hidden parameters and tasks, and what a check of it showed."""
    from rich.text import Text

    from robometa.console import PlainConsole, WholeTable, styled

    console = PlainConsole()
    about = f": {suite.about}" if suite.about else ""
    console.print(Text.assemble(styled(printable(suite.name)), printable(about)))
    table = WholeTable("", " ", prose=(" ",))
    table.show_header = False
    for row in (
        *([("source", suite.source)] if suite.source else []),
        ("robot", f"{suite.robot.name}: {suite.robot.about}" if suite.robot.about else suite.robot.name),
        *suite.family.rows(suite.train[0]),
        *([("command", suite.command.described())] if suite.command else []),
        *([("changes", suite.change.described())] if suite.change else []),
        *_checked_rows(checked),
        *_protocol_rows(suite),
        ("hash", suite.content_hash),
    ):
        label, *parts = map(printable, row)
        table.add_row(label, "\n".join(parts))
    console.print(table)
    for split in ("train", "test"):
        words, listed = suite.family.listing(suite.tasks(split))
        console.print(Text.assemble("\n", styled(split), f": {words}"))
        for line in listed:
            # A task that takes two lines stays one to the eye.
            console.print(fill(line, console.width, initial_indent="  ", subsequent_indent=" " * 7))


def _checked_rows(checked: Checked | None) -> Iterator[tuple[str, ...]]:
    """Observation and action in their order, the control rate, the beginning, and the variations' influence."""
    if checked is not None:
        signals = checked.signals
        for label, numbers in (("observation", signals.observation), ("action", signals.action)):
            yield label, f"{len(numbers)} numbers:", *map(str, numbers)
        yield "control rate", f"{signals.control_hz:g} actions per second"
        if checked.beginning:
            yield "begins", checked.beginning
        if checked.influences:
            yield "measured", "; ".join(map(str, checked.influences))


def _protocol_rows(suite: Suite) -> Iterator[tuple[str, str]]:
    """The suite's protocol, if suites of its family may have one."""
    if protocols.of_family(suite.family):
        protocol = protocols.default(suite)
        yield "protocol", f"{protocol.name}: {protocol.words()}" if protocol else "none of its own"
