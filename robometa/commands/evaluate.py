"""`robometa evaluate`: its arguments and its work."""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable, Sequence
from pathlib import Path

from robometa import suites
from robometa.commands.arguments import Parser, _engine_arguments, _policy_arguments, count
from robometa.errors import UserError
from robometa.evaluation.protocols import NONE, PROTOCOLS

STEPS = """for sb3-ppo, sb3-sac or sb3-td3 as POLICY, which are trained from scratch on each task: the environment
steps of a training; several numbers give a row each (default: the steps of as many episodes as --shots says)"""

KNOWN = "; ".join(f"{one.name} ({one.words()})" for one in PROTOCOLS.values())
PROTOCOL = f"""how many episodes of which tasks: {KNOWN}, the default for Meta-World's suites with held-out goals
unless --shots or --worlds is given; {NONE}: as these say"""
REPORT = """folder for report.json and tasks.csv (default: the policy's folder; for another suite, split or some of
the tasks runs/evaluations/POLICY-...; for sb3-... and scripted runs/SUITE-POLICY)"""
TASKS = """only the first K tasks of the split; of Meta-World's suites, the first K goals of each task (default: all, or
as the protocol says)"""


def add_arguments(command: Callable[..., Parser]) -> None:
    """Adds `robometa evaluate` to the parser."""
    add = command("evaluate", "measure how a policy adapts to held-out tasks")
    _policy_arguments(add, shots=None, from_scratch="sb3-ppo, sb3-sac or sb3-td3 for a training from scratch, ")
    add.add_argument("--worlds", type=count, help="episodes of each task at each shot (default: the learner's, or 20)")
    add.add_argument("--protocol", metavar="NAME", help=PROTOCOL)
    add.add_argument("--tasks", type=count, metavar="K", help=TASKS)
    add.add_argument("--steps", type=count, nargs="+", metavar="N", help=STEPS)
    add.add_argument("--out", type=Path, help=REPORT)
    _engine_arguments(add)


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
    from robometa.evaluation.evaluate import evaluate, write_card
    from robometa.reports.terminal import print_report

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
        contact_capacity=asked.contact_capacity,
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
    usual = asked.parser.get_default
    given = [f"--{name.replace('_', '-')}" for name in names if getattr(asked, name) != usual(name)]
    if given:
        them = "them" if len(given) > 1 else "it"
        raise UserError(f"`robometa evaluate {asked.policy}` makes nothing of {' and '.join(given)}: leave {them} out")


def _evaluate_experts(asked: argparse.Namespace) -> None:
    if asked.suite is None:
        raise UserError("the scripted experts need a suite, as in `robometa evaluate scripted --suite ml1/reach-v3`")
    _refuse(asked, ("steps", "seed", "device", "engine", "contact_capacity", "learner"))
    suite = suites.load(asked.suite)
    folder = _evaluation_folder(asked, Path("runs") / f"{suite.name.replace('/', '-')}-{asked.policy}")
    from robometa.evaluation.evaluate import evaluate_experts
    from robometa.reports.terminal import print_report

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
    _refuse(asked, ("device", "engine", "contact_capacity", "protocol", "learner"))
    suite = suites.load(asked.suite)
    folder = _evaluation_folder(asked, Path("runs") / f"{suite.name.replace('/', '-')}-{asked.policy}-{asked.seed}")
    from robometa.evaluation.stable_baselines3 import evaluate_from_scratch
    from robometa.reports.terminal import print_report

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
