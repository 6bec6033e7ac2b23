"""Processors: how engines and iterations gain from more of them, on the machine that has the GPU."""

from __future__ import annotations

from contextlib import closing

import torch

from bench.collecting import compared, job_of
from bench.gpu_bench import Bench, Row
from bench.gpu_parts import SUITES, cpu_speed, engine_on, iteration, learner_of
from bench.gpu_races import published
from bench.size import with_horizon
from robometa import registry, suites
from robometa.compute.parallel import processors
from robometa.registry.options import read_config
from robometa.trials import make
from robometa.trials.trial import torch_on

COLLECTED = (("half-cheetah-velocity", "rl2"), ("half-cheetah-direction", "maml-trpo"), ("ant-direction", "rl2"))
"""Suites and learners whose batches are collected, with the learner's first preset."""


def scaling_part(bench: Bench, threads: int) -> Row:
    """The CPU engine's steps per second, and seconds of iterations, on as many processors as this process has."""
    if processors() < threads:
        return {"left_out": f"this machine has {processors()} processors"}
    torch.set_num_threads(threads)
    bench.note(threads=threads)
    engines: Row = {}
    for robot in ("half-cheetah", "ant"):
        suite = with_horizon(suites.load(SUITES[robot]), bench.scale.horizon)
        engines[robot] = cpu_speed(bench, suite)
        bench.note(engines=engines)
    took: Row = {}
    for name in ("rl2", "maml-trpo as published", "maml-trpo"):
        took[name] = _iteration(bench, name, threads)
        bench.note(iterations=took)
    return {}


def collectors_part(bench: Bench, threads: int) -> Row:
    """Seconds of a batch's trials in one process and by as many as there are processors, in turns."""
    if processors() < threads:
        return {"left_out": f"this machine has {processors()} processors"}
    torch.set_num_threads(threads)
    for suite_name, name in COLLECTED:
        suite = with_horizon(suites.load(suite_name), bench.scale.horizon)
        preset = next(iter(registry.find(name).presets().values()))
        job = job_of(name, suite, vars(preset) | bench.options(name))
        bench.note(**{f"{name} on {suite_name}": compared(job, bench.scale.rounds)})
    return {}


def _iteration(bench: Bench, name: str, threads: int) -> Row:
    """The second of two iterations where they are short, else the first: nothing is compiled for it."""
    if name.endswith("as published"):
        learner, suite_name = "maml-trpo", "half-cheetah-direction"
        suite = suites.load(suite_name)
        suite = with_horizon(suite, bench.scale.horizon) if bench.scale.options else suite
        config = read_config(learner, bench.options(learner, **published(suite_name, learner).options))
        trained = make.build(learner, config, suite, 0)
    else:
        trained, suite = learner_of(bench, name, "cpu")
    with torch_on(threads), closing(engine_on(bench, trained, suite, "cpu")) as engine:
        row = iteration(bench, engine, trained, 0)
        if 2 * row["iteration_seconds"] < bench.left() - 2 and row["iteration_seconds"] < 2:
            row = iteration(bench, engine, trained, 1)
    return {"tasks": trained.config.tasks, "worlds": trained.config.worlds, "horizon": suite.horizon} | row
