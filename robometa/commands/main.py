"""The command line: finds the command, runs it, and turns errors into exit codes.

Heavy packages are imported by the commands that need them, so that help, lists and mistakes appear at once.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

from robometa.commands import (
    baseline,
    check_export,
    collect,
    compare,
    distil,
    doctor,
    evaluate,
    export,
    export_dataset,
    export_table,
    learners,
    merge,
    page,
    play,
    probe,
    record,
    replay,
    report,
    resume,
    runs,
    search,
    suites,
    train,
    verify,
)
from robometa.commands.arguments import Commands, Filled, Parser
from robometa.commands.exit_codes import AT_ONCE, BUG, EXIT_CODES, FAILURE, MISTAKE, STOPPED
from robometa.commands.hints import stray, too_many, unknown_option
from robometa.commands.standard_streams import failing_silently
from robometa.errors import Stopped, TrainingError, UserError
from robometa.escape import say
from robometa.registry import user_file, user_objective
from robometa.registry.given import REWARD
from robometa.storage.paths import is_own_file
from robometa.storage.versions import installed

GROUPS = {
    "train": (train, resume, search, collect, export_dataset),
    "measure": (evaluate, baseline, compare, report, export_table, probe),
    "deploy": (export, check_export, distil, page),
    "look": (suites, learners, runs, record, play, replay),
    "housekeeping": (verify, merge, doctor),
}
"""Commands, as the help groups them."""

WRITING = (
    *("train", "resume", "search", "evaluate", "baseline", "compare", "report", "probe"),
    *("collect", "export-dataset", "record", "merge", "export", "distil", "page"),
)
"""Commands that write files: they have done their work even if nobody can read what they print."""
WRITES, ONLY_PRINTS = "--out", "--dry-run"
"""Options with which another command writes a file, and with which one of these does not."""

ABOUT = """\
Robots that adapt: meta-train a controller on a suite of tasks, measure how it adapts to tasks that it has never seen,
and watch it adapt.
"""

EXAMPLES = """\
examples:
  robometa suites half-cheetah-velocity
  robometa train half-cheetah-direction maml-trpo
  robometa train half-cheetah-velocity pearl --gradient-steps 100 --seed 1
  robometa train point-robot --learner ./mine.py:MyLearner
  robometa resume runs/half-cheetah-velocity-pearl-1
  robometa evaluate policies/half-cheetah-direction-maml-trpo --shots 2
  robometa baseline sb3-sac half-cheetah-velocity --tasks 1 --steps 400 40000
  robometa baseline scripted ml1/reach-v3 --tasks 5
  robometa compare policies/half-cheetah-velocity-rl2 policies/half-cheetah-velocity-pearl
  robometa record policies/half-cheetah-direction-maml-trpo --task 0
  robometa export policies/half-cheetah-velocity-rl2

arguments and options of a command: robometa COMMAND --help
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command line and returns the exit code."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    os.environ["PYTHONSAFEPATH"] = "1"  # GLFW's package starts Python, which takes no module from the current folder
    with failing_silently() as output, _ended_by_signals() as asked:
        code = _guarded(words, asked)
        output.flush()
        if code == 0 and output.failure is not None and not _writes(words):
            if not isinstance(output.failure, BrokenPipeError):
                say(f"error: standard output cannot be written: {output.failure}", error=True)
            code = FAILURE
    return code


@contextmanager
def _ended_by_signals() -> Iterator[list[int]]:
    """Ends a command at Ctrl-C and SIGTERM, so that it clears away what it has begun; a training handles them itself.

    Yields:
        A list that receives the signal: code in C may turn the interruption into an error of its own.
    """
    asked = list[int]()

    def end(number: int, frame: FrameType | None) -> None:
        asked.append(number)
        signal.signal(signal.SIGTERM, signal.SIG_IGN)  # a second one would interrupt the clearing away
        raise KeyboardInterrupt

    if threading.current_thread() is not threading.main_thread():  # whoever called handles signals
        yield asked
        return
    ignored = signal.getsignal(signal.SIGINT) is signal.SIG_IGN  # as in the background of a shell
    kinds = (signal.SIGTERM,) if ignored else (signal.SIGTERM, signal.SIGINT)
    before = [signal.signal(kind, end) for kind in kinds]
    try:
        yield asked
    finally:
        for kind, handler in zip(kinds, before, strict=True):
            signal.signal(kind, signal.SIG_DFL if handler is None else handler)


def _writes(words: Sequence[str]) -> bool:
    """Tests if a command line is one that writes files."""
    options = {word.partition("=")[0] for word in words}
    return ONLY_PRINTS not in options and (WRITES in options or bool({*words[:1]} & {*WRITING}))


