"""The command line. Nothing heavy is loaded before it is needed: help, lists and mistakes come at once."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NoReturn

from robometa import learners, suites
from robometa.errors import UserError, unknown

MISTAKE, FAILURE = 2, 1
"""Exit codes: something was asked for wrongly; something went wrong here."""

EXAMPLES = """\
examples:
  robometa suites half-cheetah-velocity
  robometa train half-cheetah-direction maml-trpo
  robometa train half-cheetah-velocity pearl --gradient-steps 100 --seed 1
  robometa resume runs/half-cheetah-velocity-pearl-1
  robometa evaluate policies/half-cheetah-direction-maml-trpo --shots 2
  robometa record policies/half-cheetah-direction-maml-trpo --task 0
"""


class Parser(argparse.ArgumentParser):
    """An argument parser whose errors are ours: one line, exit code 2."""

    def error(self, message: str) -> NoReturn:
        """Raises the mistake instead of printing the usage."""
        raise UserError(f"{message} (see `{self.prog} --help`)")


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command line and returns the exit code."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    parser = _parser()
    if not words:
        parser.print_help()
        return 0
    try:
        asked, rest = parser.parse_known_args(words)
        if rest and asked.command != "train":
            raise UserError(unknown("option", rest[0], _options(parser, asked.command), f"robometa {asked.command}"))
        return int(asked.do(asked, rest) or 0)
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return MISTAKE
    except BrokenPipeError:
        return FAILURE
    except (OSError, MemoryError) as error:
        print(f"error: {error}", file=sys.stderr)
        return FAILURE
    except KeyboardInterrupt:
        print("stopped", file=sys.stderr)
        return 130


def _parser() -> Parser:
    parser = Parser(
        prog="robometa",
        description="Robots that adapt: meta-train a controller on a suite of tasks, measure how it adapts to tasks "
        "that it has never seen, and watch it do so.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=_version())
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)

    def command(name: str, do: Any, about: str, **options: Any) -> Parser:
        added: Parser = commands.add_parser(name, help=about, description=about, allow_abbrev=False, **options)
        added.set_defaults(do=do)
        return added

    add = command("train", _train, "meta-train a learner on a suite's training tasks", add_help=False)
    add.add_argument("suite", metavar="SUITE", nargs="?", help="a suite's name, or the path of a .toml file")
    add.add_argument("learner", metavar="LEARNER", nargs="?", help=f"one of {', '.join(learners.LEARNERS)}")
    add.add_argument("--help", "-h", action="store_true", help="show this, and the options of LEARNER if one is given")
    add.add_argument("--seed", type=_whole, default=0, help="of everything random (default: 0)")
    add.add_argument("--preset", help="which of the learner's configurations to start from (default: its first)")
    add.add_argument("--folder", type=Path, help="where to write (default: runs/SUITE-LEARNER-SEED)")
    add.add_argument("--threads", type=_count, help="threads of the simulation (default: all processors)")
    add.add_argument("--torch-threads", type=_count, help="threads of torch in updates (default: all processors)")
    add.add_argument("--checkpoint-minutes", type=float, default=5.0, help="wall time between checkpoints (default: 5)")

    add = command("resume", _resume, "go on with an interrupted run, to the same end as if it had never stopped")
    add.add_argument("run", metavar="RUN", type=Path, help="the run's folder")
    add.add_argument("--iterations", type=_count, help="another end: later to train longer, or the newest checkpoint's")
    add.add_argument("--threads", type=_count, help="threads of the simulation (default: all processors)")

    add = command("evaluate", _evaluate, "measure how a policy adapts to held-out tasks")
    _policy_arguments(add)
    add.add_argument("--worlds", type=_count, help="episodes of each task at each shot (default: the learner's, or 20)")
    add.add_argument("--out", type=Path, help="folder for report.json and tasks.csv (default: the policy's folder)")
    add.add_argument("--threads", type=_count, help="threads of the simulation (default: all processors)")

    add = command("record", _record, "record a policy's adaptation to one task on video")
    _policy_arguments(add)
    add.add_argument("--task", type=_whole, default=0, help="index of the task in its split (default: 0)")
    add.add_argument("--out", type=Path, help="the .mp4 or .gif to write (default: videos/POLICY-taskN.mp4 and .gif)")
    add.add_argument("--width", type=_count, default=1280, help="pixels (default: 1280)")
    add.add_argument("--height", type=_count, default=480, help="pixels (default: 480)")
    add.add_argument("--no-gif", dest="gif", action="store_false", help="write no GIF beside it")

    add = command("suites", _suites, "list the suites, or show one: its tasks, and what the policy sees")
    add.add_argument("suite", metavar="NAME", nargs="?", help="a suite's name, or the path of a .toml file")

    add = command("learners", _learners, "list the learners, or show one: what it does, its paper, its options")
    add.add_argument("learner", metavar="NAME", nargs="?", help="a learner's name")

    command("doctor", _doctor, "check this machine: versions, GPU, rendering, ffmpeg, and what to install")
    return parser


def _policy_arguments(add: Parser) -> None:
    add.add_argument("policy", metavar="POLICY", type=Path, help="the policy's folder")
    add.add_argument("--suite", help="another suite, with the same observation and action (default: the policy's own)")
    add.add_argument("--split", default="test", help="test: held-out tasks, train: those trained on (default: test)")
    add.add_argument("--shots", type=_whole, default=2, help="adaptations (default: 2)")
    add.add_argument("--seed", type=_whole, default=0, help="of resets and exploration (default: 0)")


def _train(asked: argparse.Namespace, rest: list[str]) -> None:
    if asked.help and asked.learner is None:
        _subparser("train").print_help()
        print("\noptions of a learner: robometa train SUITE LEARNER --help")
        return
    if asked.learner is None:
        raise UserError("train needs a suite and a learner, as in `robometa train half-cheetah-direction maml-trpo`")
    suite = suites.load(asked.suite)
    learners.find(asked.learner)
    from robometa.options import read_options
    from robometa.training import TrainingError, train

    if asked.help:
        _subparser("train").print_help()
    options = read_options(suite, asked.learner, asked.preset, ["--help"] if asked.help else rest)
    try:
        policy = train(
            suite,
            asked.learner,
            options=options,
            preset=asked.preset,
            seed=asked.seed,
            folder=asked.folder,
            threads=asked.threads,
            torch_threads=asked.torch_threads,
            checkpoint_minutes=asked.checkpoint_minutes,
        )
    except TrainingError as error:
        _stop(error)
    _say_next(policy)


def _resume(asked: argparse.Namespace, rest: list[str]) -> None:
    from robometa.training import TrainingError, resume

    try:
        policy = resume(asked.run, threads=asked.threads, iterations=asked.iterations)
    except TrainingError as error:
        _stop(error)
    _say_next(policy)


def _evaluate(asked: argparse.Namespace, rest: list[str]) -> None:
    from robometa.evaluation import evaluate, write_card
    from robometa.tables import print_report

    report = evaluate(
        asked.policy,
        suite=suites.load(asked.suite) if asked.suite else None,
        split=asked.split,
        shots=asked.shots,
        worlds=asked.worlds,
        seed=asked.seed,
        threads=asked.threads,
    )
    print_report(report)
    folder = asked.out or asked.policy
    report.save(folder)
    if folder == asked.policy and asked.suite is None and asked.split == "test":
        write_card(asked.policy, report)
    print(f"written: {folder / 'report.json'}, {folder / 'tasks.csv'}")


def _record(asked: argparse.Namespace, rest: list[str]) -> None:
    from robometa.recording import record

    paths = record(
        asked.policy,
        suite=suites.load(asked.suite) if asked.suite else None,
        split=asked.split,
        task=asked.task,
        shots=asked.shots,
        seed=asked.seed,
        out=asked.out,
        width=asked.width,
        height=asked.height,
        gif=asked.gif,
    )
    print("written: " + ", ".join(str(path) for path in paths))


def _suites(asked: argparse.Namespace, rest: list[str]) -> None:
    from robometa.tables import print_suite, print_suites

    if asked.suite is None:
        print_suites()
    else:
        print_suite(suites.load(asked.suite))


def _learners(asked: argparse.Namespace, rest: list[str]) -> None:
    from robometa.tables import print_learner, print_learners

    if asked.learner is None:
        print_learners()
    else:
        learners.find(asked.learner)
        print_learner(asked.learner)


def _doctor(asked: argparse.Namespace, rest: list[str]) -> int:
    from rich.console import Console

    from robometa.doctor import report

    return report(Console())


def _say_next(policy: Path) -> None:
    print(f"policy: {policy}\nmeasure it: robometa evaluate {policy}\nwatch it:   robometa record {policy}")


def _stop(error: Exception) -> NoReturn:
    print(error, file=sys.stderr)
    raise SystemExit(FAILURE) from None


def _subparser(name: str) -> Parser:
    subparsers = next(action for action in _parser()._actions if isinstance(action, argparse._SubParsersAction))
    found: Parser = subparsers.choices[name]
    return found


def _options(parser: Parser, command: str) -> list[str]:
    return [option for action in _subparser(command)._actions for option in action.option_strings]


def _whole(text: str) -> int:
    number = int(text)
    if number < 0:
        raise argparse.ArgumentTypeError(f"{text} must not be negative")
    return number


_whole.__name__ = "whole number"


def _count(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"{text} must be at least 1")
    return number


_count.__name__ = "whole number"


def _version() -> str:
    from importlib.metadata import version

    return f"robometa {version('robometa')}"
