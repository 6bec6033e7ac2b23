"""Races on a GPU: training from scratch to the return that a published policy's training on the CPU ended with."""

from __future__ import annotations

import time
from contextlib import closing
from pathlib import Path
from statistics import mean
from typing import NamedTuple

from bench.gpu_bench import Bench, Row
from bench.gpu_parts import engine_on, iteration
from bench.size import with_horizon
from robometa import suites
from robometa.registry.options import read_config
from robometa.training.run_folder import METRICS, TIMINGS, RunFolder
from robometa.trials import make

POLICIES = Path(__file__).parents[1] / "policies"
NEWEST = 10
"""Iterations over which a race's return is a mean: a single one's is noisy."""


def race_part(bench: Bench, suite_name: str, name: str, on: str) -> Row:
    """Seconds of training from scratch until it returns what the published policy's training did, and the curve.

    Returns are means over the newest iterations, after adaptation, exploring; options are that training's. As other
    noise may make it slower, it has twice as many iterations for it.
    """
    before = published(suite_name, name)
    suite = suites.load(suite_name)
    suite = with_horizon(suite, bench.scale.horizon) if bench.scale.options else suite
    options = bench.options(name, **before.options)
    learner = make.build(name, read_config(name, options), suite, 0, bench.device if on == "warp" else "cpu")
    returns: list[float] = []
    curve: list[tuple[float, float]] = []
    end, reached = min(bench.scale.race_seconds, bench.left() - 3), False
    spent = {"sampling_seconds": 0.0, "update_seconds": 0.0}
    most = 2 * learner.config.iterations
    bench.note(**before.outcome, of_iterations=most)
    with closing(engine_on(bench, learner, suite, on)) as engine:
        started = noted = time.perf_counter()
        for number in range(most):
            row = iteration(bench, engine, learner, number)
            returns.append(row["return_last"])
            spent = {name: round(seconds + row.get(name, 0.0), 3) for name, seconds in spent.items()}
            now, newest = time.perf_counter(), mean(returns[-NEWEST:])
            curve.append((round(now - started, 2), round(newest, 2)))
            reached = len(returns) >= NEWEST and newest >= before.outcome["target"]
            if reached or now - started > end:
                break
            if now - noted > 5:
                noted = now
                bench.note(**so_far(curve), **spent)
    seconds = curve[-1][0] if reached else None
    times = round(before.outcome["cpu_seconds"] / seconds, 1) if seconds else None
    return {"seconds_to_target": seconds, "times_cpu": times, **so_far(curve), **spent}


class Published(NamedTuple):
    """A training whose log stands beside its policy."""

    options: Row
    outcome: Row
    """The return that it ended with, and the seconds and the threads that it took to get there."""


def published(suite: str, learner: str) -> Published:
    """Return and time of a published policy's training on the CPU, from its log.

    Seconds are its processor's where it had one and the log tells them: the machine did other work too.
    """
    run = RunFolder(POLICIES / f"{suite}-{learner}" / "training")
    asked, rows, timings = run.configuration(), run.rows(METRICS), run.rows(TIMINGS)
    last = max(int(name.removeprefix("return_")) for name in rows[0] if name.startswith("return_"))
    returns = [row[f"return_{last}"] for row in rows]
    newest = [mean(returns[end - NEWEST : end]) for end in range(NEWEST, len(returns) + 1)]
    first = next(place for place, value in enumerate(newest) if value >= newest[-1]) + NEWEST
    alone = asked.hardware.threads == 1 and "processor" in timings[0]
    seconds = sum(row["processor"] if alone else row["sampling"] + row["update"] for row in timings[:first])
    outcome = {"target": round(newest[-1], 2), "cpu_seconds": round(seconds), "cpu_threads": asked.hardware.threads}
    return Published(asked.options, outcome)


def so_far(curve: list[tuple[float, float]]) -> Row:
    """Number of iterations, and some fifty points of the curve of seconds and returns."""
    return {"iterations": len(curve), "curve": curve[:: max(1, len(curve) // 50)] + curve[-1:]}
