"""Fills the missing cells of the table of results, then draws it: `make results`.

Every cell trains in a separate process on one core, so that cells that run side by side share nothing,
and a budget of processor time means the same for all. Cells whose record is in `results/cells/` are not run again; one
that was stopped goes on from its last checkpoint.
"""

from __future__ import annotations

import argparse
import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import IO

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

from robometa.commands.arguments import count
from robometa.compute.parallel import processors
from robometa.errors import UserError
from robometa.training.run_folder import METRICS
from study import plan

ROOT = Path(__file__).parents[1]
"""Folder of the repository: a child finds `study` there, never in the current folder."""


class Job:
    """A cell that is being filled."""

    def __init__(self, cell: plan.Cell, core: int, log: IO[str]) -> None:
        """Starts it on a core."""
        self.cell, self.core = cell, core
        words = [sys.executable, "-P", "-m", "study.cell", cell.suite, cell.name]
        alone = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
        self.process = subprocess.Popen(words, stdout=log, stderr=subprocess.STDOUT, env=alone, start_new_session=True)
        if hasattr(os, "sched_setaffinity"):
            os.sched_setaffinity(self.process.pid, {core})

    def iterations(self) -> int:
        """Number of iterations done."""
        path = self.cell.run / METRICS
        return path.read_bytes().count(b"\n") if path.exists() else 0


def main(words: Sequence[str] | None = None) -> int:
    """Runs what is missing and writes the table."""
    from study import table

    options = arguments(words)
    try:
        chosen = plan.read()
        asked = chosen.of(options.suite, options.only)
    except UserError as error:
        print(error, file=sys.stderr)
        return 2
    missing = [
        cell
        for cell in asked
        if not cell.done() and (options.seeds is None or cell.seed in options.seeds) and (options.long or not cell.long)
    ]
    failed = 0 if options.table else run(missing, options.jobs)
    table.write(chosen)
    left = sum(not cell.done() for cell in chosen.cells)
    print(f"{plan.RESULTS}/README.md: {len(chosen.cells) - left} of {len(chosen.cells)} cells, {left} missing")
    return 1 if failed else 0


def arguments(words: Sequence[str] | None) -> argparse.Namespace:
    """Arguments of the command line."""
    parser = argparse.ArgumentParser(prog="python -m study", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--only", nargs="+", metavar="LEARNER", help="fill the cells of these learners only")
    parser.add_argument("--suite", help="fill the cells of this suite only")
    parser.add_argument("--seeds", nargs="+", type=int, metavar="SEED", help="fill the cells of these seeds only")
    parser.add_argument("--long", action="store_true", help="fill the long runs, too")
    parser.add_argument("--jobs", type=count, default=processors(), help="cells at once, each on a core (all of them)")
    parser.add_argument("--table", action="store_true", help="run nothing: write the table of what is there")
    return parser.parse_args(words)


def run(cells: list[plan.Cell], jobs: int) -> int:
    """Fills cells, so many at once, and returns how many failed. Ctrl-C stops them at a checkpoint."""
    waiting, failed = list(cells), 0
    cores = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else list(range(jobs))
    free = (cores * jobs)[:jobs]
    running: list[tuple[Job, TaskID]] = []
    with ExitStack() as stack:
        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
        bars = stack.enter_context(Progress(*columns))
        overall = bars.add_task("cells", total=len(cells))
        try:
            while waiting or running:
                while waiting and free:
                    cell = waiting.pop(0)
                    log = stack.enter_context(_log(cell).open("a", encoding="utf-8"))
                    total = dict(cell.options).get("iterations")
                    running.append(
                        (Job(cell, free.pop(0), log), bars.add_task(f"{cell.suite} {cell.name}", total=total))
                    )
                time.sleep(1)
                for job, bar in list(running):
                    bars.update(bar, completed=job.iterations())
                    if job.process.poll() is None:
                        continue
                    running.remove((job, bar))
                    free.append(job.core)
                    bars.remove_task(bar)
                    bars.advance(overall)
                    if job.process.returncode:
                        failed += 1
                        bars.print(f"{job.cell.suite} {job.cell.name} failed: see {_log(job.cell)}")
        except KeyboardInterrupt:
            for job, _ in running:
                job.process.send_signal(signal.SIGINT)
            for job, _ in running:
                job.process.wait()
            bars.print("stopped; the same command goes on from the checkpoints")
    return failed


def _log(cell: plan.Cell) -> Path:
    path = cell.run.parent / f"{cell.name}.log"
    path.parent.mkdir(parents=True, exist_ok=True)
    return path


if __name__ == "__main__":
    sys.exit(main())
