"""The parts of the measurement on a GPU: engines, trials, updates, and races to a return."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from statistics import mean, median
from typing import TYPE_CHECKING, Any, NamedTuple

import torch

from bench.size import with_horizon
from robometa import checkpoint, learners, suites
from robometa.graphs import captures
from robometa.loop import task_batch
from robometa.noise import Noise
from robometa.run_folder import METRICS, TIMINGS, RunFolder
from robometa.sim.engine import CpuEngine
from robometa.sim.protocol import Engine
from robometa.suites import Suite
from robometa.trial import run_trial

if TYPE_CHECKING:
    from bench.gpu import Bench

Row = dict[str, Any]
SUITES = {
    "half-cheetah": "half-cheetah-velocity",
    "ant": "ant-direction",
    "humanoid": "humanoid-direction-2d",
    "walker2d": "walker2d-params",
    "hopper": "hopper-params",
}
"""Whose engine is measured."""
ITERATIONS = 4
"""On a GPU, of which the last is told: the first ones compile and capture."""
POLICIES = Path(__file__).parents[1] / "policies"
NEWEST = 10
"""Iterations over which a race's return is a mean: a single one's is noisy."""
RK4 = 1
"""MuJoCo's number for the integrator that evaluates the dynamics four times a step."""


def engine_part(bench: Bench, robot: str) -> Row:
    """Steps per second of a robot at several numbers of worlds, beside the CPU engine and the floor."""
    suite = with_horizon(suites.load(SUITES[robot]), bench.scale.horizon)
    speeds: list[Row] = []
    for worlds in bench.scale.worlds:
        if speeds and bench.left() < 20:
            bench.note(left_out=f"{worlds} worlds and more: no time was left")
            break
        speeds.append(warp_speed(bench, suite, worlds))
        bench.note(warp=speeds)
    best, beside = max(entry["env_steps_per_second"] for entry in speeds), cpu_speed(bench, suite)
    return {"best": best, "cpu": beside, "times_cpu": round(best / beside["env_steps_per_second"], 1)}


def cpu_speed(bench: Bench, suite: Suite) -> Row:
    """The CPU engine's steps per second on all processors of this machine."""
    count = bench.scale.cpu_worlds
    with closing(CpuEngine(suite, 1, count)) as engine:
        return {"worlds": count, "threads": engine.threads} | timed(bench, engine)


def warp_speed(bench: Bench, suite: Suite, worlds: int) -> Row:
    """MuJoCo Warp's at a number of worlds."""
    from robometa.sim.warp_engine import WarpEngine

    started = time.perf_counter()
    engine = WarpEngine(suite, 1, worlds, device=bench.device, graphs=bench.graphs)
    engine.reset(Noise(0, ("bench",), 1, worlds))
    bench.wait()
    made = time.perf_counter() - started
    row = {"worlds": worlds, "seconds_to_make": round(made, 1)} | timed(bench, engine)
    kept = simulator_bytes(engine) / worlds
    evaluations = engine.robot.frame_skip * (4 if engine.model.opt.integrator == RK4 else 1)
    floor = bandwidth(bench) / (kept * evaluations)
    return row | {
        "bytes_per_world": round(kept),
        "floor_env_steps_per_second": round(floor),
        "of_floor": round(row["env_steps_per_second"] / floor, 4),
        "physics_steps_per_second": row["env_steps_per_second"] * engine.robot.frame_skip,
    }


def timed(bench: Bench, engine: Engine) -> Row:
    """Control steps of all worlds per second."""
    shape = (engine.tasks, engine.worlds, engine.spaces.action)
    obs = engine.reset(Noise(0, ("bench",), engine.tasks, engine.worlds))
    draws = torch.rand(16, *shape, generator=torch.Generator().manual_seed(0)).to(obs.device) * 2 - 1
    for step in range(engine.horizon):  # until episodes end here and there
        engine.step(draws[step % len(draws)])
    bench.wait()
    steps, started = 0, time.perf_counter()
    while time.perf_counter() - started < bench.scale.seconds:
        for action in draws:
            engine.step(action)
        bench.wait()  # the host is not to run so far ahead that it is waited for at the end
        steps += len(draws)
    elapsed = time.perf_counter() - started
    return {
        "env_steps_per_second": round(steps * engine.tasks * engine.worlds / elapsed),
        "ms_per_step_of_all": round(1000 * elapsed / steps, 4),
    }


