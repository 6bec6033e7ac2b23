"""Measures published policies on a suite whose tasks change: `python -m study.changes`, about four minutes.

It evaluates each as `robometa evaluate` does, with the references of the suite that stays, and writes what
`docs/changing-tasks.md` has a table of to `results/changes.json`. `--table` prints that table from the record.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from robometa.commands.main import main as robometa
from robometa.policies.card_tables import table as markdown_table
from robometa.reports import since_change as since
from robometa.storage.versions import versions

SUITE, OUT = "half-cheetah-velocity-switch", Path("results/changes.json")
REFERENCES = ("policies/half-cheetah-velocity-oracle", "policies/half-cheetah-velocity-no-adaptation")
ADAPTS_TO = {"maml-trpo": ("--worlds", "20"), "grbal": ("--worlds", "1", "--tasks", "10", "--shots", "1")}
"""Options of an evaluation by learner: MAML adapts to 20 episodes; GrBAL, which plans every step, is measured less."""
USUAL = ("--worlds", "5")
LEARNERS = ("oracle", "rl2", "varibad", "pearl", "maml-trpo", "grbal", "no-adaptation")
POLICIES = (*(f"half-cheetah-velocity-{one}" for one in LEARNERS), f"{SUITE}-rl2")


def main(words: Sequence[str] | None = None) -> None:
    """Measures the policies, or prints the table."""
    parser = argparse.ArgumentParser(prog="python -m study.changes", description=__doc__)
    parser.add_argument("--table", action="store_true", help="print the table of the record")
    if parser.parse_args(words).table:
        print(table(json.loads(OUT.read_text(encoding="utf-8"))), end="")
        return
    measured = [_measured(policy) for policy in POLICIES]
    record = {"command": "python -m study.changes", "suite": SUITE, "versions": versions(), "rows": measured}
    OUT.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")


def table(record: dict[str, Any]) -> str:
    """The page's table."""
    columns = [name for name in since.columns([row["since_change"] for row in record["rows"]]) if name != "episodes"]
    lines = [["policy", "return 0, 1, 2", *columns]]
    for row in record["rows"]:
        returns = ", ".join(f"{value:.0f}" for value in row["returns"])
        name = f"[{row['policy']}](../policies/{row['policy']}/README.md)"
        lines.append([name, returns, *since.row(row["since_change"], columns)])
    return markdown_table(lines)


def _measured(policy: str) -> dict[str, Any]:
    """The part of a policy's report that the table is made from."""
    learner = next((name for name in ADAPTS_TO if policy.endswith(name)), "")
    options = ADAPTS_TO.get(learner, USUAL)
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "evaluation"
        words = ["evaluate", f"policies/{policy}", "--suite", SUITE, *options, "--seed", "0", "--out", str(out)]
        if code := robometa([*words, "--reference", *REFERENCES]):
            raise SystemExit(code)
        report = json.loads((out / "report.json").read_text(encoding="utf-8"))
    return {
        "policy": policy,
        "options": " ".join(options),
        "suite_hash": report["suite_hash"],
        "tasks": report["tasks"],
        "episodes": report["worlds"],
        "returns": [shot["mean_action"]["interquartile_mean"] for shot in report["shots"]],
        "since_change": report["since_change"],
    }


if __name__ == "__main__":
    main()
