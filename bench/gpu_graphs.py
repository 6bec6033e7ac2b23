"""Gain of CUDA graphs in an update, and a check that there are any."""

from __future__ import annotations

import time
from collections.abc import Callable
from statistics import median
from typing import Any

from bench.gpu_bench import Bench, Row
from robometa.compute import cuda_graphs
from robometa.compute.cuda_graphs import CapturedSteps
from robometa.data import Trial


def update_speeds(bench: Bench, by_graph: Any, plain: Any, trial: Trial) -> Row:
    """Speedup of a learner's update by graphs, measured in turns on one trial: medians.

    The first update of each is left out, as it captures or warms up.
    """
    took: dict[bool, list[float]] = {True: [], False: []}
    for number in range(2 * (bench.scale.rounds + 1)):
        graphs = number % 2 == 0
        bench.wait()
        started = time.perf_counter()
        if graphs:
            by_graph.update(trial)
        else:
            without_graphs(lambda: plain.update(trial))
        bench.wait()
        if number >= 2:
            took[graphs].append(round(time.perf_counter() - started, 4))
    bench.note(update_by_graph_seconds=took[True], update_plain_seconds=took[False])
    captured, alone = (median(took[graphs]) for graphs in (True, False))
    return {"update_by_graph": captured, "update_plain": alone, "update_times": round(alone / captured, 2)}


def without_graphs(work: Callable[[], Any]) -> Any:
    """Does work that captures nothing: a learner that is made so has no captured steps."""
    before, cuda_graphs.CAPTURE_GRAPHS = cuda_graphs.CAPTURE_GRAPHS, False
    try:
        return work()
    finally:
        cuda_graphs.CAPTURE_GRAPHS = before


def in_graph(learner: Any) -> Row:
    """Gradient steps of a learner, by name: true for those that are launches of graphs; false if capturing failed."""
    held = {**vars(learner), **vars(getattr(learner, "steps", object))}
    return {name: steps.in_graph for name, steps in held.items() if isinstance(steps, CapturedSteps)}
