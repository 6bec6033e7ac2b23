"""`robometa evaluate`."""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from robometa import registry, suites
from robometa.commands import hints
from robometa.commands.arguments import Commands, Parser, add_hardware_options, add_policy_options, count
from robometa.commands.report_output import keeps_report, publish
from robometa.compute.hardware import EVALUATORS, forms_of
from robometa.escape import say, word
from robometa.evaluation.protocols import NONE, PROTOCOLS
from robometa.storage.paths import RUNS, beside, is_run, require_nameable, require_writable

if TYPE_CHECKING:
    from robometa.training.load import Source

ABOUT = "measure how a policy adapts to held-out tasks"
EXAMPLE = "robometa evaluate policies/half-cheetah-direction-maml-trpo --shots 2"
PROTOCOL = f"rule of evaluation: {', '.join(PROTOCOLS)} or {NONE}: --shots, --worlds (default: the suite's)"
TASKS = "first K tasks only; goals per task on Meta-World (default: all)"
MORE = "\n".join(
    (
        "The report of another suite or split, of some tasks or of a checkpoint goes to runs/evaluations/POLICY-...;",
        "so does one of another seed, or of fewer shots or episodes than the policy's report has.",
        *(f"\nProtocol {protocol.name}: {protocol.words()}.\n" for protocol in PROTOCOLS.values()),
        "Meta-World's suites with held-out goals follow it unless --shots or --worlds is given.",
    )
)


def add_to(commands: Commands) -> Parser:
    """Adds the command and its arguments."""
    parser = commands.add("evaluate", ABOUT, _run, EXAMPLE, more=MORE)
    policy = "folder of a policy, or of a run: its newest"
    parser.add_argument("policy", metavar="POLICY", type=hints.policy, help=policy)
    add_policy_options(parser, shots=None)
    worlds = "episodes of each task at each shot (default: the learner's, or 20)"
    parser.add_argument("--worlds", type=count, help=worlds)
    parser.add_argument("--protocol", metavar="NAME", help=PROTOCOL)
    parser.add_argument("--tasks", type=count, metavar="K", help=TASKS)
    about = "policies or runs to measure the gap between, for suites without (default: the suite's)"
    parser.add_argument("--reference", nargs=2, metavar=("ORACLE", "NO_ADAPTATION"), type=hints.policy, help=about)
    about = "measure after each shot also with the adaptation forgotten"
    parser.add_argument("--control", action="store_true", help=about)
    parser.add_argument("--out", type=require_nameable, help="folder of the report (default: the policy's)")
    add_hardware_options(parser)
    about = f"simulators, with the same report: {', '.join(forms_of(EVALUATORS))} (default: here)"
    parser.add_argument("--collect", metavar="WHO", default="here", help=about)
    return parser


def _run(asked: argparse.Namespace) -> None:
    hints.require_policy(asked.policy)
    for reference in asked.reference or ():
        hints.require_policy(reference)
    suite = suites.load(asked.suite) if asked.suite else None
    checkpoint = _newest(asked) if is_run(asked.policy) else None
    of_whole_test_split = asked.suite is None and asked.split == "test" and asked.tasks is None
    in_place = of_whole_test_split and checkpoint is None
    usual = asked.policy if in_place else _folder_beside(asked, checkpoint)
    folder = asked.out or usual
    require_writable(folder)
    beside = _folder_beside(asked, checkpoint)
    if asked.out is None:
        require_writable(beside)
    from robometa.compute.hardware import Hardware
    from robometa.evaluation.evaluate import chosen_protocol, measure, save_with_card
    from robometa.evaluation.reference import compared, labelled
    from robometa.training.load import Source, newest

    source = checkpoint or Source(asked.policy)
    learner, suite, manifest = source.load(suite, asked.device, asked.learner, "evaluate")
    references = []
    if asked.reference:
        sources = [newest(folder) for folder in asked.reference]
        loaded = [(one.folder, one.load(suite, asked.device, command="evaluate")) for one in sources]
        references = labelled(*((folder, known, about.learner) for folder, (known, _, about) in loaded))
    protocol = chosen_protocol(suite, asked.protocol, asked.shots, asked.worlds)
    hardware = Hardware(asked.device, asked.engine, asked.contact_capacity, asked.threads, collect=asked.collect)
    report = measure(
        learner,
        suite,
        split=asked.split,
        shots=asked.shots,
        worlds=asked.worlds,
        seed=asked.seed,
        name=registry.label(manifest.learner),
        policy=str(source.folder),
        tasks=asked.tasks,
        protocol=protocol,
        hardware=hardware,
        reference=manifest.learner,
        control=asked.control,
    )
    if references:
        same = {
            "worlds": asked.worlds,
            "tasks": asked.tasks,
            "protocol": protocol,
            "hardware": replace(hardware, collect="here"),
        }
        report = compared(report, suite, references, **same)
    if asked.out is None and in_place and keeps_report(folder, report):
        say(f"{folder} keeps its report, of another seed or of more episodes; --out {word(folder)} replaces it")
        folder = beside
    with_card = folder == asked.policy and in_place
    publish(
        report,
        lambda: save_with_card(folder, learner, suite, manifest, report) if with_card else report.save(folder),
    )


def _newest(asked: argparse.Namespace) -> Source | None:
    """Says which policy of a run is the newest, and returns it if it is a checkpoint; else it becomes the argument."""
    from robometa.training.load import newest

    source = newest(asked.policy)
    say(source.described())
    if source.is_checkpoint:
        return source
    asked.policy = source.folder
    return None


def _folder_beside(asked: argparse.Namespace, checkpoint: Source | None) -> Path:
    """Default folder of a report that is not of all held-out tasks of the policy's suite, or of a checkpoint."""
    policy = asked.policy.resolve()
    parts = [policy.parent.name if policy.name == "policy" else policy.name]
    parts += [f"iteration-{checkpoint.iterations}"] if checkpoint else []
    parts += [Path(asked.suite).stem] if asked.suite else []
    parts += [asked.split] if asked.split != "test" else []
    parts += [f"{asked.tasks}-tasks"] if asked.tasks is not None else []
    if len(parts) == 1:  # only the number of episodes, the protocol or the seed can be other than the policy's
        counts = {"shots": asked.shots, "worlds": asked.worlds}
        parts += [f"{count}-{name}" for name, count in counts.items() if count is not None]
        parts += [f"seed-{asked.seed}"] if asked.seed else []
        parts += [asked.protocol] if asked.protocol else []
    return beside(RUNS, "evaluations", "-".join(parts))
