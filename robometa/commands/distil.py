"""`robometa distil`."""

from __future__ import annotations

import argparse
import os
from pathlib import Path

from robometa.commands import hints
from robometa.commands.arguments import Commands, Parser, add_learner_option, count, whole
from robometa.commands.next_steps import print_next_steps
from robometa.errors import UserError
from robometa.escape import say
from robometa.storage.paths import require_nameable

ABOUT = "teach a smaller policy to act as a trained one does"
EXAMPLE = "robometa distil policies/half-cheetah-velocity-rl2 --size 64"
MORE = """\
Rounds of trials on training tasks, each step labelled with the teacher's action (DAgger), until
the student's returns stop rising. The teacher must remember its trial: rl2, varibad, hypernetwork.
"""


def add_to(commands: Commands) -> Parser:
    """Adds the command and its arguments."""
    parser = commands.add("distil", ABOUT, _run, EXAMPLE, more=MORE)
    parser.add_argument("policy", metavar="POLICY", type=hints.policy, help="folder of a policy or a run")
    parser.add_argument("--size", type=count, default=64, help="hidden units of the student's GRU (default: 64)")
    parser.add_argument("--rounds", type=count, default=12, help="rounds at the most (default: 12)")
    parser.add_argument("--steps", type=count, default=300, help="gradient steps of a round (default: 300)")
    parser.add_argument("--seed", type=whole, default=0, help="seed of weights, trials and batches (default: 0)")
    parser.add_argument("--out", type=require_nameable, help="folder of the student (default: policies/POLICY-SIZE)")
    add_learner_option(parser)
    return parser


def _run(asked: argparse.Namespace) -> None:
    hints.require_policy(asked.policy)
    out = asked.out or require_nameable(Path("policies") / f"{asked.policy.resolve().name}-{asked.size}")
    if os.path.lexists(out):
        raise UserError(f"{out} exists already: choose another --out")
    from robometa.deployment.distil import Settings
    from robometa.deployment.student import distil

    settings = Settings(size=asked.size, rounds=asked.rounds, steps=asked.steps, seed=asked.seed)
    done = distil(asked.policy, settings, out=out, learner=asked.learner, say=say)
    result = done.result
    best = result.rounds[result.best - 1]
    say(
        f"the student is of round {best.number}, return {best.score:.2f}, the teacher's {result.teacher_score:.2f}; "
        f"{result.environment_steps:,} environment steps, {result.processor_seconds:.0f} s of processor time"
    )
    say("\n".join(done.forms))
    print_next_steps(out, None)
