"""`robometa export-table`."""

from __future__ import annotations

import argparse
import sys

from robometa.commands.arguments import Commands, Parser
from robometa.commands.compare import add_evaluate_options, comparison_of
from robometa.errors import UserError
from robometa.escape import printable, say
from robometa.storage.paths import checked, matching, require_replaceable, unwritable

ABOUT = "print the table of a comparison as CSV, LaTeX or Markdown"
EXAMPLE = "robometa export-table policies/half-cheetah-velocity-rl2 --format latex"
MORE = """\
LaTeX needs the package booktabs. The CSV has a row for every learner and shot, and numbers that
are not rounded."""


def add_to(commands: Commands) -> Parser:
    """Adds the command and its arguments."""
    parser = commands.add("export-table", ABOUT, _run, EXAMPLE, more=MORE)
    about = "folders of runs, policies or reports, or glob patterns"
    parser.add_argument("paths", metavar="PATH", nargs="+", help=about)
    kinds = "csv, latex or markdown (default: markdown)"
    parser.add_argument("--format", metavar="FORMAT", default="markdown", help=kinds)
    parser.add_argument("--out", type=checked, help="file to write (default: standard output)")
    add_evaluate_options(parser)
    return parser


def _run(asked: argparse.Namespace) -> None:
    matching(asked.paths)
    if asked.out is not None:
        require_replaceable(asked.out)
    from robometa.errors import unknown
    from robometa.reports.export import FORMATS
    from robometa.storage import atomic

    if asked.format not in FORMATS:
        raise UserError(unknown("format", asked.format, FORMATS))
    compared = comparison_of(asked, asked.paths)
    text = compared.table(asked.format)
    for note in compared.notes:
        say(f"note: {note}", error=True)
    if asked.out is None:
        sys.stdout.write(text)
        return
    try:
        atomic.replace_file(asked.out, text.encode())
    except OSError as error:
        raise unwritable(asked.out, error) from None
    say(f"written: {printable(asked.out)}")
