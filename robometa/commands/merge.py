"""`robometa merge`: its arguments and its work."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path

from robometa.commands.arguments import Parser, _say_next


def add_arguments(command: Callable[..., Parser]) -> None:
    """Adds `robometa merge` to the parser."""
    add = command("merge", "average the parameters of two policies of one learner into a new one")
    add.add_argument("first", metavar="A", type=Path, help="a policy's folder")
    add.add_argument("second", metavar="B", type=Path, help="another's, of the same learner and sizes")
    add.add_argument("--weight", type=float, default=0.5, help="of A, from 0 to 1; B has the rest (default: 0.5)")
    add.add_argument("--out", type=Path, help="folder of the new policy (default: policies/A-B-WEIGHT)")
    add.add_argument("--learner", metavar="FILE.py:CLASS", help="for policies of a learner of your own: where it is")


def _merge(asked: argparse.Namespace, rest: list[str]) -> None:
    from robometa.policies.merge import merge

    policy = merge(asked.first, asked.second, asked.weight, out=asked.out, learner=asked.learner)
    _say_next(policy, asked.learner)
