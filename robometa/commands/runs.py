"""`robometa runs`."""

from __future__ import annotations

import argparse
import json
from typing import TYPE_CHECKING

from robometa.commands.arguments import Commands, Parser
from robometa.escape import say
from robometa.storage.paths import RUNS, checked

if TYPE_CHECKING:
    from robometa.training.run_list import Run

ABOUT = "list runs: progress, returns, size, and which are running"
EXAMPLE = "robometa runs runs/half-cheetah-velocity-pearl-0 other-runs"


def add_to(commands: Commands) -> Parser:
    """Adds the command and its arguments."""
    parser = commands.add("runs", ABOUT, _run, EXAMPLE)
    about = f"folders of runs, or with runs below them (default: {RUNS})"
    parser.add_argument("folders", metavar="FOLDER", nargs="*", type=checked, help=about)
    parser.add_argument("--json", action="store_true", help="print a JSON list (default: a table)")
    return parser


def _run(asked: argparse.Namespace) -> None:
    from robometa.training.run_list import runs_in

    folders = asked.folders or [checked(RUNS)]
    listed = runs_in(folders) if asked.folders or folders[0].is_dir() else []
    if asked.json:
        print(json.dumps([run.to_json() for run in listed], indent=2))
    elif listed:
        _print(listed)
    else:
        say(f"no runs in {', '.join(map(str, folders))}")


def _print(runs: list[Run]) -> None:
    """Prints a table of runs, and a line for each damaged one."""
    from robometa.console import PlainConsole, WholeTable

    numbers = ("seed", "iterations", "steps", "return", "held out", "size")
    table = WholeTable("run", "suite", "learner", *numbers, "state", right=numbers)
    for run in runs:
        if run.state != "damaged":
            table.add_row(*_cells(run))
    console = PlainConsole()
    if table.row_count:
        if not console.is_terminal:
            console.width = 200
        console.print(table)
    for run in runs:
        if run.state == "damaged":
            say(f"{run.folder}: damaged, {_megabytes(run.bytes)}: {run.fault}")


def _cells(run: Run) -> tuple[str, ...]:
    """Cells of a run's row."""
    done = f"{run.iterations}/{run.end}"
    returns = ("" if value is None else f"{value:.1f}" for value in (run.last_return, run.held_out_return))
    size = _megabytes(run.bytes)
    return (run.folder, run.suite, run.learner, str(run.seed), done, f"{run.steps:,}", *returns, size, run.state)


def _megabytes(size: int) -> str:
    return f"{size / 1e6:,.1f} MB"
