"""Writes the cards of published policies anew, from their own reports and logs: `python -m study.cards`.

Nothing is measured. A report of an earlier form gets today's entries as far as its numbers have them: what it called
`success` was that at any step, and `success_at_end` is `success` now.
"""

from __future__ import annotations

import csv
import io
import json
import sys
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from robometa import registry
from robometa.errors import UserError
from robometa.policies import card
from robometa.policies.policy_folder import load_policy
from robometa.reports import reference_returns
from robometa.reports.gap import KEYS, Sample, obstacle_for
from robometa.storage import sealed_folder
from robometa.storage.table import Table
from robometa.training.run_folder import CONFIGURATION
from study import plan

POLICIES = Path("policies")
TABLES = ("tasks.csv", "goals.csv", "names.csv")
"""Tables of a report that have columns of success."""


def main(words: Sequence[str] | None = None) -> None:
    """Rewrites the cards of the policies that are named, or of all."""
    names = (sys.argv[1:] if words is None else words) or sorted(path.name for path in POLICIES.iterdir())
    chosen = plan.read()
    for name in names:
        alike = [cell for cell in chosen.cells if cell.learner not in plan.UNTRAINED and policy_name(cell) == name]
        seeds = len(alike) if any(of_table(cell, POLICIES / name) for cell in alike) else 0
        try:
            rewrite(POLICIES / name, seeds)
        except UserError as error:  # a robot of a package that is not installed
            print(f"{name}: left as it is: {error}")
        else:
            print(name)


def policy_name(cell: plan.Cell) -> str:
    """The name under which the policy of a cell is published."""
    return f"{cell.suite}-{cell.learner}{'-long' if cell.long else ''}"


def of_table(cell: plan.Cell, policy: Path) -> bool:
    """True if a published policy is the one that was trained for this cell."""
    path = policy / "training" / CONFIGURATION
    run = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {"seed": None, "config": {}}
    same = run["seed"] == cell.seed
    return same and all(run["config"].get(name) == value for name, value in cell.plain_options().items())


def rewrite(folder: Path, seeds: int) -> None:
    """Writes a policy's report in today's form, its manifest's training, and its card.

    Args:
        folder: Folder of the policy.
        seeds: Seeds that it was chosen from; 0 if none were compared.
    """
    learner, suite, manifest = load_policy(folder)
    training = replace(manifest.training, chosen_from=seeds if seeds > 1 else 0)
    log = folder / "training" / CONFIGURATION
    if training.torch_threads is None and log.is_file():
        run = Table(json.loads(log.read_text(encoding="utf-8")), str(log))
        training = replace(training, torch_threads=run.optional("torch_threads", run.whole))
    described = sealed_folder.read_manifest(folder)
    sealed_folder.write_manifest(folder, described | {"training": training.to_json()})
    texts = {name: renamed(folder / name) for name in TABLES if (folder / name).is_file()}
    report = None
    if (folder / "report.json").is_file():
        report = upgraded(json.loads((folder / "report.json").read_text(encoding="utf-8")), manifest.learner)
        report["has_success"] = suite.has_success
        compare(report, manifest.learner, folder / "tasks.csv")
        texts["report.json"] = json.dumps(report, indent=2) + "\n"
    texts["README.md"] = card.text(manifest.learner, learner, suite, training, report)
    sealed_folder.put(folder, texts)


def upgraded(report: dict[str, Any], learner: str) -> dict[str, Any]:
    """A report in today's form; what an earlier one did not measure is None or left out."""
    if "adapts_within_episode" in report:
        return report
    within = registry.find(learner).load().adapts_within_episode
    rows = [row[kind] for row in report["shots"] for kind in ("mean_action", "exploring")]
    rows += [shot[kind] for row in report.get("by_name", []) for shot in row["shots"] for kind in shot]
    for row in (*rows, report["random"]):
        any_step = {f"success_any_step{end}": row.pop(f"success{end}", None) for end in ("", "_low", "_high")}
        row |= {"success": row.pop("success_at_end", None), **any_step}
    for row in report["shots"]:
        row["label"] = str(row["shot"] or ("first episode" if within else "before"))
        row.pop("gap_closed", None)  # it had no interval
    defaults = {"protocol": None, "warnings": [], "references": None}
    return defaults | report | {"adapts_within_episode": within}


def compare(report: dict[str, Any], learner: str, table: Path) -> None:
    """Adds the gap closed and the references to a report of earlier times, from the episodes in its table."""
    known = reference_returns.find(report["suite_hash"]) if report["split"] == "test" else None
    if report["references"] is not None or known is None or known.tasks != report["tasks"]:
        return
    obstacle = obstacle_for(learner, known, known.random)
    report["references"] = known.described(obstacle)
    episodes: dict[tuple[int, int], list[float]] = defaultdict(list)
    for row in csv.DictReader(io.StringIO(table.read_text(encoding="utf-8"))):
        if row["acting"] == "mean action":
            episodes[int(row["shot"]), int(row["task"])].append(float(row["return"]))
    for row in report["shots"]:
        strata = [np.array(episodes[row["shot"], task]) for task in range(report["tasks"])]
        row.update(dict.fromkeys(KEYS) if obstacle else known.gap_closed(Sample(strata)))
    if obstacle:
        report["warnings"] = [*report["warnings"], f"No gap is reported: {obstacle}."]


def renamed(table: Path) -> str:
    """A table with today's columns of success."""
    rows = list(csv.reader(io.StringIO(table.read_text(encoding="utf-8"))))
    if "success_any_step" not in rows[0] and "success" in rows[0]:
        new = {"success": "success_any_step", "success_at_end": "success"}
        rows[0] = [new.get(column, column) for column in rows[0]]
    text = io.StringIO(newline="")
    csv.writer(text).writerows(rows)
    return text.getvalue()


if __name__ == "__main__":
    main()
