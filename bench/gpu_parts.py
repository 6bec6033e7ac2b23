"""The parts of the measurement on a GPU that tell speeds: engines, trials, and updates."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import closing
from typing import Any

import torch

from bench.gpu_bench import Bench, Row
from bench.gpu_graphs import in_graph, update_speeds, without_graphs
from bench.size import with_horizon
from robometa import registry, suites
from robometa.compute.hardware import Hardware
from robometa.data import Trial
from robometa.noise import Noise
from robometa.registry.options import read_config
from robometa.sim.engine import Engine
from robometa.sim.locomotion.engine import CpuEngine
from robometa.suites.suite import Suite
from robometa.training.loop import task_batch
from robometa.trials import make
from robometa.trials.trial import run_trial

SUITES = {
    "half-cheetah": "half-cheetah-velocity",
    "ant": "ant-direction",
    "humanoid": "humanoid-direction-2d",
    "walker2d": "walker2d-params",
    "hopper": "hopper-params",
}
"""Suites whose engine is measured."""
WARM_SECONDS = 2.0
"""After which an engine's worlds have gone on for long enough to be measured, if episodes have not ended before."""
RK4 = 1
"""MuJoCo's number for the integrator that evaluates the dynamics four times a step."""


def engine_part(bench: Bench, robot: str) -> Row:
    """Steps per second of a robot at several numbers of worlds, beside the CPU engine and the floor.

    Numbers of worlds for which the time does not suffice, by how long the ones before took, are left out.
    """
    suite = with_horizon(suites.load(SUITES[robot]), bench.scale.horizon)
    copied = bandwidth(bench)
    bench.note(bandwidth=round(copied))
    speeds: list[Row] = []
    beside: Row = {}
    per_world = 0.0
    for worlds in bench.scale.worlds:
        if speeds and bench.left() < per_world * worlds + 1:
            bench.note(left_out=[*bench.row.get("left_out", []), worlds])
            continue
        started = time.monotonic()
        speeds.append(warp_speed(bench, suite, worlds, copied))
        per_world = (time.monotonic() - started) / worlds
        best = max(entry["env_steps_per_second"] for entry in speeds)
        bench.note(warp=speeds, best=best)
        if not beside:
            beside = cpu_speed(bench, suite)
        bench.note(cpu=beside, times_cpu=round(best / beside["env_steps_per_second"], 1))
    return {}


def cpu_speed(bench: Bench, suite: Suite) -> Row:
    """The CPU engine's steps per second on all processors that this process may use."""
    count = bench.scale.cpu_worlds
    with closing(CpuEngine(suite, 1, count)) as engine:
        return {"worlds": count, "threads": engine.threads} | timed(bench, engine, chunk=2)


def warp_speed(bench: Bench, suite: Suite, worlds: int, copied: float) -> Row:
    """MuJoCo Warp's at a number of worlds, on a device that copies so many bytes a second."""
    from robometa.sim.warp.engine import WarpEngine

    started = time.perf_counter()
    engine = bench.tuned(WarpEngine(suite, 1, worlds, device=bench.device))
    engine.reset(Noise(0, ("bench",), 1, worlds))
    bench.wait()
    made = time.perf_counter() - started
    row = {"worlds": worlds, "seconds_to_make": round(made, 1)} | timed(bench, engine, bench.scale.chunk)
    kept = simulator_bytes(engine) / worlds
    evaluations = engine.robot.frame_skip * (4 if engine.model.opt.integrator == RK4 else 1)
    floor = copied / (kept * evaluations)
    return row | {
        "bytes_per_world": round(kept),
        "floor_env_steps_per_second": round(floor),
        "of_floor": round(row["env_steps_per_second"] / floor, 4),
        "physics_steps_per_second": row["env_steps_per_second"] * engine.robot.frame_skip,
    }


def timed(bench: Bench, engine: Engine, chunk: int) -> Row:
    """Control steps of all worlds per second, with a wait for the device after each chunk of them."""
    shape = (engine.tasks, engine.worlds, engine.spaces.action)
    obs = engine.reset(Noise(0, ("bench",), engine.tasks, engine.worlds))
    draws = torch.rand(16, *shape, generator=torch.Generator().manual_seed(0)).to(obs.device) * 2 - 1
    steps, started = 0, time.perf_counter()
    while steps < engine.horizon and time.perf_counter() - started < WARM_SECONDS:  # until episodes end here and there
        for action in draws[:chunk]:
            engine.step(action)
        bench.wait()
        steps += chunk
    warm, steps, started = steps, 0, time.perf_counter()
    while time.perf_counter() - started < bench.scale.seconds:
        for number in range(chunk):
            engine.step(draws[(steps + number) % len(draws)])
        bench.wait()  # the host is not to run so far ahead that it is waited for at the end
        steps += chunk
    elapsed = time.perf_counter() - started
    return {
        "env_steps_per_second": round(steps * engine.tasks * engine.worlds / elapsed),
        "ms_per_step_of_all": round(1000 * elapsed / steps, 4),
        "steps_before": warm,
    }


