"""`robometa verify`: its arguments and its work."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path

from robometa.commands.arguments import Parser, count
from robometa.commands.exit_codes import FAILURE


def add_arguments(command: Callable[..., Parser]) -> None:
    """Adds `robometa verify` to the parser."""
    add = command("verify", "do the first iterations of a run again, and compare them with what it wrote")
    add.add_argument("run", metavar="RUN", type=Path, help="the run's folder; nothing in it is changed")
    add.add_argument("--iterations", type=count, default=3, help="how many (default: 3)")
    add.add_argument("--learner", metavar="FILE.py:CLASS", help="where a learner of your own is now, if it has moved")


def _verify(asked: argparse.Namespace, rest: list[str]) -> int:
    from robometa.training.verify import verify

    found = verify(asked.run, iterations=asked.iterations, learner=asked.learner)
    print("\n".join(found.lines()))
    return 0 if found.parted is None else FAILURE
