"""Gradient samples of the table's trainings: `python -m study.samples` measures those that no record has.

A training counts them since November 2026. For an earlier one, updates of the same learner with the same options are
repeated on two tasks and on three: what an update uses grows by as much with every further task. Every update of such a
training used as many, because no episode of these suites ends early.
"""

from __future__ import annotations

import json
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from robometa import train
from robometa.registry.options import SCHEDULES
from robometa.training.records import gradient_samples
from robometa.training.run_folder import METRICS, RunFolder
from study import cell, plan

FILE = "gradient-samples.json"
"""Record of gradient samples an update, by configuration."""
FEW_TASKS = 2, 3
"""Tasks of the updates that are repeated."""


def of(suite: str, records: list[dict[str, Any]]) -> float | None:
    """Gradient samples of a training, mean over its records; None if they are known of none."""
    known = _known()
    counts = [record.get("gradient_samples") or _repeated(suite, record, known) for record in records]
    return None if None in counts else float(np.mean([count for count in counts if count is not None]))


def key(suite: str, learner: str, configuration: dict[str, Any]) -> str:
    """Name of a configuration in the record: its learner and suite, and all options but the number of iterations."""
    rest = {
        name: value for name, value in configuration.items() if name not in ("iterations", "decay_begin", "decay_end")
    }
    return f"{learner} on {suite}: {json.dumps(rest, sort_keys=True)}"


def _repeated(suite: str, record: dict[str, Any], known: dict[str, int]) -> float | None:
    """Gradient samples of a record by what one update uses."""
    if not record.get("configuration"):
        return 0.0 if record["learner"] == "random" else None
    one = known.get(key(suite, record["learner"], record["configuration"]))
    return None if one is None else one * record["configuration"]["iterations"]


def _known() -> dict[str, int]:
    path = plan.RESULTS / FILE
    return json.loads(path.read_text(encoding="utf-8"))["samples"] if path.is_file() else {}


def _of_update(one: plan.Cell, tasks: int) -> int:
    """Gradient samples of an update of a cell's learner on so many tasks."""
    options = dict(one.options) | {"iterations": 1, "tasks": tasks}
    options |= {option: 1 for option in SCHEDULES if option in options}
    with tempfile.TemporaryDirectory() as place:
        run = Path(place) / "run"
        train(one.suite, one.learner, preset=one.preset, options=options, folder=run, log=("none",))
        count = gradient_samples(RunFolder(run).rows(METRICS))
    assert count is not None  # every learner of the table counts them
    return count


def main() -> None:
    """Repeats one update of every configuration without a record, and writes the record after each."""
    known = _known()
    for one in plan.read().cells:
        if one.learner in plan.UNTRAINED or not one.done() or one.result().get("gradient_samples"):
            continue
        name = key(one.suite, one.learner, one.result()["configuration"])
        if name in known:
            continue
        few, more = (_of_update(one, tasks) for tasks in FEW_TASKS)
        tasks = one.result()["configuration"]["tasks"]
        known[name] = few + (more - few) * (tasks - FEW_TASKS[0])
        text = {"revision": cell.revision(), "samples": dict(sorted(known.items()))}
        (plan.RESULTS / FILE).write_text(json.dumps(text, indent=1) + "\n", encoding="utf-8")
        print(name.partition(":")[0], known[name], flush=True)


if __name__ == "__main__":
    sys.exit(main())
