"""`robometa merge`."""

from __future__ import annotations

import argparse
import os

from robometa.commands import hints
from robometa.commands.arguments import Commands, Parser, add_learner_option, number
from robometa.commands.next_steps import print_next_steps
from robometa.errors import UserError
from robometa.storage.paths import checked, require_nameable

ABOUT = "average the parameters of two policies of one learner"
EXAMPLE = "robometa merge runs/point-robot-rl2-0/policy runs/point-robot-rl2-1/policy --weight 0.5"


def add_to(commands: Commands) -> Parser:
    """Adds the command and its arguments."""
    parser = commands.add("merge", ABOUT, _run, EXAMPLE)
    parser.add_argument("first", metavar="A", type=checked, help="folder of a policy")
    parser.add_argument("second", metavar="B", type=checked, help="folder of another, of equal learner and sizes")
    parser.add_argument(
        "--weight", type=number(0, 1), default=0.5, help="share of A, 0 to 1; B gets the rest (default: 0.5)"
    )
    parser.add_argument("--out", type=require_nameable, help="folder of the new policy (default: policies/A-B-WEIGHT)")
    add_learner_option(parser)
    return parser


def _run(asked: argparse.Namespace) -> None:
    for folder in (asked.first, asked.second):
        hints.require_policy(folder)
    if asked.out is not None and os.path.lexists(asked.out):
        raise UserError(f"{asked.out} exists already: choose another --out")
    from robometa.policies.merge import merge

    policy = merge(asked.first, asked.second, asked.weight, out=asked.out, learner=asked.learner)
    print_next_steps(policy, asked.learner)
