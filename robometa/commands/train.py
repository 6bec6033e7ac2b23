"""`robometa train`: its arguments and its work."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path

from robometa import registry, suites
from robometa.commands.arguments import OWN, Parser, _engine_arguments, _say_next, _whole, count
from robometa.errors import UserError


def add_arguments(command: Callable[..., Parser]) -> None:
    """Adds `robometa train` to the parser."""
    add = command("train", "meta-train a learner on a suite's training tasks", add_help=False)
    add.add_argument("suite", metavar="SUITE", nargs="?", help="a suite's name, or the path of a .toml file")
    known = f"one of {', '.join(registry.LEARNERS)}, or {OWN}"
    add.add_argument("learner", metavar="LEARNER", nargs="?", help=known)
    add.add_argument("--learner", dest="named", metavar="LEARNER", help="the same, by name")
    add.add_argument("--help", "-h", action="store_true", help="show this, and the options of LEARNER if one is given")
    add.add_argument("--seed", type=_whole, default=0, help="of everything random (default: 0)")
    add.add_argument("--preset", help="which of the learner's configurations to start from (default: its first)")
    add.add_argument("--folder", type=Path, help="where to write (default: runs/SUITE-LEARNER-SEED)")
    _engine_arguments(add)
    add.add_argument("--torch-threads", type=count, help="threads of torch in updates (default: all processors)")
    add.add_argument("--checkpoint-minutes", type=float, default=5.0, help="wall time between checkpoints (default: 5)")


def _train(asked: argparse.Namespace, rest: list[str]) -> None:
    if asked.named is not None:
        if asked.learner is not None:
            raise UserError(f"one learner is needed: {asked.learner!r} behind the suite, or --learner {asked.named}")
        asked.learner = asked.named
    if asked.help and asked.learner is None:
        asked.parser.print_help()
        print("\noptions of a learner: robometa train SUITE LEARNER --help")
        return
    if asked.learner is None or asked.suite is None:
        raise UserError("train needs a suite and a learner, as in `robometa train half-cheetah-direction maml-trpo`")
    suite = suites.load(asked.suite)
    registry.find(asked.learner)
    from robometa.commands.learner_options import read_options
    from robometa.training.train import train

    if asked.help:
        asked.parser.print_help()
    chosen = read_options(suite, asked.learner, asked.preset, ["--help"] if asked.help else rest)
    policy = train(
        suite,
        asked.learner,
        options=chosen,
        preset=asked.preset,
        seed=asked.seed,
        folder=asked.folder,
        device=asked.device,
        engine=asked.engine,
        contact_capacity=asked.contact_capacity,
        threads=asked.threads,
        torch_threads=asked.torch_threads,
        checkpoint_minutes=asked.checkpoint_minutes,
    )
    _say_next(policy, asked.learner)
