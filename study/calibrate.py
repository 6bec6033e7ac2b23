"""Says how many iterations of each learner fill the plan's budget on this machine.

`python -m study.calibrate [SUITE] [LEARNER ...]`: of one suite, of these learners, or of all.
"""

from __future__ import annotations

import os
import sys
import tempfile
from pathlib import Path

from robometa import train
from robometa.evaluation.stable_baselines3 import ALGORITHMS
from robometa.training.run_folder import TIMINGS, RunFolder
from study import plan

ITERATIONS = 4
"""Trained to find out; the first, which warms up, is left out."""


def main() -> None:
    """Trains each learner of the plan a little, on one core as its cell is, and prints what its iterations cost."""
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    chosen = plan.read()
    suites = {cell.suite for cell in chosen.cells}
    suite = next((word for word in sys.argv[1:2] if word in suites), None)
    asked = chosen.of(suite, sys.argv[2 if suite else 1 :] or None)
    seen: set[tuple[str, str]] = set()
    for cell in asked:
        if cell.learner in (*ALGORITHMS, "random") or (cell.suite, cell.learner) in seen or cell.long:
            continue
        seen.add((cell.suite, cell.learner))
        with tempfile.TemporaryDirectory() as folder:
            run = RunFolder(Path(folder) / "run")
            options = dict(cell.options) | {"iterations": ITERATIONS}
            train(cell.suite, cell.learner, preset=cell.preset, options=options, folder=run.path)
            rows = run.rows(TIMINGS)[1:]
        seconds = sum(row["processor"] for row in rows) / len(rows)
        print(
            f"{cell.suite} {cell.learner}: {seconds:.2f} core-seconds an iteration, "
            f"{60 * chosen.budget(cell.suite) / seconds:.0f} iterations in {chosen.budget(cell.suite):g} core-minutes",
            flush=True,
        )


if __name__ == "__main__":
    main()
