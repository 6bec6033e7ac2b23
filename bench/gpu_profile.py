"""Time of an iteration and of a control step on a GPU: by kernels, and beside the host."""

from __future__ import annotations

import time
import traceback
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from typing import Any, NamedTuple

import torch
from torch.profiler import ProfilerActivity, profile, record_function

from bench.gpu_bench import Bench, Row
from bench.gpu_parts import SUITES, engine_on, iteration, learner_of
from bench.size import with_horizon
from robometa import suites
from robometa.noise import Noise
from robometa.training.loop import task_batch
from robometa.trials.trial import run_trial

STEPS = 3
"""Control steps that are looked at."""
MOST = 25
"""Longest kernels that are shown."""
OURS = "bench: "
"""Prefix of the phases' names in a trace."""
WAITS = ("cudaDeviceSynchronize", "cudaStreamSynchronize", "cudaEventSynchronize")
"""In which the host does nothing."""


class Event(NamedTuple):
    """Something in a trace; nanoseconds."""

    name: str
    start: int
    end: int
    on_device: bool


def iteration_profile(bench: Bench, name: str) -> Row:
    """One iteration of a learner: its phases' seconds by the clock, and what the device did in each."""
    learner, suite = learner_of(bench, name, "warp")
    with closing(engine_on(bench, learner, suite, "warp")) as engine:
        for number in range(bench.scale.rounds - 1):
            bench.note(unwatched=iteration(bench, engine, learner, number))
        noise = Noise(0, ("bench", bench.scale.rounds), engine.tasks, engine.worlds)
        indices = task_batch(len(suite.train), engine.tasks, 0, bench.scale.rounds)

        def watched() -> None:
            with phase("sampling", bench):
                trial = run_trial(engine, learner, suite.train, indices, learner.config.shots, noise)
            with phase("update", bench):
                learner.update(trial)

        return profiled(bench, watched, ("sampling", "update"))


def engine_profile(bench: Bench) -> Row:
    """Some control steps of many half-cheetahs: kernels a step, the share of time that the device is busy."""
    from robometa.sim.warp.engine import WarpEngine

    suite, worlds = with_horizon(suites.load(SUITES["half-cheetah"]), bench.scale.horizon), bench.scale.worlds[0]
    engine = bench.tuned(WarpEngine(suite, 1, worlds, device=bench.device))
    engine.reset(Noise(0, ("bench",), 1, worlds))
    draws = torch.rand(8, 1, worlds, engine.spaces.action, generator=torch.Generator().manual_seed(0)) * 2 - 1
    draws = draws.to(bench.device)
    for number in range(min(64, bench.scale.horizon)):
        engine.step(draws[number % len(draws)])
    bench.wait()
    started = time.perf_counter()
    for number in range(STEPS):
        engine.step(draws[number])
    bench.wait()
    bench.note(worlds=worlds, ms_per_step_unwatched=round(1000 * (time.perf_counter() - started) / STEPS, 3))

    def watched() -> None:
        with phase("steps", bench):
            for number in range(STEPS):
                engine.step(draws[number])

    row = profiled(bench, watched, ("steps",))
    kernels = row.get("phases", {}).get("steps", {}).get("kernels", 0)
    return row | {"kernels_per_step": round(kernels / STEPS, 1)}


@contextmanager
def phase(name: str, bench: Bench) -> Iterator[None]:
    """A named part of what is looked at, until the device has done it."""
    with record_function(OURS + name):
        yield
        bench.wait()


def profiled(bench: Bench, work: Callable[[], None], phases: Sequence[str]) -> Row:
    """Does the work, looked at, and tells what the device did; if looking fails, why."""
    on_gpu = bench.device.startswith("cuda")
    try:
        with profile(activities=[ProfilerActivity.CPU, *([ProfilerActivity.CUDA] if on_gpu else [])]) as seen:
            work()
        bench.note(looked_at=True)
        return table(events_of(seen), phases)
    except Exception:
        return {"profiler_error": traceback.format_exc(limit=-6)}


def events_of(seen: Any) -> list[Event]:
    """Events of a trace, without torch's own digest of them, which takes long for many events."""
    return [
        Event(
            one.name(), one.start_ns(), one.start_ns() + one.duration_ns(), "cpu" not in str(one.device_type()).lower()
        )
        for one in seen.profiler.kineto_results.events()
    ]


def table(events: Sequence[Event], phases: Sequence[str]) -> Row:
    """Per phase the wall clock, the host's and the device's seconds, the device's by group; and the longest kernels."""
    work = [one for one in events if one.on_device and not one.name.startswith(OURS)]
    host = [one for one in events if not one.on_device]
    rows: Row = {}
    for name in phases:
        frame = next(one for one in host if one.name == OURS + name)
        inside = [one for one in work if frame.start <= one.start <= frame.end]
        waits = [one for one in host if one.name in WAITS and frame.start <= one.start <= frame.end]
        groups: dict[str, float] = defaultdict(float)
        for one in inside:
            groups[group(one.name)] += (one.end - one.start) / 1e9
        busy, wall = union(inside), frame.end - frame.start
        rows[name] = {
            "wall_seconds": round(wall / 1e9, 5),
            "host_seconds": round((wall - union(waits)) / 1e9, 5),
            "device_busy_seconds": round(busy / 1e9, 5),
            "device_busy_share": round(busy / max(wall, 1), 4),
            "kernels": len(inside),
            "device_seconds": {key: round(value, 5) for key, value in sorted(groups.items())},
        }
    profile: Row = {"phases": rows, "longest_kernels": longest(work)}
    if not work:
        profile["seen"] = "no kernel was seen on a device"
    elif not any(group(one.name) == "physics" for one in work):
        profile["seen"] = "no kernel of the physics was seen: those in replayed graphs are not told apart here"
    return profile


def group(name: str) -> str:
    """Kind of a kernel: MuJoCo Warp's physics, torch, or a copy."""
    if name.startswith(("Memcpy", "Memset")):
        return "memory"
    return "physics" if "_cuda_kernel_" in name or name.startswith("wp_") else "torch"


def union(events: Sequence[Event]) -> int:
    """Nanoseconds in which at least one of them was going on."""
    total, until = 0, 0
    for one in sorted(events, key=lambda one: one.start):
        total += max(0, one.end - max(one.start, until))
        until = max(until, one.end)
    return total


def longest(events: Sequence[Event]) -> list[Row]:
    """The kernels that the device spent most time in."""
    spent: Counter[str] = Counter()
    count: Counter[str] = Counter()
    for one in events:
        spent[one.name] += one.end - one.start
        count[one.name] += 1
    return [
        {"name": name[:100], "ms": round(nanoseconds / 1e6, 3), "count": count[name]}
        for name, nanoseconds in spent.most_common(MOST)
    ]
