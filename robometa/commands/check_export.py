"""`robometa check-export`."""

from __future__ import annotations

import argparse

from robometa import suites
from robometa.commands.arguments import Commands, Parser
from robometa.deployment.places import require_export
from robometa.escape import say
from robometa.storage.paths import checked

ABOUT = "compare exported files with the policy's outputs and returns"
EXAMPLE = "robometa check-export exports/velocity-rl2"


def add_to(commands: Commands) -> Parser:
    """Adds the command and its arguments."""
    parser = commands.add("check-export", ABOUT, _run, EXAMPLE)
    parser.add_argument("folder", metavar="FOLDER", type=checked, help="folder that robometa export wrote")
    parser.add_argument("--suite", help="file of a suite of your own (default: the shipped one)")
    return parser


def _run(asked: argparse.Namespace) -> None:
    require_export(asked.folder)
    suite = suites.load(asked.suite) if asked.suite else None
    from robometa.deployment.check_export import check_export
    from robometa.deployment.same_returns import lines

    checked = check_export(asked.folder, suite)
    say("\n".join(lines(checked.gap, checked.returns, checked.policy_returns)))