def simulator_bytes(engine: Any) -> int:
    """How much the simulator keeps of all worlds."""
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


def trials_part(bench: Bench, name: str, on: str) -> Row:
    """An iteration of a learner, taken apart: sampling and adapting, and the update; the last of some."""
    tasks, worlds, horizon = bench.scale.meta_batch
    suite = with_horizon(suites.load("half-cheetah-velocity"), horizon if name == "maml-trpo" else bench.scale.horizon)
    wanted: Row = {"tasks": tasks, "worlds": worlds} if name == "maml-trpo" else {}
    options = bench.options(name, **wanted)
    device = bench.device if on == "warp" else "cpu"
    learner = checkpoint.build(name, options, suite, 0, device)
    config = learner.config
    bench.note(tasks=config.tasks, worlds=config.worlds, horizon=suite.horizon)
    with closing(engine_on(bench, learner, suite, on)) as engine:
        for number in range(ITERATIONS if on == "warp" else 2):
            row = iteration(bench, engine, learner, number)
            bench.note(**({"first_seconds": row["iteration_seconds"]} if number == 0 else row))
        if on == "warp" and bench.graphs and captures(learner.device):
            row |= with_policy_graph(bench, engine, learner, name)
    return row


def with_policy_graph(bench: Bench, engine: Engine, learner: Any, name: str) -> Row:
    """How much faster iterations are where the policy acts by a graph, in turns with those without: medians.

    Where they are, the learner's race has it so. An update counts too: capturing gives back the memory it had.
    """
    took: dict[bool, list[float]] = {False: [], True: []}
    try:
        for number in range(2 * ITERATIONS):
            by_graph = number % 2 == 1
            row = iteration(bench, engine, learner, ITERATIONS + number, policy_graph=by_graph)
            took[by_graph].append(row["iteration_seconds"])
    except RuntimeError:
        bench.uncaptured("without_policy_graph")
        return {}
    plain, captured = (median(took[by_graph]) for by_graph in (False, True))
    if captured < plain:
        bench.policy_graphs.add(name)
    return {"policy_graph_iteration_seconds": captured, "policy_graph_times": round(plain / captured, 2)}


def engine_on(bench: Bench, learner: Any, suite: Suite, on: str) -> Engine:
    """An engine for a learner's batches, its steps captured in graphs unless the part is to do without."""
    tasks, worlds = learner.config.tasks, learner.config.worlds
    engine = checkpoint.engine_for(learner, suite, tasks, worlds, engine=on)
    if on == "warp" and not bench.graphs:
        engine._graphs = False  # type: ignore[attr-defined]
    return engine


def iteration(bench: Bench, engine: Engine, learner: Any, number: int, policy_graph: bool = False) -> Row:
    """One iteration as training runs it, or with the policy in a graph."""
    suite, started = engine.suite, time.perf_counter()
    noise = Noise(0, ("bench", number), engine.tasks, engine.worlds)
    indices = task_batch(len(suite.train), engine.tasks, 0, number)
    trial = run_trial(engine, learner, suite.train, indices, learner.config.shots, noise, policy_graph=policy_graph)
    bench.wait()
    sampled = time.perf_counter()
    learner.update(trial)
    bench.wait()
    ended = time.perf_counter()
    return {
        "steps": trial.steps(),
        "sampling_seconds": round(sampled - started, 4),
        "update_seconds": round(ended - sampled, 4),
        "iteration_seconds": round(ended - started, 4),
        "steps_per_second": round(trial.steps() / (ended - started)),
        "return_last": float(trial.rollouts[-1].episode_return().mean()),
    }


