"""`robometa train`."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from robometa import registry, suites
from robometa.commands import hints
from robometa.commands.arguments import (
    OWN,
    Commands,
    Parser,
    add_collect_option,
    add_hardware_options,
    count,
    number,
    whole,
)
from robometa.commands.next_steps import print_next_steps
from robometa.errors import UserError
from robometa.escape import say, word
from robometa.storage.paths import checked, folder_named
from robometa.suites.shipped import is_shipped
from robometa.suites.suite import Suite
from robometa.training.new_run import default_folder, replaces

ABOUT = "meta-train a learner on a suite's training tasks"
EXAMPLE = "robometa train half-cheetah-velocity pearl --gradient-steps 100 --seed 1"


def add_to(commands: Commands) -> Parser:
    """Adds the command and its arguments."""
    parser = commands.add("train", ABOUT, _run, EXAMPLE, takes_learner_options=True, add_help=False)
    parser.add_argument("suite", metavar="SUITE", nargs="?", help="name of a suite, or path of a .toml file")
    parser.add_argument("learner", metavar="LEARNER", nargs="?", help=f"name of a learner, or {OWN}")
    parser.add_argument(
        "--learner", dest="named", metavar="LEARNER", help="learner, if not given as second argument (default: none)"
    )
    parser.add_argument("--help", "-h", action="store_true", help="show this help, with LEARNER also its options")
    parser.add_argument("--seed", type=whole, default=0, help="random seed (default: 0)")
    several = "seeds of several runs, to train side by side (default: one, --seed)"
    parser.add_argument("--seeds", metavar="SEED", type=whole, nargs="+", help=several)
    at_a_time = "runs at a time with --seeds (default: one for each processor)"
    parser.add_argument("--jobs", metavar="N", type=count, help=at_a_time)
    budget = "environment steps to train for, such as 5e6; iterations follow (default: by --iterations)"
    parser.add_argument("--steps", type=number(1), help=budget)
    source = "dataset to learn from, for dpt and ad (default: none)"
    parser.add_argument("--dataset", metavar="FOLDER", type=checked, help=source)
    trained = "policy or run whose weights to start from (default: none)"
    parser.add_argument("--start-from", metavar="POLICY", type=folder_named, help=trained)
    named = "named set of options; `robometa learners NAME` lists them (default: its first)"
    parser.add_argument("--preset", help=named)
    chosen = "TOML file of options, such as best.toml; the line's win (default: none)"
    parser.add_argument("--config", metavar="FILE.toml", type=Path, help=chosen)
    place = "folder of the run; -SEED is added with --seeds (default: runs/SUITE-LEARNER-SEED)"
    parser.add_argument("--folder", type=checked, help=place)
    parser.add_argument("--overwrite", action="store_true", help="replace the run that the folder holds (default: no)")
    scores = "iterations between held-out scores, 0 for never; RUN/best has the best (default: 0)"
    parser.add_argument("--evaluate-every", metavar="N", type=count, default=0, help=scores)
    add_hardware_options(parser)
    parser.add_argument("--torch-threads", type=count, help="CPU threads of torch in updates (default: all processors)")
    piece = "tasks of a piece, the unit handed out; changes last bits (default: 8 worlds or more)"
    parser.add_argument("--piece", metavar="TASKS", type=count, help=piece)
    add_collect_option(parser, "here")
    loggers = "curves beside the terminal's: tensorboard, wandb or none (default: tensorboard)"
    parser.add_argument("--log", nargs="+", metavar="LOGGER", default=["tensorboard"], help=loggers)
    minutes = "minutes between checkpoints (default: 5)"
    parser.add_argument("--checkpoint-minutes", metavar="MINUTES", type=number(0), default=5.0, help=minutes)
    return parser


def _run(asked: argparse.Namespace) -> int | None:
    learner = _learner(asked)
    if asked.help and learner is None:
        asked.parser.print_help()
        print("\noptions of a learner: robometa train SUITE LEARNER --help")
        return None
    hints.refuse_named_arguments(asked.learner_options)
    if asked.suite in registry.LEARNERS or ".py:" in (asked.suite or ""):
        suite = asked.learner if asked.learner and is_shipped(asked.learner) else "SUITE"
        raise UserError(f"{asked.suite} is a learner: robometa train {suite} {word(asked.suite)}")
    if learner is None or asked.suite is None:
        raise UserError(f"train needs a suite and a learner, as in `{EXAMPLE}`")
    suite = suites.load(asked.suite)
    if learner in hints.BASELINES:
        raise UserError(f"{learner} is a baseline: robometa baseline {learner} {asked.suite}")
    registry.find(learner)
    if asked.stray is not None:
        raise UserError(hints.too_many(asked.stray, "train"))
    if not asked.help and asked.seeds is None:
        replaces(asked.folder or default_folder(suite, learner, asked.seed), asked.overwrite)
    from robometa.commands.learner_options import print_help, read_options
    from robometa.training.train import train

    base: dict[str, Any] = {}
    if asked.config is not None:
        from robometa.search import preset_file

        chosen = preset_file.read(asked.config, learner)
        base, asked.preset = chosen.options, asked.preset or chosen.preset
    if asked.help:
        print_help(suite, learner, asked.preset, asked.parser)
        return None
    words, others = asked.learner_options, asked.parser.options()
    options = read_options(suite, learner, asked.preset, words, others, base)
    if asked.steps is not None:
        options = _with_budget(asked.steps, options, suite, learner, asked.preset, words, others, base)
    if asked.seeds is not None or asked.jobs is not None:
        from robometa.commands.train_seeds import train_seeds

        return train_seeds(asked, suite, learner)
    policy = train(
        suite,
        learner,
        options=options,
        preset=asked.preset,
        seed=asked.seed,
        folder=asked.folder,
        device=asked.device,
        engine=asked.engine,
        contact_capacity=asked.contact_capacity,
        threads=asked.threads,
        torch_threads=asked.torch_threads,
        piece=asked.piece,
        collect=asked.collect,
        log=asked.log,
        checkpoint_minutes=asked.checkpoint_minutes,
        dataset=asked.dataset,
        start_from=asked.start_from,
        evaluate_every=asked.evaluate_every,
        overwrite=asked.overwrite,
    )
    print_next_steps(policy, learner)
    return None


def _with_budget(
    steps: float,
    options: dict[str, Any],
    suite: Suite,
    learner: str,
    preset: str | None,
    words: list[str],
    others: Sequence[str],
    base: dict[str, Any],
) -> dict[str, Any]:
    """Reads the options again, with the iterations that a budget of environment steps takes, and says how many."""
    from robometa.commands.learner_options import given, read_options
    from robometa.training.budget import iterations_for, steps_of_iteration

    iterations, each = iterations_for(steps, given(words), options, suite), steps_of_iteration(options, suite)
    say(f"{steps:,.0f} environment steps: {iterations} iterations of {each:,}, {iterations * each:,} steps")
    return read_options(suite, learner, preset, [*words, "--iterations", str(iterations)], others, base)


def _learner(asked: argparse.Namespace) -> str | None:
    """The learner's name, given as an argument or as an option."""
    if asked.learner is not None and asked.named is not None:
        raise UserError(f"two learners: {asked.learner} and --learner {asked.named}; train takes one")
    name: str | None = asked.named if asked.learner is None else asked.learner
    return name
