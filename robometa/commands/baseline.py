"""`robometa baseline`."""

from __future__ import annotations

import argparse
from pathlib import Path

from robometa import suites
from robometa.commands.arguments import Commands, Parser, add_split_option, add_threads_option, count, whole
from robometa.commands.evaluate import PROTOCOL, TASKS
from robometa.commands.hints import FROM_SCRATCH
from robometa.commands.report_output import publish
from robometa.storage.paths import require_nameable, require_writable

ABOUT = "measure Stable-Baselines3 from scratch, or scripted experts"
EXAMPLE = "robometa baseline sb3-ppo half-cheetah-velocity --tasks 1 --steps 400 40000"
EXPERTS_EXAMPLE = "robometa baseline scripted ml1/reach-v3 --tasks 5"
STEPS = "environment steps of each training (default: those of --shots)"


def add_to(commands: Commands) -> Parser:
    """Adds the command, with a subcommand for each baseline."""
    parser = commands.add("baseline", ABOUT, None, EXAMPLE)
    baselines = Commands(parser, metavar="BASELINE", about="name of the baseline")
    for algorithm in FROM_SCRATCH:
        _add_from_scratch(baselines, algorithm)
    _add_scripted(baselines)
    return parser


def _add_from_scratch(baselines: Commands, algorithm: str) -> None:
    about = f"train Stable-Baselines3's {algorithm[4:].upper()} on each held-out task alone"
    parser = baselines.add(algorithm, about, _from_scratch, EXAMPLE.replace(FROM_SCRATCH[0], algorithm))
    _add_common(parser, f"runs/SUITE-{algorithm}-SEED")
    parser.add_argument("--steps", type=count, nargs="+", metavar="N", help=STEPS)
    parser.add_argument("--worlds", type=count, default=20, help="scored episodes of each task (default: 20)")
    parser.add_argument("--seed", type=whole, default=0, help="seed of training and scoring (default: 0)")
    parser.add_argument("--shots", type=whole, default=2, help="episodes that --steps stands for (default: 2)")


def _add_scripted(baselines: Commands) -> None:
    about = "measure the scripted experts of Meta-World's tasks"
    parser = baselines.add("scripted", about, _scripted, EXPERTS_EXAMPLE)
    _add_common(parser, "runs/SUITE-scripted")
    parser.add_argument("--worlds", type=count, help="episodes of each task (default: 1)")
    parser.add_argument("--protocol", metavar="NAME", help=PROTOCOL.replace("the suite's", "none"))
    parser.add_argument("--shots", type=whole, help="repetitions, as experts do not adapt (default: 0)")


def _add_common(parser: Parser, folder: str) -> None:
    parser.add_argument("suite", metavar="SUITE", help="name of a suite, or path of a .toml file")
    parser.add_argument("--tasks", type=count, metavar="K", help=TASKS)
    parser.add_argument("--out", type=require_nameable, help=f"folder of the report (default: {folder})")
    add_split_option(parser)
    add_threads_option(parser)


def _from_scratch(asked: argparse.Namespace) -> None:
    suite = suites.load(asked.suite)
    folder = asked.out or Path("runs") / f"{suite.name.replace('/', '-')}-{asked.baseline}-{asked.seed}"
    require_writable(folder)
    from robometa.evaluation.stable_baselines3 import evaluate_from_scratch

    report = evaluate_from_scratch(
        asked.baseline,
        suite,
        steps=asked.steps,
        tasks=asked.tasks,
        split=asked.split,
        shots=asked.shots,
        worlds=asked.worlds,
        seed=asked.seed,
        threads=asked.threads,
    )
    publish(report, lambda: report.save(folder))


def _scripted(asked: argparse.Namespace) -> None:
    suite = suites.load(asked.suite)
    folder = asked.out or Path("runs") / f"{suite.name.replace('/', '-')}-scripted"
    require_writable(folder)
    from robometa.evaluation.evaluate import evaluate_experts

    report = evaluate_experts(
        suite,
        split=asked.split,
        shots=asked.shots,
        worlds=asked.worlds,
        threads=asked.threads,
        tasks=asked.tasks,
        protocol=asked.protocol,
    )
    publish(report, lambda: report.save(folder))
