"""The command line. Nothing heavy is loaded before it is needed: help, lists and mistakes come at once."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from robometa import learners, suites
from robometa.arguments import options, parser, subparser
from robometa.errors import Stopped, TrainingError, UserError, unknown

FAILURE, MISTAKE, BUG, STOPPED, AT_ONCE = 1, 2, 3, 75, 130
"""Exit codes, see `arguments.EXIT_CODES`. The last but one is what a scheduler takes as "try again later"."""


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


def _train(asked: argparse.Namespace, rest: list[str]) -> None:
    if asked.named is not None:
        if asked.learner is not None:
            raise UserError(f"one learner is needed: {asked.learner!r} behind the suite, or --learner {asked.named}")
        asked.learner = asked.named
    if asked.help and asked.learner is None:
        subparser("train").print_help()
        print("\noptions of a learner: robometa train SUITE LEARNER --help")
        return
    if asked.learner is None or asked.suite is None:
        raise UserError("train needs a suite and a learner, as in `robometa train half-cheetah-direction maml-trpo`")
    suite = suites.load(asked.suite)
    learners.find(asked.learner)
    from robometa.options import read_options
    from robometa.training import train

    if asked.help:
        subparser("train").print_help()
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
        room=asked.room,
        threads=asked.threads,
        torch_threads=asked.torch_threads,
        checkpoint_minutes=asked.checkpoint_minutes,
    )
    _say_next(policy, asked.learner)


def _resume(asked: argparse.Namespace, rest: list[str]) -> None:
    from robometa.run_folder import RunFolder
    from robometa.training import resume

    policy = resume(asked.run, threads=asked.threads, iterations=asked.iterations, learner=asked.learner)
    _say_next(policy, asked.learner or RunFolder(asked.run).configuration()["learner"])


def _evaluate(asked: argparse.Namespace, rest: list[str]) -> None:
    if str(asked.policy).startswith("sb3-") and not asked.policy.exists():
        _evaluate_from_scratch(asked)
        return
    if str(asked.policy) == "scripted" and not asked.policy.exists():
        _evaluate_experts(asked)
        return
    if asked.steps is not None:
        raise UserError("--steps is of a training from scratch, as in `robometa evaluate sb3-ppo --suite point-robot`")
    own_report = asked.suite is None and asked.split == "test" and asked.tasks is None
    folder = _evaluation_folder(asked, asked.policy if own_report else None)
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
        learner=asked.learner,
        tasks=asked.tasks,
        protocol=asked.protocol,
        device=asked.device,
        engine=asked.engine,
        room=asked.room,
    )
    print_report(report)
    written = report.save(folder)
    if folder == asked.policy and own_report:
        write_card(asked.policy, report, asked.learner)
    print("written: " + ", ".join(str(path) for path in written))


def _evaluation_folder(asked: argparse.Namespace, usual: Path | None) -> Path:
    """Where a report goes, known before anything is measured.

    What is not of all of a policy's own held-out tasks has no usual place: its own report and card are of those.

    Raises: UserError: If no folder can be there.
    """
    if usual is None:
        policy = asked.policy.resolve()
        parts = [policy.parent.name if policy.name == "policy" else policy.name]
        parts += [Path(asked.suite).stem] if asked.suite else []
        parts += [asked.split] if asked.split != "test" else []
        parts += [f"{asked.tasks}-tasks"] if asked.tasks is not None else []
        usual = Path("runs") / "evaluations" / "-".join(parts)
    folder: Path = asked.out or usual
    stands = next(path for path in (folder, *folder.absolute().parents) if path.exists())
    if not stands.is_dir() or not os.access(stands, os.W_OK):
        raise UserError(f"cannot write the report into {folder}: {stands} is no folder that can be written to")
    return folder


def _refuse(asked: argparse.Namespace, names: Sequence[str]) -> None:
    """Returns if none of these options of `evaluate` was given.

    Raises: UserError: Naming those that were, which would change nothing.
    """
    usual = subparser("evaluate").get_default
    given = [f"--{name}" for name in names if getattr(asked, name) != usual(name)]
    if given:
        them = "them" if len(given) > 1 else "it"
        raise UserError(f"`robometa evaluate {asked.policy}` makes nothing of {' and '.join(given)}: leave {them} out")


def _evaluate_experts(asked: argparse.Namespace) -> None:
    if asked.suite is None:
        raise UserError("the scripted experts need a suite, as in `robometa evaluate scripted --suite ml1/reach-v3`")
    _refuse(asked, ("steps", "seed", "device", "engine", "room", "learner"))
    suite = suites.load(asked.suite)
    folder = _evaluation_folder(asked, Path("runs") / f"{suite.name.replace('/', '-')}-{asked.policy}")
    from robometa.evaluation import evaluate_experts
    from robometa.tables import print_report

    report = evaluate_experts(
        suite,
        split=asked.split,
        shots=asked.shots,
        worlds=asked.worlds,
        threads=asked.threads,
        tasks=asked.tasks,
        protocol=asked.protocol,
    )
    print_report(report)
    written = report.save(folder)
    print("written: " + ", ".join(str(path) for path in written))


def _evaluate_from_scratch(asked: argparse.Namespace) -> None:
    if asked.suite is None:
        raise UserError(f"{asked.policy} trains from scratch and needs a suite, as in --suite half-cheetah-velocity")
    _refuse(asked, ("device", "engine", "room", "protocol", "learner"))
    suite = suites.load(asked.suite)
    folder = _evaluation_folder(asked, Path("runs") / f"{suite.name.replace('/', '-')}-{asked.policy}-{asked.seed}")
    from robometa.from_scratch import evaluate_from_scratch
    from robometa.tables import print_report

    report = evaluate_from_scratch(
        str(asked.policy),
        suite,
        steps=asked.steps,
        tasks=asked.tasks,
        split=asked.split,
        shots=2 if asked.shots is None else asked.shots,
        worlds=asked.worlds or 20,
        seed=asked.seed,
        threads=asked.threads,
    )
    print_report(report)
    print("written: " + ", ".join(str(path) for path in report.save(folder)))


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
        learner=asked.learner,
    )
    print("written: " + ", ".join(str(path) for path in paths))


def _suites(asked: argparse.Namespace, rest: list[str]) -> None:
    from robometa.tables import print_suite, print_suites

    if asked.suite is None:
        print_suites()
    else:
        suite = suites.load(asked.suite)
        if suite.learner and asked.suite.endswith(".toml"):  # a file of the user's own
            from robometa.options import check_options

            check_options(suite)
        print_suite(suite)


def _learners(asked: argparse.Namespace, rest: list[str]) -> int:
    from robometa.tables import print_learner, print_learners

    if asked.learner is None:
        if asked.check:
            raise UserError("--check needs a learner, as in `robometa learners ./mine.py:MyLearner --check`")
        print_learners()
        return 0
    learners.find(asked.learner)
    if not asked.check:
        print_learner(asked.learner)
        return 0
    from robometa.learner_check import check_learner

    findings = check_learner(asked.learner)
    print("\n".join(findings) or f"{learners.label(asked.learner)} keeps the learners' protocol")
    return FAILURE if findings else 0


def _merge(asked: argparse.Namespace, rest: list[str]) -> None:
    from robometa.merging import merge

    policy = merge(asked.first, asked.second, asked.weight, out=asked.out, learner=asked.learner)
    _say_next(policy, asked.learner)


def _doctor(asked: argparse.Namespace, rest: list[str]) -> int:
    from rich.console import Console

    from robometa.doctor import report

    return report(Console())


def _say_next(policy: Path, learner: str | None) -> None:
    own = f" --learner {learner}" if learner is not None and learner not in learners.LEARNERS else ""
    print(f"policy: {policy}\nmeasure it: robometa evaluate {policy}{own}\nwatch it:   robometa record {policy}{own}")


def _verify(asked: argparse.Namespace, rest: list[str]) -> int:
    from robometa.verification import verify

    found = verify(asked.run, iterations=asked.iterations, learner=asked.learner)
    print("\n".join(found.lines()))
    return 0 if found.parted is None else FAILURE


def _replay(asked: argparse.Namespace, rest: list[str]) -> None:
    from robometa.divergence import replay

    print("\n".join(replay(asked.dump).lines()))


def _broken(error: Exception, words: list[str]) -> int:
    """Leaves a bundle for a bug report, and says where."""
    from robometa.bug_report import write_bundle

    folders = [Path(word) for word in words[1:] if (Path(word) / "run.json").is_file()]
    try:
        where = f"{write_bundle(error, words, folders[0] if folders else None)} has what a bug report needs"
    except OSError as problem:
        where = f"no bug report could be written: {problem}"
    print(f"robometa broke ({type(error).__name__}: {str(error).split(chr(10))[0]}); {where}", file=sys.stderr)
    return BUG


COMMANDS: dict[str, Callable[[argparse.Namespace, list[str]], int | None]] = {
    "train": _train,
    "resume": _resume,
    "evaluate": _evaluate,
    "record": _record,
    "suites": _suites,
    "learners": _learners,
    "merge": _merge,
    "verify": _verify,
    "replay": _replay,
    "doctor": _doctor,
}
"""What each command does with what was asked, and with the words that are a learner's."""