def simulator_bytes(engine: Any) -> int:
    """Memory that the simulator keeps for all worlds."""
    import warp

    def arrays(value: Any) -> Iterator[int]:
        for part in vars(value).values():
            if isinstance(part, warp.array):
                yield part.capacity
            elif type(part).__module__.startswith("mujoco_warp"):
                yield from arrays(part)

    return sum(arrays(engine._data))


def bandwidth(bench: Bench) -> float:
    """Bytes a second that copying a large tensor reads and writes."""
    source = torch.zeros(2**28 if bench.device.startswith("cuda") else 2**22, device=bench.device)
    target = torch.empty_like(source)
    target.copy_(source)
    bench.wait()
    started = time.perf_counter()
    for _ in range(10):
        target.copy_(source)
    bench.wait()
    return 10 * 2 * source.numel() * 4 / (time.perf_counter() - started)


def learner_of(bench: Bench, name: str, on: str, **wanted: Any) -> tuple[Any, Suite]:
    """A learner as its iterations are measured, MAML-TRPO at the benchmark's sizes unless others are wanted."""
    tasks, worlds, horizon = bench.scale.meta_batch
    suite = with_horizon(suites.load("half-cheetah-velocity"), horizon if name == "maml-trpo" else bench.scale.horizon)
    sizes: Row = {"tasks": tasks, "worlds": worlds} if name == "maml-trpo" else {}
    options = bench.options(name, **sizes | wanted)
    return make.build(name, read_config(name, options), suite, 0, bench.device if on == "warp" else "cpu"), suite


def trials_part(bench: Bench, name: str, on: str) -> Row:
    """An iteration of a learner, taken apart: sampling and adapting, and the update; the last of some.

    On a GPU, the update by graphs and without them, too.
    """
    learner, suite = learner_of(bench, name, on)
    bench.note(tasks=learner.config.tasks, worlds=learner.config.worlds, horizon=suite.horizon)
    with closing(engine_on(bench, learner, suite, on)) as engine:
        for number in range(bench.scale.rounds if on == "warp" else 2):
            row = iteration(bench, engine, learner, number)
            bench.note(**({"first_seconds": row["iteration_seconds"]} if number == 0 else row))
        bench.note(in_graph=in_graph(learner))
        if on != "warp" or not bench.graphs:
            return row
        trial = sampled(engine, learner, bench.scale.rounds)
    return row | update_speeds(bench, learner, without_graphs(lambda: learner_of(bench, name, on)[0]), trial)


def engine_on(bench: Bench, learner: Any, suite: Suite, on: str) -> Engine:
    """An engine for a learner's batches, its steps captured in graphs unless the part is to do without."""
    engine = make.engine_for(
        learner, suite, learner.config.tasks, learner.config.worlds, Hardware(engine=on), training=True
    )
    return bench.tuned(engine) if on == "warp" else engine


def iteration(bench: Bench, engine: Engine, learner: Any, number: int) -> Row:
    """One iteration as training runs it."""
    started = time.perf_counter()
    trial = sampled(engine, learner, number)
    bench.wait()
    half = time.perf_counter()
    learner.update(trial)
    bench.wait()
    ended = time.perf_counter()
    return {
        "steps": trial.steps(),
        "sampling_seconds": round(half - started, 4),
        "update_seconds": round(ended - half, 4),
        "iteration_seconds": round(ended - started, 4),
        "steps_per_second": round(trial.steps() / (ended - started)),
        "return_last": float(trial.rollouts[-1].episode_return().mean()),
    }


def sampled(engine: Any, learner: Any, number: int) -> Trial:
    """The trial of an iteration."""
    suite = engine.suite
    noise = Noise(0, ("bench", number), engine.tasks, engine.worlds)
    indices = task_batch(len(suite.train), engine.tasks, 0, number)
    return run_trial(engine, learner, suite.train, indices, learner.config.shots, noise)


def pearl_part(bench: Bench, on: str) -> Row:
    """Milliseconds of a gradient step at the paper's sizes, on a replay that holds one trial."""
    suite = with_horizon(suites.load("half-cheetah-velocity"), bench.scale.horizon)
    paper = registry.find("pearl").presets()["paper"]
    steps = bench.scale.gradient_steps if on == "warp" else max(1, bench.scale.gradient_steps // 10)
    config = vars(paper) | bench.options("pearl", gradient_steps=steps)
    learner = make.build("pearl", read_config("pearl", config), suite, 0, bench.device if on == "warp" else "cpu")
    tasks, worlds = learner.config.tasks, learner.config.worlds
    with closing(engine_on(bench, learner, suite, on)) as engine:
        indices = task_batch(len(suite.train), tasks, 0, 0)
        noise = Noise(0, ("bench",), tasks, worlds)
        trial = run_trial(engine, learner, suite.train, indices, learner.config.shots, noise)
    learner.update(trial)
    bench.wait()
    started = time.perf_counter()
    learner.update(trial)
    bench.wait()
    elapsed = time.perf_counter() - started
    return {
        "gradient_steps": steps,
        "ms_per_step": round(1000 * elapsed / steps, 3),
        "in_graph": in_graph(learner),
    }
