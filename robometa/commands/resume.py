"""`robometa resume`."""

from __future__ import annotations

import argparse

from robometa.commands import hints
from robometa.commands.arguments import (
    Commands,
    Parser,
    add_collect_option,
    add_learner_option,
    add_moved_suite_option,
    add_threads_option,
    count,
)
from robometa.commands.next_steps import print_next_steps
from robometa.storage.paths import folder_named

ABOUT = "resume an interrupted run; the result is bit-identical"
EXAMPLE = "robometa resume runs/half-cheetah-velocity-pearl-1"


def add_to(commands: Commands) -> Parser:
    """Adds the command and its arguments."""
    parser = commands.add("resume", ABOUT, _run, EXAMPLE)
    parser.add_argument("run", metavar="RUN", type=folder_named, help="folder of the run, or its name in runs/")
    end = "new total of iterations; the newest checkpoint's finishes the run now (default: the run's)"
    parser.add_argument("--iterations", type=count, help=end)
    add_threads_option(parser, "as before")
    add_collect_option(parser, None)
    add_learner_option(parser)
    add_moved_suite_option(parser)
    return parser


def _run(asked: argparse.Namespace) -> None:
    hints.require_run(asked.run)
    from robometa.training.run_folder import RunFolder
    from robometa.training.train import resume

    policy = resume(
        asked.run,
        threads=asked.threads,
        iterations=asked.iterations,
        learner=asked.learner,
        suite=asked.suite,
        collect=asked.collect,
    )
    print_next_steps(policy, asked.learner or RunFolder(asked.run).configuration().learner)
