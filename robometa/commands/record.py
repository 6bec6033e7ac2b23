"""`robometa record`."""

from __future__ import annotations

import argparse

from robometa import suites
from robometa.commands import hints
from robometa.commands.arguments import Commands, Parser, add_policy_options, count, whole
from robometa.escape import say
from robometa.storage.paths import checked, is_run
from robometa.video.targets import targets

ABOUT = "record a policy's adaptation to one task on video"
EXAMPLE = "robometa record policies/half-cheetah-direction-maml-trpo --task 0"


def add_to(commands: Commands) -> Parser:
    """Adds the command and its arguments."""
    parser = commands.add("record", ABOUT, _run, EXAMPLE)
    policy = "folder of a policy or a run, or scripted for Meta-World's experts"
    parser.add_argument("policy", metavar="POLICY", type=hints.policy_or_scripted, help=policy)
    add_policy_options(parser, shots=2)
    parser.add_argument("--task", type=whole, default=0, help="index of the task in its split (default: 0)")
    parser.add_argument("--out", type=checked, help=".mp4 or .gif file to write (default: videos/POLICY-taskN.mp4)")
    parser.add_argument("--width", type=count, default=1280, help="width in pixels, 480 to 3840 (default: 1280)")
    parser.add_argument("--height", type=count, default=480, help="height in pixels, 240 to 2160 (default: 480)")
    parser.add_argument("--no-gif", dest="gif", action="store_false", help="write no GIF beside the .mp4")
    return parser


def _run(asked: argparse.Namespace) -> None:
    if str(asked.policy) != "scripted":
        hints.require_policy(asked.policy)
    targets(asked.policy, asked.task, asked.out, asked.gif)
    suite = suites.load(asked.suite) if asked.suite else None
    from robometa.training.load import newest
    from robometa.video.record import record

    if is_run(asked.policy):
        say(newest(asked.policy).described())
    paths = record(
        asked.policy,
        suite=suite,
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
    say("written: " + ", ".join(str(path) for path in paths))
