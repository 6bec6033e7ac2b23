"""`robometa compare`."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from robometa.commands.arguments import Commands, Parser, add_learner_option, add_threads_option
from robometa.escape import printable, say
from robometa.storage.paths import checked, matching, require_page

if TYPE_CHECKING:
    from robometa.reports.compare import Comparison

ABOUT = "compare policies and runs: a table, and a page with figures"
EXAMPLE = "robometa compare policies/half-cheetah-velocity-rl2 policies/half-cheetah-velocity-pearl"
MORE = """\
Seeds of one learner with the same options on one suite are one row, with an interval.
Quoted glob patterns are understood, too: robometa compare 'runs/half-cheetah-velocity-*'.
The page is one HTML file that needs no network. docs/comparing.md says what its numbers are."""


def add_to(commands: Commands) -> Parser:
    """Adds the command and its arguments."""
    parser = commands.add("compare", ABOUT, _run, EXAMPLE, more=MORE)
    about = "folders of runs, policies or reports, or glob patterns"
    parser.add_argument("paths", metavar="PATH", nargs="+", help=about)
    add_page_options(parser, "compare.html")
    return parser


def add_page_options(parser: Parser, page: str) -> None:
    """Adds the options of a command that writes a page."""
    parser.add_argument("--out", type=checked, help=f"HTML file to write (default: {page})")
    parser.set_defaults(page=page)
    add_evaluate_options(parser)


def add_evaluate_options(parser: Parser) -> None:
    """Adds the options of measuring policies that have no report."""
    parser.add_argument("--evaluate", action="store_true", help="measure policies that have no report first")
    add_learner_option(parser)
    add_threads_option(parser)


def _run(asked: argparse.Namespace) -> None:
    write_page(asked, asked.paths)


def write_page(asked: argparse.Namespace, paths: list[str]) -> None:
    """Compares policies and runs, prints the table, and writes the page."""
    out = asked.out or Path(asked.page)
    require_page(out)
    matching(paths)
    from robometa.reports import html
    from robometa.reports.comparison_table import print_comparison

    compared = comparison_of(asked, paths)
    html.save(compared, out)
    print_comparison(compared)
    say(f"written: {printable(out)}")


def comparison_of(asked: argparse.Namespace, paths: list[str]) -> Comparison:
    """Compares policies and runs; measures those without a report if asked, else names them."""
    from robometa.reports.compare import compare

    compared = compare(*paths)
    policies = [entry.policy for entry in compared.unmeasured if entry.policy is not None]
    if policies and asked.evaluate:
        for policy in policies:
            say(f"measuring {printable(policy)}", error=True)
            _measure(policy, asked)
        return compare(*paths)
    if policies:
        names = ", ".join(map(printable, policies))
        say(f"without a report, so without returns on held-out tasks: {names}; --evaluate measures them", error=True)
    return compared


def _measure(policy: Path, asked: argparse.Namespace) -> None:
    """Measures a policy as `robometa evaluate` does by default."""
    from robometa import registry
    from robometa.compute.hardware import Hardware
    from robometa.evaluation.evaluate import chosen_protocol, measure, save_with_card
    from robometa.policies.policy_folder import load_policy

    learner, suite, manifest = load_policy(policy, learner=asked.learner)
    report = measure(
        learner,
        suite,
        name=registry.label(manifest.learner),
        policy=str(policy),
        protocol=chosen_protocol(suite, None, None, None),
        hardware=Hardware(threads=asked.threads),
    )
    save_with_card(policy, learner, suite, manifest, report)
