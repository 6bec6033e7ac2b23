"""What the commands' arguments have in common: their parser, kinds of numbers, and options that several take."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import NoReturn

from robometa import registry
from robometa.errors import UserError

OWN = "./FILE.py:CLASS for one of your own"
"""How a learner of the user's own is named."""

ENGINE = """what simulates: cpu, warp (MuJoCo Warp, on a GPU), or auto, which is warp where there is a GPU and the gpu
extra (default: cpu)"""


class Parser(argparse.ArgumentParser):
    """An argument parser whose errors are ours: one line, exit code 2."""

    def error(self, message: str) -> NoReturn:
        """Raises the mistake instead of printing the usage."""
        raise UserError(f"{message} (see `{self.prog} --help`)")


def _engine_arguments(add: Parser) -> None:
    add.add_argument("--device", default="cpu", help="where the learner is: cpu, cuda, cuda:1 (default: cpu)")
    add.add_argument("--engine", default="cpu", help=ENGINE)
    about = "multiplier on warp's contact buffer (default: 1, almost always enough)"
    add.add_argument("--contact-capacity", type=_share, default=1.0, help=about)
    add.add_argument("--threads", type=count, help="threads of the CPU engine (default: all processors)")


def _policy_arguments(add: Parser, shots: int | None, from_scratch: str = "") -> None:
    about = f"the policy's folder, {from_scratch}or scripted for Meta-World's experts"
    add.add_argument("policy", metavar="POLICY", type=Path, help=about)
    add.add_argument("--suite", help="another suite, with the same observation and action (default: the policy's own)")
    add.add_argument("--split", default="test", help="test: held-out tasks, train: those trained on (default: test)")
    add.add_argument("--shots", type=_whole, default=shots, help="adaptations (default: 2)")
    add.add_argument("--seed", type=_whole, default=0, help="of resets and exploration (default: 0)")
    add.add_argument("--learner", metavar="FILE.py:CLASS", help="for a policy of a learner of your own: where it is")


def _whole(text: str) -> int:
    number = int(text)
    if number < 0:
        raise argparse.ArgumentTypeError(f"{text} must not be negative")
    return number


_whole.__name__ = "whole number"


def count(text: str) -> int:
    """A whole number from 1."""
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"{text} must be at least 1")
    return number


count.__name__ = "whole number"


def _share(text: str) -> float:
    number = float(text)
    if not 0 < number <= 1000:
        raise argparse.ArgumentTypeError(f"{text} must be above 0, and at most 1000")
    return number


_share.__name__ = "number"


def _say_next(policy: Path, learner: str | None) -> None:
    own = f" --learner {learner}" if learner is not None and learner not in registry.LEARNERS else ""
    print(f"policy: {policy}\nmeasure it: robometa evaluate {policy}{own}\nwatch it:   robometa record {policy}{own}")
