"""`robometa collect`."""

from __future__ import annotations

import argparse

from robometa import suites
from robometa.commands import hints
from robometa.commands.arguments import Commands, Parser, add_learner_option, count, whole
from robometa.escape import say, word
from robometa.registry.given import given
from robometa.storage.paths import require_nameable

ABOUT = "write a policy's trials on training tasks as a dataset"
EXAMPLE = "robometa collect half-cheetah-velocity policies/half-cheetah-velocity-oracle --out runs/data"
MORE = "\n".join(
    (
        "A trial is some episodes on one training task. Noise takes the policy's place in all of the",
        "first episode, and in fewer and fewer steps of the later ones: a learning history without any",
        "learning. It is uniform at random, or what an oracle does on other tasks. The policy's own",
        "action is kept for every step. Held-out tasks are never used.",
    )
)


def add_to(commands: Commands) -> Parser:
    """Adds the command and its arguments."""
    parser = commands.add("collect", ABOUT, _run, EXAMPLE, more=MORE)
    parser.add_argument("suite", metavar="SUITE", help="name of a suite, or path of a .toml file")
    about = "folder of a policy, such as an oracle's, or of a run"
    parser.add_argument("policy", metavar="POLICY", type=hints.policy, help=about)
    parser.add_argument(
        "--out", metavar="FOLDER", type=require_nameable, required=True, help="folder to write (required)"
    )
    parser.add_argument("--episodes", metavar="N", type=count, default=10, help="episodes of a trial (default: 10)")
    about = "training tasks to draw (default: the suite's listed ones)"
    parser.add_argument("--tasks", metavar="K", type=count, help=about)
    parser.add_argument("--worlds", type=count, default=1, help="trials of each task (default: 1)")
    about = "share of noise over episodes: linear, cosine, none or full (default: linear)"
    parser.add_argument("--noise-schedule", metavar="NAME", default="linear", help=about)
    about = "uniform or other-tasks (default: uniform)"
    parser.add_argument("--noise", metavar="KIND", default="uniform", help=about)
    parser.add_argument("--seed", type=whole, default=0, help="seed of tasks, resets and noise (default: 0)")
    about = "processes that compute, with the same bytes (default: 1)"
    parser.add_argument("--processes", metavar="N", type=count, default=1, help=about)
    add_learner_option(parser)
    return parser


def _run(asked: argparse.Namespace) -> None:
    suite = suites.load(asked.suite)
    hints.require_policy(asked.policy)
    from robometa.training.collect_dataset import collect_dataset

    dataset = collect_dataset(
        suite,
        asked.policy,
        asked.out,
        episodes=asked.episodes,
        tasks=asked.tasks,
        worlds=asked.worlds,
        noise_schedule=asked.noise_schedule,
        noise=asked.noise,
        seed=asked.seed,
        learner=asked.learner,
        processes=asked.processes,
    )
    about = dataset.about
    kind = "drawn" if about.drawn else "listed"
    say(
        f"{asked.out}: {about.tasks * about.worlds} trials of {about.episodes} episodes by {about.policy} on "
        f"{about.tasks} {kind} training tasks of {suite.name}; none of its {len(suite.test)} held-out tasks"
    )
    say(f"next: robometa train {word(asked.suite)} dpt --dataset {word(asked.out)}{given()}")
