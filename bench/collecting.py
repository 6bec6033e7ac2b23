"""Rollouts with a policy, on the engine's threads and by processes, beside the physics alone."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from functools import partial
from statistics import median
from time import monotonic, perf_counter, sleep
from typing import Any

from bench.measure import Comparison, Contest, Figure, ratio
from bench.physics import Replay, noise_of, sampled_replay
from bench.size import Size, with_horizon
from robometa import suites
from robometa.compute.hardware import Hardware
from robometa.compute.parallel import processors
from robometa.learners.protocol import Learner
from robometa.noise import Noise
from robometa.registry.options import read_config
from robometa.sim.locomotion.engine import CpuEngine
from robometa.suites.suite import Suite
from robometa.training.loop import task_batch
from robometa.trials import pieces
from robometa.trials.collectors.choose import collector_for
from robometa.trials.collectors.collector import Collector, Job
from robometa.trials.collectors.processes import Processes
from robometa.trials.trial import collect

RAW, ROLLOUT, HERE, PROCESSES = "raw C limit", "rollout", "trial here", "trial by processes"
SUITES = {"maml-trpo": "half-cheetah-direction", "rl2": "half-cheetah-velocity"}
TARGETS = {"maml-trpo": 0.90, "rl2": 0.80}
"""Part of the raw limit that a rollout should reach."""
START_SECONDS = 60.0
"""After which processes that are not ready are given up."""


def job_of(name: str, suite: Suite, options: dict[str, Any]) -> Job:
    """A training of a shipped learner on all processors."""
    config = read_config(name, options)
    piece = pieces.default_size(config.tasks, config.worlds)
    return Job(suite, name, None, config, 0, Hardware(), suite.train, piece)


def batch_of(job: Job) -> pieces.Batch:
    """The trials of an iteration: the same again and again."""
    config = job.config
    indices = task_batch(len(job.suite.train), config.tasks, 0, 0)
    noise = Noise(0, ("bench",), config.tasks, config.worlds)
    return pieces.Batch(tuple(indices), config.shots, noise)


@contextmanager
def contest(name: str, size: Size) -> Iterator[Contest]:
    """Rollouts of an untrained policy, and whole trials by each collector of this machine."""
    tasks, worlds, horizon = size.meta_batch if name == "maml-trpo" else (*size.rl2_rollout, size.horizon)
    suite = with_horizon(suites.load(SUITES[name]), horizon)
    job = job_of(name, suite, {"tasks": tasks, "worlds": worlds})
    with ExitStack() as stack:
        engine = stack.enter_context(closing(CpuEngine(suite, tasks, worlds)))
        learner = job.built()
        adaptation = learner.begin(tasks, worlds, noise_of(engine))
        raw = stack.enter_context(closing(replayed(engine, learner, adaptation)))
        here = stack.enter_context(closing(collector_for(job, learner, "here")))
        count = min(processors(), len(job.pieces()))
        others = stack.enter_context(closing(collector_for(job, learner, f"processes:{count}")))
        for collector in (here, others):
            speed(collector, job)  # compares the bytes of pieces; starts processes
        entries: tuple[Callable[[], dict[str, float]], ...] = (
            lambda: {RAW: raw.speed()},
            lambda: {ROLLOUT: rollout_speed(engine, learner, adaptation)},
            lambda: {HERE: speed(here, job)},
            lambda: {PROCESSES: speed(others, job)},
        )
        comparisons: tuple[Comparison, ...] = (
            ratio(ROLLOUT, RAW, TARGETS[name]),
            ratio(HERE, RAW),
            ratio(PROCESSES, RAW, TARGETS[name]),
        )
        yield Contest(tuple(map(Figure, (RAW, ROLLOUT, HERE, PROCESSES))), entries, comparisons)


maml_trpo = partial(contest, "maml-trpo")
rl2 = partial(contest, "rl2")


def replayed(engine: CpuEngine, learner: Learner, adaptation: Any) -> Replay:
    """The motion of the policy's first rollout, to be stepped by MuJoCo alone."""
    return sampled_replay(engine, learner, adaptation, noise_of(engine))


def rollout_speed(engine: CpuEngine, learner: Learner, adaptation: Any) -> float:
    """Control steps per second of a rollout, from the reset to the finished batch."""
    started = perf_counter()
    sampled, _ = collect(engine, learner, adaptation, noise_of(engine))
    return sampled.steps() / (perf_counter() - started)


def speed(collector: Collector, job: Job) -> float:
    """Control steps per second of an iteration's trials, their adaptation included."""
    batch, started = batch_of(job), perf_counter()
    return collector.collect(batch).steps() / (perf_counter() - started)


def compared(job: Job, rounds: int) -> dict[str, Any]:
    """Measures this process and a process for each processor in turns.

    Args:
        job: The training whose batches are collected.
        rounds: Batches of each collector that count; one before them warms up.

    Returns:
        Seconds of a batch by each collector as a median, environment steps a second, and how much faster the
        processes are.
    """
    learner, count, config = job.built(), min(processors(), len(job.pieces())), job.config
    steps = (config.shots + 1) * config.tasks * config.worlds * job.suite.horizon
    took: dict[str, list[float]] = {"here": [], "processes": []}
    with closing(collector_for(job, learner, "here")) as here, closing(Processes(job, learner, count)) as others:
        until = monotonic() + START_SECONDS
        while not others.ready():
            if monotonic() > until:
                raise TimeoutError(f"{count} processes were not ready after {START_SECONDS:.0f} s")
            sleep(0.05)
        for _ in range(rounds + 1):
            for who, collector in (("here", here), ("processes", others)):
                took[who].append(steps / speed(collector, job))
    seconds = {who: median(times[1:]) for who, times in took.items()}
    return {
        "tasks": config.tasks,
        "worlds": config.worlds,
        "steps": steps,
        "pieces": len(job.pieces()),
        "processors": processors(),
        "processes": count,
        "seconds": {who: round(value, 4) for who, value in seconds.items()},
        "steps_per_second": {who: round(steps / value) for who, value in seconds.items()},
        "times_here": round(seconds["here"] / seconds["processes"], 2),
    }
