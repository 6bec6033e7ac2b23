"""Parts of the scaling measurement, each run in a process that is held to a number of cores."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing
from dataclasses import asdict, dataclass
from importlib.util import find_spec
from statistics import median, mode
from time import perf_counter
from typing import Any
from unittest.mock import patch

import torch

from bench.collecting import batch_of, job_of, replayed
from bench.manipulation import engine as manipulators
from bench.measure import speed
from bench.physics import SUITES, adjusted, engine_speed, plain, random_actions
from bench.size import with_horizon
from robometa import suites
from robometa.compute import parallel
from robometa.compute.hardware import Hardware
from robometa.sim.locomotion.engine import CpuEngine
from robometa.suites.suite import Suite
from robometa.trials.collectors.choose import collector_for
from robometa.trials.collectors.collector import Job, checked_shape, policy_state
from robometa.trials.collectors.shared_rollouts import SharedRollouts
from robometa.trials.pieces import Piece
from robometa.trials.trial import torch_on

LEARNERS = {
    "maml-trpo": "half-cheetah-direction",
    "rl2": "half-cheetah-velocity",
    "varibad": "half-cheetah-velocity",
    "pearl": "half-cheetah-velocity",
}
"""Learners whose iterations are measured, with their defaults, and their suites."""


@dataclass(frozen=True)
class Extent:
    """Extent of a measurement."""

    physics_steps: int = 500
    """Of every world on an engine's curve."""
    engine: tuple[int, int] = (32, 16)
    """Tasks and worlds on the curve over cores."""
    worlds: tuple[int, ...] = (64, 256, 1024, 4096, 16384)
    """Worlds on the curve over worlds."""
    world_steps: int = 50
    """Physics steps of every world there."""
    seconds: float = 2.0
    """Of ML10's engine."""
    repeats: int = 3
    """Measurements of an iteration, of which the median counts."""
    options: tuple[tuple[str, int], ...] = ()
    """Options of every learner."""
    horizon: int | None = None
    """Length of episodes; the suite's own if None."""
    learners: tuple[str, ...] = tuple(LEARNERS)


QUICK = Extent(20, (2, 2), (4, 8), 10, 0.02, 1, (("tasks", 4), ("worlds", 2)), 10, ("rl2",))


def engines(extent: Extent) -> dict[str, float]:
    """Control steps per second of engines of 512 worlds, and of ML10 in 40."""
    speeds = {}
    for robot in ("half-cheetah", "ant"):
        suite = plain(adjusted(suites.load(SUITES[robot]), robot, extent.physics_steps))
        speeds[robot] = _engine(suite, *extent.engine, extent.repeats)
    if find_spec("metaworld") is not None:
        with manipulators("ml10", 10, 4) as step:
            step()
            speeds["ml10"] = speed(step, extent.seconds)
    return speeds


def worlds(extent: Extent) -> dict[str, float]:
    """Control steps per second of half-cheetahs, by the number of worlds."""
    suite = plain(adjusted(suites.load(SUITES["half-cheetah"]), "half-cheetah", extent.world_steps))
    return {str(count): _engine(suite, 1, count, extent.repeats) for count in extent.worlds}


def _engine(suite: Suite, tasks: int, count: int, repeats: int) -> float:
    with closing(CpuEngine(suite, tasks, count)) as engine:
        action = random_actions(engine)
        engine_speed(engine, action)
        return median(engine_speed(engine, action) for _ in range(repeats))


def iteration(extent: Extent, name: str, cores: int) -> dict[str, float]:
    """Seconds of a learner's trials by a process on each core, and of its update on as many threads.

    Args:
        extent: How much is measured.
        name: The learner, `rl2`, or learner and suite, `rl2 on ml10`.
        cores: Processes, and threads of the update.

    Returns:
        Medians of both, and the environment steps of an iteration.
    """
    torch.set_num_threads(cores)
    job = _job(extent, name)
    learner = job.built()
    sampling, update = [], []
    with closing(collector_for(job, learner, f"processes:{cores}")) as collector:
        for number in range(extent.repeats + 1):
            started = perf_counter()
            trial = collector.collect(batch_of(job))
            sampled = perf_counter()
            learner.update(trial)
            if number:  # the first time processes start, and pieces are compared
                sampling.append(sampled - started)
                update.append(perf_counter() - sampled)
    return {"sampling": median(sampling), "update": median(update), "steps": trial.steps()}


def constants(extent: Extent, name: str) -> dict[str, Any]:
    """Inputs of the model for a learner, on one core, except for its updates."""
    torch.set_num_threads(1)
    job = _job(extent, name)
    learner = job.built()
    config, shape = job.config, checked_shape(job, learner, "processes")
    batch = batch_of(job)
    with closing(collector_for(job, learner, "here")) as collector:
        trial = collector.collect(batch)
        trial_seconds = _median(lambda: collector.collect(batch), extent.repeats)
    pieces = job.pieces()
    with closing(job.runner(learner, Hardware(threads=1))) as runner:
        runner.run(batch, pieces[:1])
        alone = _median(lambda: runner.run(batch, pieces[:1]), extent.repeats)
    with closing(CpuEngine(job.suite, config.tasks, config.worlds, threads=1)) as engine:
        start = learner.begin(config.tasks, config.worlds, batch.noise)
        with closing(replayed(engine, learner, start)) as raw:
            physics = 1 / median(raw.speed() for _ in range(extent.repeats))
    # Whole trial and piece alone on a line: what a step adds, and what a trial of no world would take.
    others = 1 - pieces[0].tasks / config.tasks
    step = (trial_seconds - alone) / (others * trial.steps()) if others else 0.0
    if step < physics:  # a single piece, or noise: all of it grows with the worlds
        step = trial_seconds / trial.steps()
    parts = _parts_of(lambda: learner.update(trial))
    with closing(SharedRollouts(shape)) as shared:
        whole = Piece(0, config.tasks)
        shared.write(whole, trial.rollouts)
        write = _median(lambda: shared.write(whole, trial.rollouts), extent.repeats)
        copy = _median(shared.copied, extent.repeats)
    return {
        "pieces": len(pieces),
        "steps": trial.steps(),
        "received": shape.bytes(),
        "state": len(policy_state(learner)),
        "parts": parts,
        "physics": physics,
        "policy": step - physics,
        "calls": max(0.0, trial_seconds - step * trial.steps()),
        "write": write / shape.bytes(),
        "copy": copy / shape.bytes(),
    }


def _job(extent: Extent, name: str) -> Job:
    learner, _, suite_name = name.partition(" on ")
    suite = suites.load(suite_name or LEARNERS[learner])
    return job_of(learner, with_horizon(suite, extent.horizon or suite.horizon), dict(extent.options))


def _parts_of(update: Callable[[], object]) -> int:
    """Number of parts that most of an update's parallel computations have; 0 if there is none."""
    counts: list[int] = []

    class Counting:
        def map(self, function: Callable[..., Any], *rows: list[Any]) -> Any:
            counts.append(len(rows[0]))
            return map(function, *rows)

    # On one thread of torch a single part goes past the pool, and would not be counted.
    with torch_on(2), patch.object(parallel, "_pool", lambda threads: Counting()):
        update()
    return mode(counts) if counts else 0


def _median(call: Callable[[], object], repeats: int) -> float:
    """Median seconds of a call."""
    took = []
    for _ in range(repeats):
        started = perf_counter()
        call()
        took.append(perf_counter() - started)
    return median(took)


def described(extent: Extent) -> dict[str, Any]:
    """Extent of the measurement, for the record."""
    return asdict(extent)
