"""`robometa replay`."""

from __future__ import annotations

import argparse
import os

from robometa.commands.arguments import Commands, Parser
from robometa.errors import UserError
from robometa.escape import printable, say
from robometa.storage.paths import MANIFEST, checked

ABOUT = "show how a simulation diverged during a training"
EXAMPLE = "robometa replay runs/ant-goal-rl2-0/divergences/000"


def add_to(commands: Commands) -> Parser:
    """Adds the command and its arguments."""
    parser = commands.add("replay", ABOUT, _run, EXAMPLE)
    parser.add_argument("dump", metavar="DUMP", type=checked, help="folder of the divergence, in RUN/divergences")
    return parser


def _run(asked: argparse.Namespace) -> None:
    if not os.path.lexists(asked.dump / MANIFEST):
        raise UserError(f"{asked.dump} is not a divergence: it has no {MANIFEST}")
    from robometa.training.divergence_dumps import replay

    say("\n".join(map(printable, replay(asked.dump).lines())))
