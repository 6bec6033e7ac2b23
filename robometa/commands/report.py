"""`robometa report`."""

from __future__ import annotations

import argparse

from robometa.commands import hints
from robometa.commands.arguments import Commands, Parser
from robometa.commands.compare import add_page_options, write_page

ABOUT = "write a page about one policy or run, with figures"
EXAMPLE = "robometa report policies/half-cheetah-direction-maml-trpo"
MORE = "`robometa compare` for one. The page is one HTML file that needs no network."


def add_to(commands: Commands) -> Parser:
    """Adds the command and its arguments."""
    parser = commands.add("report", ABOUT, _run, EXAMPLE, more=MORE)
    parser.add_argument("policy", metavar="PATH", type=hints.policy, help="folder of a policy, a run or a report")
    add_page_options(parser, "report.html")
    return parser


def _run(asked: argparse.Namespace) -> None:
    write_page(asked, [str(asked.policy)])
