"""Says how many iterations of each learner fill the plan's budget on this machine: `python -m study.calibrate`."""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from robometa import train
from robometa.errors import UserError
from robometa.evaluation.stable_baselines3 import ALGORITHMS
from robometa.training.run_folder import TIMINGS, RunFolder
from study import plan

ITERATIONS = 4
"""Trained to find out; the first, which warms up, is left out."""


def main(words: Sequence[str] | None = None) -> int:
    """Trains each learner of the plan a little, on one core as its cell is, and prints what its iterations cost.

    Returns:
        0, or 2 if the plan has no such suite or learner.
    """
    parser = argparse.ArgumentParser(prog="python -m study.calibrate", description=(__doc__ or "").partition(":")[0])
    parser.add_argument("--only", nargs="+", metavar="LEARNER", help="measure these learners only")
    parser.add_argument("--suite", help="measure this suite only")
    options, chosen = parser.parse_args(words), plan.read()
    try:
        asked = chosen.of(options.suite, options.only)
    except UserError as error:
        print(error, file=sys.stderr)
        return 2
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
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
    return 0


if __name__ == "__main__":
    sys.exit(main())
