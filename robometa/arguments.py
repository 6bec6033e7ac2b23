"""What the command line understands: its commands, their words and options, and their help."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

from robometa import learners
from robometa.errors import UserError
from robometa.protocols import NONE, PROTOCOLS

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
EXIT_CODES = """
exit codes:
  0    done
  1    it could not be done: a full disk, a training that came out not finite; what was saved stays
  2    a mistake in what was asked, told in full
  3    a mistake of ours; a bundle for a bug report is left in the working directory
  75   a training was asked to stop, and saved: `robometa resume RUN` goes on as if it had never stopped
  130  stopped at once by a second Ctrl-C; `robometa resume RUN` goes on from the newest checkpoint

Ctrl-C, SIGTERM and SIGUSR1 stop a training at the end of its iteration.
"""
OWN = "./FILE.py:CLASS for one of your own"
"""How a learner of the user's own is named."""

STEPS = """for sb3-ppo, sb3-sac or sb3-td3 as POLICY, which are trained from scratch on each task: the environment
steps of a training; several numbers give a row each (default: the steps of as many episodes as --shots says)"""

ENGINE = """what simulates: cpu, warp (MuJoCo Warp, on a GPU), or auto, which is warp where there is a GPU and the gpu
extra (default: cpu)"""


KNOWN = "; ".join(f"{one.name} ({one.words()})" for one in PROTOCOLS.values())
PROTOCOL = f"""how many episodes of which tasks: {KNOWN}, the default for Meta-World's suites with held-out goals
unless --shots or --worlds is given; {NONE}: as these say"""
REPORT = """folder for report.json and tasks.csv (default: the policy's folder; for another suite, split or some of
the tasks runs/evaluations/POLICY-...; for sb3-... and scripted runs/SUITE-POLICY)"""
TASKS = """only the first K tasks of the split; of Meta-World's suites, the first K goals of each task (default: all, or
as the protocol says)"""


class Parser(argparse.ArgumentParser):
    """An argument parser whose errors are ours: one line, exit code 2."""

    def error(self, message: str) -> NoReturn:
        """Raises the mistake instead of printing the usage."""
        raise UserError(f"{message} (see `{self.prog} --help`)")


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
        return added

    add = command("train", "meta-train a learner on a suite's training tasks", add_help=False)
    add.add_argument("suite", metavar="SUITE", nargs="?", help="a suite's name, or the path of a .toml file")
    known = f"one of {', '.join(learners.LEARNERS)}, or {OWN}"
    add.add_argument("learner", metavar="LEARNER", nargs="?", help=known)
    add.add_argument("--learner", dest="named", metavar="LEARNER", help="the same, by name")
    add.add_argument("--help", "-h", action="store_true", help="show this, and the options of LEARNER if one is given")
    add.add_argument("--seed", type=_whole, default=0, help="of everything random (default: 0)")
    add.add_argument("--preset", help="which of the learner's configurations to start from (default: its first)")
    add.add_argument("--folder", type=Path, help="where to write (default: runs/SUITE-LEARNER-SEED)")
    _engine_arguments(add)
    add.add_argument("--torch-threads", type=count, help="threads of torch in updates (default: all processors)")
    add.add_argument("--checkpoint-minutes", type=float, default=5.0, help="wall time between checkpoints (default: 5)")

    _commands_on_runs(command)

    add = command("evaluate", "measure how a policy adapts to held-out tasks")
    _policy_arguments(add, shots=None, from_scratch="sb3-ppo, sb3-sac or sb3-td3 for a training from scratch, ")
    add.add_argument("--worlds", type=count, help="episodes of each task at each shot (default: the learner's, or 20)")
    add.add_argument("--protocol", metavar="NAME", help=PROTOCOL)
    add.add_argument("--tasks", type=count, metavar="K", help=TASKS)
    add.add_argument("--steps", type=count, nargs="+", metavar="N", help=STEPS)
    add.add_argument("--out", type=Path, help=REPORT)
    _engine_arguments(add)

    add = command("record", "record a policy's adaptation to one task on video")
    _policy_arguments(add, shots=2)
    add.add_argument("--task", type=_whole, default=0, help="index of the task in its split (default: 0)")
    add.add_argument("--out", type=Path, help="the .mp4 or .gif to write (default: videos/POLICY-taskN.mp4 and .gif)")
    add.add_argument("--width", type=count, default=1280, help="pixels, 480 to 3840 (default: 1280)")
    add.add_argument("--height", type=count, default=480, help="pixels, 240 to 2160 (default: 480)")
    add.add_argument("--no-gif", dest="gif", action="store_false", help="write no GIF beside it")

    add = command("suites", "list the suites, or show one: its tasks, and what the policy sees")
    add.add_argument("suite", metavar="NAME", nargs="?", help="a suite's name, or the path of a .toml file")

    add = command("merge", "average the parameters of two policies of one learner into a new one")
    add.add_argument("first", metavar="A", type=Path, help="a policy's folder")
    add.add_argument("second", metavar="B", type=Path, help="another's, of the same learner and sizes")
    add.add_argument("--weight", type=float, default=0.5, help="of A, from 0 to 1; B has the rest (default: 0.5)")
    add.add_argument("--out", type=Path, help="folder of the new policy (default: policies/A-B-WEIGHT)")
    add.add_argument("--learner", metavar="FILE.py:CLASS", help="for policies of a learner of your own: where it is")

    add = command("learners", "list the learners, or show one: what it does, its paper, its options")
    add.add_argument("learner", metavar="NAME", nargs="?", help=f"a learner's name, or {OWN}")
    add.add_argument("--check", action="store_true", help="run it, and tell what it breaks of the learners' protocol")

    command("doctor", "check this machine: versions, GPU, rendering, ffmpeg, and what to install")
    return whole


