"""`robometa play`."""

from __future__ import annotations

import argparse

from robometa import suites
from robometa.commands import hints
from robometa.commands.arguments import Commands, Parser, add_learner_option, add_split_option, whole
from robometa.escape import say

ABOUT = "watch a policy live in MuJoCo's viewer; keys let it adapt"
EXAMPLE = "robometa play policies/half-cheetah-velocity-rl2 --task 3"
MORE = """keys:
  6   next task
  7   one more shot: the policy explores for an episode, then adapts
  8   break the next joint; after the last one, mend all
  9   forget: begin the trial anew
Every other key is the viewer's own; F1 lists them."""


def add_to(commands: Commands) -> Parser:
    """Adds the command and its arguments."""
    parser = commands.add("play", ABOUT, _run, EXAMPLE, more=MORE)
    parser.add_argument(
        "policy", metavar="POLICY", type=hints.policy, help="folder of a policy, or of a run: its newest"
    )
    parser.add_argument("--suite", help="another suite with equal observations and actions (default: the policy's)")
    add_split_option(parser)
    parser.add_argument("--task", type=whole, default=0, help="index of the first task in its split (default: 0)")
    parser.add_argument("--seed", type=whole, default=0, help="seed of resets and exploration (default: 0)")
    add_learner_option(parser)
    return parser


def _run(asked: argparse.Namespace) -> None:
    hints.require_policy(asked.policy)
    from robometa.video import gl_backends

    gl_backends.require_window(asked.policy, asked.learner)
    from robometa.training.load import newest
    from robometa.video.live import Live

    source = newest(asked.policy)
    if source.run is not None:
        say(source.described())
    suite = suites.load(asked.suite) if asked.suite else None
    learner, suite, _ = source.load(suite, learner=asked.learner, command="play")
    Live(learner, suite, split=asked.split, task=asked.task, seed=asked.seed, say=say).run()
