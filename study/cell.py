"""Trains and evaluates one cell of the plan, and writes what came out: `python -m study.cell SUITE NAME`."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np

from robometa import evaluate, registry, resume, suites, train
from robometa.errors import UserError
from robometa.evaluation.evaluate import measure, save_with_card
from robometa.evaluation.stable_baselines3 import ALGORITHMS, evaluate_from_scratch
from robometa.policies.policy_folder import load_policy
from robometa.registry.options import read_config
from robometa.reports.report import Report
from robometa.reports.scores import Scores
from robometa.storage.versions import processor, versions
from robometa.training.records import gradient_samples
from robometa.training.run_folder import METRICS, TIMINGS, RunFolder
from robometa.trials.make import build
from study import plan

CODE = (":(top)robometa", ":(top)study", ":(top)tasks", ":(top,exclude)tasks/references.json")
"""Files on which the content of a record depends; not the records themselves, nor the pages made of them."""
POINTS = 100
"""Points of a learning curve at the most."""


def fill(cell: plan.Cell, shots: int, worlds: int) -> None:
    """Trains, or goes on with, evaluates, and writes the cell's record."""
    suite = suites.load(cell.suite)
    training: dict[str, Any] = {"environment_steps": 0, "wall_seconds": 0.0, "processor_seconds": 0.0, "curve": {}}
    if cell.learner == "random":
        learner = build("random", read_config("random", {}), suite, cell.seed)
        report = measure(learner, suite, shots=shots, worlds=worlds, seed=cell.seed, name="random", control=True)
    elif cell.learner in ALGORITHMS:
        started, worked = time.perf_counter(), time.process_time()
        report = evaluate_from_scratch(cell.learner, suite, worlds=worlds, seed=cell.seed, **dict(cell.options))
        training |= {
            "environment_steps": sum(report.steps_seen) * len(report.tasks),
            "wall_seconds": round(time.perf_counter() - started, 1),
            "processor_seconds": round(time.process_time() - worked, 1),
        }
    else:
        if (cell.run / "run.json").is_file():
            config = RunFolder(cell.run).configuration().options
            if not cell.trained_as_now(config):
                raise UserError(f"{cell.run} was begun with other options than now: remove it to begin anew")
            policy = resume(cell.run)
        else:
            policy = train(
                cell.suite,
                cell.learner,
                preset=cell.preset,
                options=dict(cell.options),
                seed=cell.seed,
                folder=cell.run,
            )
        pooled = registry.find(cell.learner).load().pools_worlds
        report = evaluate(policy, shots=shots, worlds=None if pooled else worlds, seed=cell.seed, control=True)
        save_with_card(policy, *load_policy(policy), report)
        training = trained(RunFolder(cell.run))
    record = {
        "suite": cell.suite,
        "suite_hash": report.suite_hash,
        "learner": cell.learner,
        "seed": cell.seed,
        "options": dict(cell.options),
        "date": date.today().isoformat(),
        "machine": processor(),
        "versions": versions(),
        "revision": revision(),
        **training,
        **scores_of(report),
    }
    write(cell.record, record)


def trained(run: RunFolder) -> dict[str, Any]:
    """Cost of a training, and its curve: mean returns of the exploring episodes against environment steps."""
    rows, timings = run.rows(METRICS), run.rows(TIMINGS)
    every = rows[:: max(1, len(rows) // POINTS)]
    names = [name for name in rows[0] if name.startswith("return_")]
    return {
        "configuration": run.configuration().options,
        "environment_steps": rows[-1]["steps"],
        "gradient_samples": gradient_samples(rows),
        "wall_seconds": round(sum(row["sampling"] + row["update"] for row in timings), 1),
        "processor_seconds": round(sum(row["processor"] for row in timings), 1),
        "sampling_share": round(
            sum(row["sampling"] for row in timings) / sum(r["sampling"] + r["update"] for r in timings), 3
        ),
        "curve": {
            "steps": [row["steps"] for row in every],
            **{name: [round(row[name], 2) for row in every] for name in names},
        },
    }


def scores_of(report: Report) -> dict[str, Any]:
    """Returns of every shot and task, mean over the worlds of a task."""

    def by_task(scores: Scores) -> list[list[float]]:
        return np.round(scores.returns.mean(axis=2), 3).tolist()

    def successes(scores: Scores, shot: int = -1) -> list[float]:
        return [float(scores.success[shot].mean()), float(scores.success_any_step[shot].mean())]

    first = report.measures(report.mean_action, 0)
    return {
        "split": report.split,
        "worlds": report.exploring.returns.shape[2],
        "tasks": list(report.tasks),
        "episodes_seen": list(report.episodes_seen),
        "steps_seen": list(report.steps_seen),
        "diverged_share": max(report.diverged_share(shot) for shot in range(len(report.steps_seen))),
        "mean_action": by_task(report.mean_action),
        "exploring": by_task(report.exploring),
        "control": None if report.control is None else by_task(report.control),
        "random": by_task(report.random)[0],
        "success": successes(report.mean_action) if report.has_success else None,
        "success_before": successes(report.mean_action, 0) if report.has_success else None,
        "random_success": successes(report.random) if report.has_success else None,
        "first_episode_quarters": [first.get("first_quarter"), first.get("last_quarter")],
    }


def revision() -> str | None:
    """The commit that this ran from, `-dirty` if what a cell depends on differs from it; None outside of a checkout."""
    try:
        commit = git("rev-parse", "--short=12", "HEAD")
        changed = git("status", "--porcelain", "--untracked-files=no", "--", *CODE)
    except (OSError, subprocess.CalledProcessError):
        return None
    return f"{commit}-dirty" if changed else commit


def git(*words: str) -> str:
    """Output of a git command in the current folder."""
    return subprocess.run(["git", *words], capture_output=True, text=True, check=True).stdout.strip()


def write(path: Path, record: dict[str, Any]) -> None:
    """Writes a record aside, then puts it in its place in one rename."""
    path.parent.mkdir(parents=True, exist_ok=True)
    aside = path.with_name(f".{path.name}.writing")
    aside.write_text(json.dumps(record) + "\n", encoding="utf-8")
    aside.rename(path)


if __name__ == "__main__":
    chosen = plan.read()
    fill(
        next(cell for cell in chosen.cells if (cell.suite, cell.name) == tuple(sys.argv[1:])),
        chosen.shots,
        chosen.worlds,
    )
