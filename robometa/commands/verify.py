"""`robometa verify`."""

from __future__ import annotations

import argparse

from robometa.commands import hints
from robometa.commands.arguments import Commands, Parser, add_learner_option, add_moved_suite_option, count
from robometa.commands.exit_codes import FAILURE
from robometa.escape import printable, say
from robometa.storage.paths import MANIFEST, folder_named, is_own_file

ABOUT = "repeat a training's first iterations and compare the results"
EXAMPLE = "robometa verify runs/half-cheetah-velocity-pearl-1"


def add_to(commands: Commands) -> Parser:
    """Adds the command and its arguments."""
    parser = commands.add("verify", ABOUT, _run, EXAMPLE)
    parser.add_argument("run", metavar="RUN", type=folder_named, help="run, policy published with its log, or dataset")
    parser.add_argument("--iterations", type=count, default=3, help="training iterations to repeat (default: 3)")
    add_learner_option(parser)
    add_moved_suite_option(parser)
    return parser


def _run(asked: argparse.Namespace) -> int:
    if is_own_file(asked.run, "dataset.json"):
        from robometa.trials.dataset import Dataset

        dataset = Dataset(asked.run)
        dataset.verify()
        say(f"{asked.run}: the dataset's {len(dataset.shards)} shards are as they were written")
        return 0
    if not (asked.run / MANIFEST).exists():
        hints.require_run(asked.run)
    from robometa.training.verify import verify

    outcome = verify(asked.run, iterations=asked.iterations, learner=asked.learner, suite=asked.suite)
    say("\n".join(map(printable, outcome.lines())))
    return 0 if outcome.parted is None else FAILURE
