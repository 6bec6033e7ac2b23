"""`robometa page`."""

from __future__ import annotations

import argparse
from pathlib import Path

from robometa.commands import hints
from robometa.commands.arguments import Commands, Parser, add_learner_option
from robometa.errors import UserError
from robometa.escape import say
from robometa.storage.paths import checked, require_page

ABOUT = "write a page on which policies adapt live in a browser"
EXAMPLE = "robometa page policies/half-cheetah-velocity-rl2-long --out page.html"
MORE = """One HTML file with MuJoCo, the exported policies and their robots, which needs no network. A visitor
changes what the policies do not observe, such as the speed asked for, the slope or a broken joint,
and sees them find out."""
MAX_POLICIES = 12


def add_to(commands: Commands) -> Parser:
    """Adds the command and its arguments."""
    parser = commands.add("page", ABOUT, _run, EXAMPLE, more=MORE)
    parser.add_argument(
        "policies", metavar="POLICY", nargs="+", type=hints.policy, help="folders of policies, or of runs: their newest"
    )
    parser.add_argument("--out", type=checked, help="file to write (default: page.html)")
    parser.add_argument(
        "--license", metavar="TEXT", default="not stated", help="licence to write (default: not stated)"
    )
    add_learner_option(parser)
    return parser


def _run(asked: argparse.Namespace) -> None:
    out = asked.out or Path("page.html")
    require_page(out)
    names = [folder.resolve().name for folder in asked.policies]
    if len(names) > MAX_POLICIES or len(set(names)) < len(names):
        raise UserError(f"a page shows up to {MAX_POLICIES} policies of different names, not {', '.join(names)}")
    for folder in asked.policies:
        hints.require_policy(folder)
    from robometa.deployment.page.page import save
    from robometa.training.load import load

    policies = {name: load(folder, learner=asked.learner) for name, folder in zip(names, asked.policies, strict=True)}
    written = save(policies, out, license_text=asked.license)
    for name, gap in written.gaps.items():
        say(f"{name}: largest gap on equal inputs {gap:.2g}")
    say(f"{written.path}: {written.size:,} bytes")
