"""`robometa export`."""

from __future__ import annotations

import argparse
from pathlib import Path

from robometa.commands import hints
from robometa.commands.arguments import Commands, Parser, add_learner_option, whole
from robometa.deployment.places import require_place
from robometa.escape import say
from robometa.storage.paths import beside, checked

ABOUT = "export a policy to ONNX, to run without torch"
EXAMPLE = "robometa export policies/half-cheetah-velocity-rl2 --out exports/velocity-rl2"


def add_to(commands: Commands) -> Parser:
    """Adds the command and its arguments."""
    parser = commands.add("export", ABOUT, _run, EXAMPLE)
    parser.add_argument("policy", metavar="POLICY", type=hints.policy, help="folder of a policy or a run")
    parser.add_argument("--out", type=checked, help="folder to write (default: exports/POLICY, or exports/POLICY-int8)")
    parser.add_argument("--after-shots", type=whole, default=0, help="adaptations to bake in (default: 0)")
    parser.add_argument("--task", type=whole, default=0, help="held-out task that these adapt to (default: 0)")
    parser.add_argument(
        "--license", metavar="TEXT", default="not stated", help="licence to write (default: not stated)"
    )
    parser.add_argument("--int8", action="store_true", help="round weights to 8 bits, if 98 %% of the gain stay")
    parser.add_argument("--force", action="store_true", help="export int8 weights even if they keep less")
    add_learner_option(parser)
    return parser


def default_folder(policy: Path, int8: bool) -> Path:
    """Folder of an export that names none: neither form replaces the other."""
    return beside("exports", policy.resolve().name + ("-int8" if int8 else ""))


def _run(asked: argparse.Namespace) -> None:
    hints.require_policy(asked.policy)
    out = asked.out or default_folder(asked.policy, asked.int8)
    require_place(out)
    from robometa.deployment.export import export
    from robometa.deployment.same_returns import lines
    from robometa.deployment.to_onnx import require_onnx
    from robometa.training.load import load

    require_onnx()
    policy = load(asked.policy, learner=asked.learner)
    say("exporting, then comparing with the policy: a minute or two, more on a busy machine")
    done = export(
        policy,
        out,
        shots=asked.after_shots,
        task=asked.task,
        license_text=asked.license,
        int8=asked.int8,
        force=asked.force,
    )
    for name, size in done.files.items():
        say(f"{out / name}: {size:,} bytes")
    say("\n".join([*lines(done.gap, done.returns, done.policy_returns), *done.forms]))
