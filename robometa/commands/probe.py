"""`robometa probe`."""

from __future__ import annotations

import argparse

from robometa import registry
from robometa.commands import hints
from robometa.commands.arguments import Commands, Parser, add_hardware_options, add_learner_option, count, whole
from robometa.escape import say
from robometa.storage.paths import RUNS, beside, is_run, require_nameable, require_writable

ABOUT = "measure how well an adaptation tells the hidden parameters"
EXAMPLE = "robometa probe policies/half-cheetah-params-rl2 --tasks 200"
MORE = "\n".join(
    (
        "A ridge regression and a small network read the hidden parameters from the memory, the belief",
        "or the adapted parameters, along trials of drawn tasks, and never of tasks that they were fitted",
        "on. R2 is 1 for a perfect reading and 0 for the mean over the other tasks. An untrained learner",
        "of the same kind stands beside it: what can be read there was not learned. The result is",
        "probe.json in the policy's folder; `report` and `compare` draw it.",
    )
)


def add_to(commands: Commands) -> Parser:
    """Adds the command and its arguments."""
    parser = commands.add("probe", ABOUT, _run, EXAMPLE, more=MORE)
    policy = "folder of a policy, or of a run: its newest"
    parser.add_argument("policy", metavar="POLICY", type=hints.policy, help=policy)
    parser.add_argument("--tasks", type=count, default=100, metavar="K", help="tasks to draw (default: 100)")
    about = "trials of each task (default: the learner's if it pools them, or 4)"
    parser.add_argument("--worlds", type=count, help=about)
    about = "rollouts to adapt to (default: 2)"
    parser.add_argument("--shots", type=count, default=2, help=about)
    about = "seed of tasks, exploration, untrained weights (default: 0)"
    parser.add_argument("--seed", type=whole, default=0, help=about)
    add_learner_option(parser)
    parser.add_argument("--out", type=require_nameable, help="folder of probe.json (default: the policy's)")
    add_hardware_options(parser)
    return parser


def _run(asked: argparse.Namespace) -> None:
    hints.require_policy(asked.policy)
    if asked.out is not None or not is_run(asked.policy):
        require_writable(asked.out or asked.policy)
    from robometa.compute.hardware import Hardware
    from robometa.evaluation.probe import measure_probe
    from robometa.reports.probe_table import print_probe
    from robometa.storage import sealed_folder
    from robometa.training.load import newest

    source = newest(asked.policy)
    if source.run is not None:
        say(source.described())
    learner, suite, manifest = source.load(None, asked.device, asked.learner, "probe")
    probed = measure_probe(
        learner,
        suite,
        name=registry.label(manifest.learner),
        tasks=asked.tasks,
        worlds=asked.worlds,
        shots=asked.shots,
        seed=asked.seed,
        hardware=Hardware(asked.device, asked.engine, asked.contact_capacity, asked.threads),
    )
    in_place = asked.out is None and not source.is_checkpoint
    folder = source.folder if in_place else asked.out or beside(RUNS, "probes", asked.policy.resolve().name)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        sealed_folder.put(folder, {probed.file: probed.text()}, tensors=manifest.tensors_sha256 if in_place else None)
    finally:
        print_probe(probed)
    say(f"written: {folder / probed.file}")