def pearl_part(bench: Bench, on: str) -> Row:
    """Milliseconds of a gradient step at the paper's sizes, on a replay that holds one trial."""
    suite = with_horizon(suites.load("half-cheetah-velocity"), bench.scale.horizon)
    paper = learners.find("pearl").presets()["paper"]
    steps = bench.scale.gradient_steps if on == "warp" else max(1, bench.scale.gradient_steps // 10)
    config = vars(paper) | bench.options("pearl", gradient_steps=steps)
    learner = checkpoint.build("pearl", config, suite, 0, bench.device if on == "warp" else "cpu")
    tasks, worlds = learner.config.tasks, learner.config.worlds
    with closing(engine_on(bench, learner, suite, on)) as engine:
        indices = task_batch(len(suite.train), tasks, 0, 0)
        noise = Noise(0, ("bench",), tasks, worlds)
        trial = run_trial(engine, learner, suite.train, indices, learner.config.shots, noise)
    if not bench.graphs:
        learner._captured = None
    learner.update(trial)
    bench.wait()
    started = time.perf_counter()
    learner.update(trial)
    bench.wait()
    return {"gradient_steps": steps, "ms_per_step": round(1000 * (time.perf_counter() - started) / steps, 3)}


def race_part(bench: Bench, suite_name: str, name: str, on: str) -> Row:
    """Seconds of training from scratch until it returns what the published policy's training did, and the curve.

    Returns are means over the newest iterations, after adaptation, exploring; options are that training's. As other
    noise may make it slower, it has twice as many iterations for it.
    """
    before = published(suite_name, name)
    suite = suites.load(suite_name)
    suite = with_horizon(suite, bench.scale.horizon) if bench.scale.options else suite
    options = bench.options(name, **before.options)
    learner = checkpoint.build(name, options, suite, 0, bench.device if on == "warp" else "cpu")
    returns: list[float] = []
    curve: list[tuple[float, float]] = []
    end = min(bench.scale.race_seconds, bench.left() - 10)
    by_graph, reached = bench.graphs and name in bench.policy_graphs, False
    most = 2 * learner.config.iterations
    bench.note(**before.told, of_iterations=most, policy_graph=by_graph)
    with closing(engine_on(bench, learner, suite, on)) as engine:
        started = told = time.perf_counter()
        for number in range(most):
            returns.append(iteration(bench, engine, learner, number, by_graph)["return_last"])
            now, newest = time.perf_counter(), mean(returns[-NEWEST:])
            curve.append((round(now - started, 2), round(newest, 2)))
            reached = len(returns) >= NEWEST and newest >= before.told["target"]
            if reached or now - started > end:
                break
            if now - told > 5:
                told = now
                bench.note(**so_far(curve))
    seconds = curve[-1][0] if reached else None
    times = round(before.told["cpu_seconds"] / seconds, 1) if seconds else None
    return {"seconds_to_target": seconds, "times_cpu": times, **so_far(curve)}


class Published(NamedTuple):
    """A training whose log stands beside its policy."""

    options: Row
    told: Row
    """The return that it ended with, and the seconds and the threads that it took to get there."""


def published(suite: str, learner: str) -> Published:
    """What a published policy's training on the CPU reached, from its log.

    Seconds are its processor's where it had one and the log tells them: the machine did other work too.
    """
    run = RunFolder(POLICIES / f"{suite}-{learner}" / "training")
    asked, rows, timings = run.configuration(), run.rows(METRICS), run.rows(TIMINGS)
    last = max(int(name.removeprefix("return_")) for name in rows[0] if name.startswith("return_"))
    returns = [row[f"return_{last}"] for row in rows]
    newest = [mean(returns[end - NEWEST : end]) for end in range(NEWEST, len(returns) + 1)]
    first = next(place for place, value in enumerate(newest) if value >= newest[-1]) + NEWEST
    alone = asked["threads"] == 1 and "processor" in timings[0]
    seconds = sum(row["processor"] if alone else row["sampling"] + row["update"] for row in timings[:first])
    told = {"target": round(newest[-1], 2), "cpu_seconds": round(seconds), "cpu_threads": asked["threads"]}
    return Published(asked["config"], told)


def so_far(curve: list[tuple[float, float]]) -> Row:
    """How many iterations there were, and some fifty points of the curve of seconds and returns."""
    return {"iterations": len(curve), "curve": curve[:: max(1, len(curve) // 50)] + curve[-1:]}
