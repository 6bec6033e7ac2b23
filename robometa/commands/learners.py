"""`robometa learners`: tables of the learners, and of one learner's options."""

from __future__ import annotations

import argparse
from importlib.resources import files
from pathlib import Path

from robometa import registry
from robometa.commands.arguments import OWN, Commands, Parser
from robometa.commands.exit_codes import FAILURE
from robometa.errors import UserError
from robometa.escape import printable, say, word
from robometa.storage import atomic
from robometa.storage.open_folder import opened
from robometa.storage.paths import checked, unwritable
from robometa.suites.shipped import is_shipped

ABOUT = "list the learners, or show one: its paper and options"
EXAMPLE = "robometa learners pearl"


def add_to(commands: Commands) -> Parser:
    """Adds the command and its arguments."""
    parser = commands.add("learners", ABOUT, _run, EXAMPLE)
    parser.add_argument("learner", metavar="NAME", nargs="?", help=f"name of a learner, or {OWN}")
    parser.add_argument("--check", action="store_true", help="run the learner, and report violations of the protocol")
    template = "write a learner to begin with into a new file (default: none)"
    parser.add_argument("--template", metavar="FILE.py", type=checked, help=template)
    return parser


def _run(asked: argparse.Namespace) -> int:
    if asked.template is not None:
        if asked.learner is not None or asked.check:
            raise UserError("--template takes nothing beside it, as in `robometa learners --template mine.py`")
        write_template(asked.template)
        return 0
    if asked.learner is None:
        if asked.check:
            raise UserError("--check needs a learner, as in `robometa learners ./mine.py:MyLearner --check`")
        print_learners()
        return 0
    if is_shipped(asked.learner):
        raise UserError(f"{asked.learner} is a suite: robometa suites {asked.learner}")
    registry.find(asked.learner)
    if not asked.check:
        print_learner(asked.learner)
        return 0
    from robometa.conformance.check_learner import check_learner

    violations = check_learner(asked.learner)
    say("\n".join(violations) or f"{registry.label(asked.learner)} keeps the learners' protocol")
    return FAILURE if violations else 0


def write_template(path: Path) -> None:
    """Writes a working learner with comments into a new file, and prints the commands that check and train it.

    Raises:
        UserError: If there is such a file already, or it cannot be written.
    """
    if path.suffix != ".py":
        raise UserError(f"a learner's file ends with .py, not {str(path)!r}")
    source = files("robometa.conformance").joinpath("template.py").read_bytes()
    try:
        with opened(path.parent) as folder:
            atomic.write(folder, path.name, source)
    except FileExistsError:
        raise UserError(f"{path} exists already: choose another file") from None
    except OSError as error:
        raise unwritable(path, error) from None
    name = word(f"./{path}:MyLearner" if not path.is_absolute() else f"{path}:MyLearner")
    say(f"written: {path}\ncheck it: robometa learners {name} --check\ntrain it: robometa train point-robot {name}")


def print_learners() -> None:
    """Prints a table of the shipped learners."""
    from robometa.console import PlainConsole, WholeTable

    table = WholeTable("learner", "paper", "about", prose=("paper", "about"))
    for name, entry in registry.LEARNERS.items():
        table.add_row(name, entry.paper, entry.about)
    PlainConsole().print(table)
    print("\nshow one with its options: robometa learners NAME; one of your own: robometa learners ./mine.py:MyLearner")
    print("begin one of your own: robometa learners --template mine.py")


def print_learner(name: str) -> None:
    """Prints a learner: what it does, its paper, its options with their ranges, and what each preset changes."""
    from rich.text import Text

    from robometa.console import PlainConsole, WholeTable, styled
    from robometa.registry.options import described

    entry = registry.find(name)
    presets = entry.presets()
    console = PlainConsole()
    console.print(
        Text.assemble(styled(registry.label(name)), f": {printable(entry.about)}\npaper: {printable(entry.paper)}")
    )
    (first, usual), *others = presets.items()
    table = WholeTable("option", first, "range", "meaning", prose=("meaning",))
    for option in described(type(usual)):
        value = str(getattr(usual, option.name))
        table.add_row(_flag(option.name), value, str(option.range or ""), option.meaning)
    console.print(table)
    for other, preset in others:
        values = vars(preset).items()
        words = [f"{_flag(key)} {_typed(value)}" for key, value in values if value != getattr(usual, key)]
        console.print(Text.assemble("--preset ", styled(other), f" is {' '.join(words) or 'the same'}"))


def _flag(option: str) -> str:
    return f"--{option.replace('_', '-')}"


def _typed(value: object) -> str:
    """A value as the command line takes it."""
    return " ".join(map(str, value)) if isinstance(value, tuple) else str(value)