def _commands_on_runs(command: Callable[..., Parser]) -> None:
    """The commands that take what a training has written so far."""
    add = command("resume", "go on with an interrupted run, to the same end as if it had never stopped")
    add.add_argument("run", metavar="RUN", type=Path, help="the run's folder")
    add.add_argument("--iterations", type=count, help="another end: later to train longer, or the newest checkpoint's")
    add.add_argument("--threads", type=count, help="threads of the simulation (default: all processors)")
    add.add_argument("--learner", metavar="FILE.py:CLASS", help="where a learner of your own is now, if it has moved")

    add = command("verify", "do the first iterations of a run again, and compare them with what it wrote")
    add.add_argument("run", metavar="RUN", type=Path, help="the run's folder; nothing in it is changed")
    add.add_argument("--iterations", type=count, default=3, help="how many (default: 3)")
    add.add_argument("--learner", metavar="FILE.py:CLASS", help="where a learner of your own is now, if it has moved")

    add = command("replay", "show what blew up in a simulation that diverged in a training")
    add.add_argument("dump", metavar="DUMP", type=Path, help="one of the folders in RUN/divergences")


def _engine_arguments(add: Parser) -> None:
    add.add_argument("--device", default="cpu", help="where the learner is: cpu, cuda, cuda:1 (default: cpu)")
    add.add_argument("--engine", default="cpu", help=ENGINE)
    add.add_argument("--room", type=_share, default=1.0, help="factor on the contacts that warp has memory for")
    add.add_argument("--threads", type=count, help="threads of the CPU engine (default: all processors)")


def _policy_arguments(add: Parser, shots: int | None, from_scratch: str = "") -> None:
    about = f"the policy's folder, {from_scratch}or scripted for Meta-World's experts"
    add.add_argument("policy", metavar="POLICY", type=Path, help=about)
    add.add_argument("--suite", help="another suite, with the same observation and action (default: the policy's own)")
    add.add_argument("--split", default="test", help="test: held-out tasks, train: those trained on (default: test)")
    add.add_argument("--shots", type=_whole, default=shots, help="adaptations (default: 2)")
    add.add_argument("--seed", type=_whole, default=0, help="of resets and exploration (default: 0)")
    add.add_argument("--learner", metavar="FILE.py:CLASS", help="for a policy of a learner of your own: where it is")


def subparser(name: str) -> Parser:
    """The parser of one command."""
    subparsers = next(action for action in parser()._actions if isinstance(action, argparse._SubParsersAction))
    found: Parser = subparsers.choices[name]
    return found


def options(command: str) -> list[str]:
    """The options of a command, as they are written."""
    return [option for action in subparser(command)._actions for option in action.option_strings]


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


def _version() -> str:
    from importlib.metadata import version

    return f"robometa {version('robometa')}"
