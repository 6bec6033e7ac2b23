"""Processors: how engines and iterations gain from more of them, on the machine that has the GPU."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import closing
from importlib.util import find_spec

import torch

from bench.collecting import compared, job_of
from bench.gpu_bench import Bench, Row
from bench.gpu_parts import SUITES, cpu_speed, engine_on, iteration, learner_of
from bench.gpu_races import published
from bench.manipulation import engine as manipulators
from bench.measure import speed
from bench.scaling_parts import Extent
from bench.scaling_parts import iteration as iteration_by_processes
from bench.size import with_horizon
from robometa import registry, suites
from robometa.compute.parallel import processors
from robometa.registry.options import read_config
from robometa.trials import make
from robometa.trials.trial import torch_on

COLLECTED = (("half-cheetah-velocity", "rl2"), ("half-cheetah-direction", "maml-trpo"), ("ant-direction", "rl2"))
"""Suites and learners whose batches are collected, with the learner's first preset."""

ITERATED = ("rl2", "maml-trpo", "varibad")
"""Learners whose iterations are measured by processes, with their first presets."""


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


def learners_part(bench: Bench, threads: int) -> Row:
    """Seconds of learners' iterations, with a process for trials on each of as many processors."""
    if processors() < threads:
        return {"left_out": f"this machine has {processors()} processors"}
    small = bool(bench.scale.options)
    extent = Extent(repeats=1, options=bench.scale.options, horizon=bench.scale.horizon if small else None)
    for name in ITERATED:
        bench.note(**{name: rounded(iteration_by_processes(extent, name, threads))})
    return {}


def ml10_part(bench: Bench, threads: int) -> Row:
    """ML10's steps per second on as many processors, and an iteration of RL2 there, with episodes of 200 steps."""
    if processors() < threads:
        return {"left_out": f"this machine has {processors()} processors"}
    if find_spec("metaworld") is None:
        return {"left_out": "Meta-World is not installed"}
    torch.set_num_threads(threads)
    tasks, worlds = (2, 2) if bench.scale.options else (10, 16)
    with manipulators("ml10", tasks, worlds) as step:
        step()
        bench.note(worlds=tasks * worlds, env_steps_per_second=round(speed(step, bench.scale.seconds)))
    extent = Extent(repeats=1, options=bench.scale.options, horizon=bench.scale.horizon)
    bench.note(**{"rl2 on ml10": rounded(iteration_by_processes(extent, "rl2 on ml10", threads))})
    return {}


def rounded(row: Mapping[str, float]) -> Row:
    """Seconds to a tenth of a millisecond."""
    return {name: round(value, 4) for name, value in row.items()}


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
