"""The command line. Nothing heavy is loaded before it is needed: help, lists and mistakes come at once."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from robometa.commands import doctor, evaluate, learners, merge, record, replay, resume, suites, train, verify
from robometa.commands.arguments import Parser
from robometa.commands.exit_codes import AT_ONCE, BUG, EXIT_CODES, FAILURE, MISTAKE, STOPPED
from robometa.errors import Stopped, TrainingError, UserError, unknown


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command line and returns the exit code."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    if not words:
        parser().print_help()
        return 0
    try:
        asked, rest = parser().parse_known_args(words)
        if rest and asked.command != "train":
            raise UserError(unknown("option", rest[0], options(asked.command), f"robometa {asked.command}"))
        return COMMANDS[asked.command](asked, rest) or 0
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return MISTAKE
    except TrainingError as error:
        print(error, file=sys.stderr)
        return STOPPED if isinstance(error, Stopped) else FAILURE
    except BrokenPipeError:
        return FAILURE
    except (OSError, MemoryError) as error:
        print(f"error: {error}", file=sys.stderr)
        return FAILURE
    except KeyboardInterrupt:
        print("stopped at once; what was saved stays", file=sys.stderr)
        return AT_ONCE
    except Exception as error:  # what nobody foresaw is ours
        return _broken(error, words)


def _broken(error: Exception, words: list[str]) -> int:
    """Leaves a bundle for a bug report, and says where."""
    from robometa.commands.bug_report import write_bundle

    folders = [Path(word) for word in words[1:] if (Path(word) / "run.json").is_file()]
    try:
        where = f"{write_bundle(error, words, folders[0] if folders else None)} has what a bug report needs"
    except OSError as problem:
        where = f"no bug report could be written: {problem}"
    print(f"robometa broke ({type(error).__name__}: {str(error).split(chr(10))[0]}); {where}", file=sys.stderr)
    return BUG


COMMANDS: dict[str, Callable[[argparse.Namespace, list[str]], int | None]] = {
    "train": train._train,
    "resume": resume._resume,
    "evaluate": evaluate._evaluate,
    "record": record._record,
    "suites": suites._suites,
    "learners": learners._learners,
    "merge": merge._merge,
    "verify": verify._verify,
    "replay": replay._replay,
    "doctor": doctor._doctor,
}
"""What each command does with what was asked, and with the words that are a learner's."""

EXAMPLES = """\
examples:
  robometa suites half-cheetah-velocity
  robometa train half-cheetah-direction maml-trpo
  robometa train half-cheetah-velocity pearl --gradient-steps 100 --seed 1
  robometa resume runs/half-cheetah-velocity-pearl-1
  robometa evaluate policies/half-cheetah-direction-maml-trpo --shots 2
  robometa evaluate sb3-sac --suite half-cheetah-velocity --tasks 1 --steps 400 400000
  robometa evaluate scripted --suite ml1/reach-v3 --tasks 5
  robometa record policies/half-cheetah-direction-maml-trpo --task 0
  robometa train point-robot --learner ./mine.py:MyLearner
"""


def parser() -> Parser:
    """The parser of every command."""
    whole = Parser(
        prog="robometa",
        description="Robots that adapt: meta-train a controller on a suite of tasks, measure how it adapts to tasks "
        "that it has never seen, and watch it do so.",
        epilog=EXAMPLES + EXIT_CODES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    whole.add_argument("--version", action="version", version=_version())
    commands = whole.add_subparsers(dest="command", metavar="COMMAND", required=True)

    def command(name: str, about: str, **options: Any) -> Parser:
        added: Parser = commands.add_parser(name, help=about, description=about, allow_abbrev=False, **options)
        added.set_defaults(parser=added)
        return added

    train.add_arguments(command)
    resume.add_arguments(command)
    verify.add_arguments(command)
    replay.add_arguments(command)
    evaluate.add_arguments(command)
    record.add_arguments(command)
    suites.add_arguments(command)
    merge.add_arguments(command)
    learners.add_arguments(command)
    doctor.add_arguments(command)
    return whole


def subparser(name: str) -> Parser:
    """The parser of one command."""
    subparsers = next(action for action in parser()._actions if isinstance(action, argparse._SubParsersAction))
    found: Parser = subparsers.choices[name]
    return found


def options(command: str) -> list[str]:
    """The options of a command, as they are written."""
    return [option for action in subparser(command)._actions for option in action.option_strings]


def _version() -> str:
    from importlib.metadata import version

    return f"robometa {version('robometa')}"