def _guarded(words: list[str], asked: Sequence[int]) -> int:
    """Runs the command line, and turns errors into exit codes; whatever follows a signal is its end."""
    try:
        return _run(words)
    except KeyboardInterrupt as error:
        return _at_once(str(error))
    except Stopped as error:
        say(error, error=True)
        return STOPPED
    except Exception as error:
        if asked:
            return _at_once()
        try:
            return _failed(error, words, asked)
        except KeyboardInterrupt:
            return _at_once()


def _at_once(message: str = "") -> int:
    """Says that a command was stopped, and returns its exit code."""
    say(message or "stopped at once; saved work is kept", error=True)
    return AT_ONCE


def _failed(error: Exception, words: list[str], asked: Sequence[int]) -> int:
    """Says what went wrong, and returns the exit code.

    Raises:
        KeyboardInterrupt: If a signal came meanwhile that is to end the command.
    """
    if isinstance(error, UserError | TrainingError):
        own = isinstance(error, UserError)
        say(f"error: {error}" if own else error, error=True)
        return MISTAKE if own else FAILURE
    blamed = user_file.blame(error)
    if isinstance(error, OSError | MemoryError):
        say(f"error: {blamed or error}", error=True)
        return MISTAKE if blamed else FAILURE
    blamed = blamed or _breach(error, words, asked)
    if not blamed:
        return _report_bug(error, words)
    say(f"error: {UserError(blamed)}", error=True)
    return MISTAKE


def _breach(error: Exception, words: Sequence[str], asked: Sequence[int]) -> str:
    """Describes what the user's learner that the words name does against the protocol; an empty string if nothing.

    A training does not check what its methods return, so that a wrong result fails elsewhere in the package.

    Raises:
        KeyboardInterrupt: If a signal came meanwhile that is to end the command; Ctrl-C ends the check alone.
    """
    entry = user_file.loaded_learner(words)
    if entry is None:
        return ""
    failed = f"{type(error).__name__}: {error}"
    say(f"{failed}; checking {entry.name} (Ctrl-C leaves it out)", error=True)
    try:
        from robometa.conformance.check_learner import check_learner

        breaches = check_learner(entry.load())
    except KeyboardInterrupt:
        if signal.SIGTERM in asked:
            raise
        return ""
    except Exception:  # the first error is the one to report
        return ""
    broken = f"{entry.name} of {entry.path} breaks the learners' protocol: {' '.join(breaches)}"
    mend = "If robometa still fails once this is mended, it writes a report of the bug"
    return f"{broken} {mend}: {failed}" if breaches else ""


def _run(words: list[str]) -> int:
    """Runs the command that the words name, with its arguments."""
    whole = parser()
    if not words:
        whole.print_help()
        return 0
    if words[0].startswith("-") and words[0] not in (known := whole.options()):
        raise UserError(unknown_option(words[0], known, "robometa"))
    asked, rest = whole.parse_known_args(words)
    if rest and not asked.takes_learner_options:
        if not rest[0].startswith("-"):
            raise UserError(too_many(rest[0], asked.parser.prog.removeprefix("robometa ")))
        raise UserError(unknown_option(rest[0].partition("=")[0], asked.parser.options(), asked.parser.prog))
    asked.learner_options, asked.stray = rest, stray(words, rest)
    os.environ.pop(REWARD, None)  # the command line alone names the file
    if asked.reward is not None:
        user_objective.give(asked.reward)
    return asked.work(asked) or 0


def _report_bug(error: Exception, words: list[str]) -> int:
    """Writes a bundle for a bug report, and prints its path."""
    from robometa.commands.bug_report import write_bundle

    folders = [Path(word) for word in words[1:] if is_own_file(Path(word), "run.json")]
    try:
        where = f"{write_bundle(error, words, folders[0] if folders else None)} holds what a bug report needs"
    except OSError as problem:
        where = f"no bug report could be written: {problem}"
    say(f"bug in robometa ({type(error).__name__}: {str(error).split(chr(10))[0]}); {where}", error=True)
    return BUG


def parser() -> Parser:
    """The parser of every command."""
    whole = Parser(prog="robometa", usage="robometa COMMAND ...", formatter_class=Filled)
    whole.add_argument("--version", action="version", version=f"robometa {installed('robometa')}")
    commands = Commands(whole)
    lines = [ABOUT]
    for group, members in GROUPS.items():
        lines.append(f"{group}:")
        for module in members:
            added = module.add_to(commands)
            lines.append(f"  {added.prog.removeprefix('robometa '):14} {module.ABOUT}")
    whole.description = "\n".join(lines)
    whole.epilog = EXAMPLES + EXIT_CODES
    return whole
