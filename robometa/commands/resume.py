"""`robometa resume`: its arguments and its work."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path

from robometa.commands.arguments import Parser, _say_next, count


def add_arguments(command: Callable[..., Parser]) -> None:
    """Adds `robometa resume` to the parser."""
    add = command("resume", "go on with an interrupted run, to the same end as if it had never stopped")
    add.add_argument("run", metavar="RUN", type=Path, help="the run's folder")
    add.add_argument("--iterations", type=count, help="another end: later to train longer, or the newest checkpoint's")
    add.add_argument("--threads", type=count, help="threads of the simulation (default: all processors)")
    add.add_argument("--learner", metavar="FILE.py:CLASS", help="where a learner of your own is now, if it has moved")


def _resume(asked: argparse.Namespace, rest: list[str]) -> None:
    from robometa.training.run_folder import RunFolder
    from robometa.training.train import resume

    policy = resume(asked.run, threads=asked.threads, iterations=asked.iterations, learner=asked.learner)
    _say_next(policy, asked.learner or RunFolder(asked.run).configuration().learner)
