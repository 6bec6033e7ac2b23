"""Controls of published policies: `python -m study.controls SUITE` measures what each gains by adapting.

The control is the same policy with its adaptation forgotten before every rollout, in the same resets
(`robometa evaluate --control`). A policy that has been measured is not measured again.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from robometa import evaluate, registry, suites
from robometa.errors import UserError
from robometa.reports.gap import REFERENCES
from robometa.storage.sealed_folder import TENSORS, read_manifest
from study import cell, plan

POLICIES = Path("policies")
SHOTS = 1
WORLDS = 5
"""Episodes of each held-out task, where an adaptation does not pool them."""


def record(suite: str) -> Path:
    """File with the controls of a suite's policies."""
    return plan.RESULTS / "controls" / f"{suite}.json"


def read(suite: str) -> dict[str, dict[str, Any]]:
    """Controls of the policies that are published now, by learner; none of a policy that was replaced since."""
    path = record(suite)
    known = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    if not known or known["suite_hash"] != suites.load(suite).content_hash:
        return {}
    return {
        learner: one
        for learner, one in known["policies"].items()
        if (folder := POLICIES / f"{suite}-{learner}").is_dir() and one["tensors"] == _tensors(folder)
    }


def measure(suite: str, learners: Sequence[str]) -> None:
    """Measures the policies of learners that have no control yet, and writes the record after each."""
    known = read(suite)
    for learner in learners:
        folder = POLICIES / f"{suite}-{learner}"
        if learner in known or not folder.is_dir():
            continue
        pooled = registry.find(learner).load().pools_worlds
        report = evaluate(folder, shots=SHOTS, worlds=None if pooled else WORLDS, control=True)
        assert report.control is not None  # it was asked for
        known[learner] = {
            "tensors": _tensors(folder),
            "worlds": report.control.returns.shape[2],
            "tasks": len(report.tasks),
            "after": round(float(report.mean_action.returns[-1].mean()), 2),
            "control": round(float(report.control.returns[-1].mean()), 2),
            "after_minus_control": report.gain(SHOTS),
            "revision": cell.revision(),
        }
        whole = {
            "suite": suite,
            "suite_hash": report.suite_hash,
            "shots": SHOTS,
            "policies": dict(sorted(known.items())),
        }
        record(suite).parent.mkdir(parents=True, exist_ok=True)
        record(suite).write_text(json.dumps(whole, indent=1) + "\n", encoding="utf-8")
        print(learner, known[learner]["after_minus_control"], flush=True)


def _tensors(folder: Path) -> str:
    """Hash of a policy's tensors."""
    return str(read_manifest(folder)["files"][TENSORS])


def main(arguments: Sequence[str]) -> int:
    """Measures the policies of the plan's learners on a suite, but for the references and those without training."""
    if len(arguments) != 1:
        print(__doc__, file=sys.stderr)
        return 2
    try:
        cells = plan.read().of(arguments[0], None)
    except UserError as error:
        print(error, file=sys.stderr)
        return 2
    left_out = (*REFERENCES, *plan.UNTRAINED)
    measure(arguments[0], list(dict.fromkeys(one.learner for one in cells if one.learner not in left_out)))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
