"""Measures simulation and learning on a GPU: the engine on MuJoCo Warp, whole trials, updates, and time to a return.

One command, no network: `python -m bench.gpu FOLDER` writes FOLDER/gpu.json, anew with every figure, so that whatever
ends it leaves what was measured. Each part runs in a process of its own for a time of its own: one that fails is
written with its error, one that is ended with what it had found, and the others go on; parts for which no time is left
are written as left out. What the processes print stands in FOLDER/gpu.log. It needs no installed robometa: a checkout
on PYTHONPATH and the packages that the engine and the learners load. With --rehearse it runs end to end on the
processors, in sizes that measure nothing.

An engine's figure is control steps of all worlds per second, over many steps with actions drawn beforehand, with a wait
for the device after every sixteen; compiling and capturing are told apart. The floor beside it is how fast the robot
could be stepped if all that a step does were to touch every number that the simulator keeps of a world once in each
evaluation of the dynamics, at the bandwidth that copying a large tensor reaches.
"""

from __future__ import annotations

import argparse
import importlib
import os
import re
import signal
import sys
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from types import FrameType

from bench.gpu_bench import FULL, RACES, SMALL, Bench, machine
from bench.gpu_run import Asked, Measurement, Part

SMOKE_SECONDS = 40.0
"""Of a step of the smoke test."""
REHEARSAL_SECONDS = 150.0
"""Of a part in a rehearsal, which may have to compile kernels."""
FAILED = {"error", "ended_with", "cut_off", "with_graphs", "profiler_error"}
"""Entries shown of a part that did not run through."""
PARITY = ("half-cheetah-velocity", "ant-direction", "walker2d-params", "humanoid-direction-2d", "hopper-params")
"""Suites whose engines are compared."""


def parts() -> dict[str, Part]:
    """Parts that can be measured, in their order."""
    known = {"smoke init": Part("gpu_smoke.init_part", SMOKE_SECONDS)}
    for suite in PARITY:
        known[f"smoke parity {suite}"] = Part("gpu_smoke.parity_part", SMOKE_SECONDS, {"suite": suite})
    for name, call in (
        ("speed", "speed_part"),
        ("pearl step", "pearl_smoke"),
        ("memory updates", "updates_smoke"),
        ("maml-trpo update", "maml_smoke"),
        ("training", "training_part"),
    ):
        known[f"smoke {name}"] = Part(f"gpu_smoke.{call}", SMOKE_SECONDS)
    for robot, seconds in (("half-cheetah", 25.0), ("ant", 30.0)):
        known[f"engine {robot}"] = Part("gpu_parts.engine_part", seconds, {"robot": robot})
    for name, seconds in (("maml-trpo", 24.0), ("rl2", 26.0)):
        known[f"trials {name}"] = Part("gpu_parts.trials_part", seconds, {"name": name, "on": "warp"})
    known["pearl"] = Part("gpu_parts.pearl_part", 18.0, {"on": "warp"})
    for robot, seconds in (("walker2d", 18.0), ("hopper", 18.0), ("humanoid", 24.0)):
        known[f"engine {robot}"] = Part("gpu_parts.engine_part", seconds, {"robot": robot})
    known["profile engine"] = Part("gpu_profile.engine_profile", 18.0)
    for name in ("rl2", "maml-trpo"):
        known[f"profile {name}"] = Part("gpu_profile.iteration_profile", 25.0, {"name": name})
    for threads, seconds in ((16, 12.0), (8, 12.0), (4, 13.0), (2, 16.0), (1, 22.0)):
        scaling = Part("gpu_scaling.scaling_part", seconds, {"threads": threads}, processors=threads)
        known[f"cpu scaling {threads}"] = scaling
        if threads > 1:
            by_processes = Part("gpu_scaling.collectors_part", 45.0, {"threads": threads}, processors=threads)
            known[f"collectors {threads}"] = by_processes
    for threads, seconds in ((16, 30.0), (8, 40.0), (4, 60.0), (2, 80.0), (1, 120.0)):
        learners = Part("gpu_scaling.learners_part", seconds, {"threads": threads}, processors=threads)
        known[f"learners {threads}"] = learners
        known[f"ml10 {threads}"] = Part("gpu_scaling.ml10_part", 60.0, {"threads": threads}, processors=threads)
    known["pearl on the CPU"] = Part("gpu_parts.pearl_part", 20.0, {"on": "cpu"})
    for suite, name in RACES:
        race = Part("gpu_races.race_part", 600.0, {"suite_name": suite, "name": name, "on": "warp"}, needs=30.0)
        known[f"race {name} {suite}"] = race
    return known


def chosen(words: Sequence[str], rehearse: bool = False) -> dict[str, Part]:
    """The parts whose names hold one of these, as whole words; all but the races if there are none.

    A race takes minutes: only a word that says so asks for one, or a rehearsal, in which it takes seconds.
    """
    named = {}
    for name, part in parts().items():
        meant = [word for word in words if re.search(rf"(?<!\w){re.escape(word)}(?!\w)", name)]
        if name.startswith("race"):
            asked = any("race" in word for word in meant) or (rehearse and not words)
        else:
            asked = not words or bool(meant)
        if asked:
            named[name] = part
    return named


def main(words: Sequence[str] | None = None) -> None:
    """Measures and writes."""
    parser = argparse.ArgumentParser(prog="python -m bench.gpu", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("folder", type=Path, help="where gpu.json is written")
    parser.add_argument("--rehearse", action="store_true", help="small sizes, on the processors: measures nothing")
    parser.add_argument("--only", nargs="+", default=[], metavar="WORD", help="parts whose names hold one of these")
    parser.add_argument("--minutes", type=float, default=8.0, help="after which it ends (default: 8)")
    parser.add_argument("--device", default="cuda", help="the GPU (default: cuda)")
    parser.add_argument("--add", action="store_true", help="go on with what stands in gpu.json")
    parser.add_argument("--part-seconds", type=float, metavar="S", help="for each part, instead of its own")
    for hidden in ("--part", "--until"):
        parser.add_argument(hidden, help=argparse.SUPPRESS)
    parser.add_argument("--without-graphs", action="store_true", help="nothing is captured")
    parser.add_argument("--without-conditional", action="store_true", help="the solver's loop in no conditional node")
    asked = parser.parse_args(words)
    if asked.part:
        _measure(asked, parser)
    else:
        _measure_all(asked)


def _measure(asked: argparse.Namespace, parser: argparse.ArgumentParser) -> None:
    """Measures one part in this process; a folder is the file that it writes."""
    part, device = parts()[asked.part], "cpu" if asked.rehearse else asked.device
    if part.processors and hasattr(os, "sched_setaffinity"):  # before anything counts them
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[: part.processors])
    import torch

    if not asked.rehearse and not torch.cuda.is_available():
        parser.error("there is no GPU here; --rehearse runs it on the processors")
    from robometa.compute import cuda_graphs

    cuda_graphs.CAPTURE_GRAPHS = not asked.without_graphs
    bench = Bench(
        asked.folder,
        SMALL if asked.rehearse else FULL,
        device,
        float(asked.until),
        graphs=not asked.without_graphs,
        conditional=not asked.without_conditional,
    )
    bench.end_in_time()
    bench.note(machine=machine(device))
    started = time.perf_counter()
    bench.run(partial(loaded(part.call), **part.options))
    bench.note(measured_seconds=round(time.perf_counter() - started, 1))
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(0)  # what was found is written: nothing is worth waiting for


def loaded(call: str) -> Callable[..., dict[str, object]]:
    """The function of this name in one of these modules."""
    module, _, name = call.partition(".")
    function: Callable[..., dict[str, object]] = getattr(importlib.import_module(f"bench.{module}"), name)
    return function


def _measure_all(asked: argparse.Namespace) -> None:
    """Runs the parts that are asked for, as long as there is time."""
    common = ["--device", asked.device]
    flags = ("rehearse", "without_graphs", "without_conditional")
    common += [f"--{flag.replace('_', '-')}" for flag in flags if getattr(asked, flag)]

    def command(one: Asked) -> list[str]:
        words = [str(one.file), "--part", one.name, "--until", str(one.until), *common, *one.flags]
        return [sys.executable, "-P", "-m", "bench.gpu", *words]

    def end(number: int, frame: FrameType | None) -> None:
        raise SystemExit(f"ended by {signal.Signals(number).name}")

    signal.signal(signal.SIGTERM, end)
    measurement = Measurement(asked.folder.resolve(), asked.minutes, command, add=asked.add)
    named = chosen(asked.only, asked.rehearse)
    races = [name for name in named if name.startswith("race")]
    failed = []
    try:
        for name, part in named.items():
            seconds = asked.part_seconds or (REHEARSAL_SECONDS if asked.rehearse else None)
            if name in races and seconds is None:
                seconds = measurement.left() / (len(races) - races.index(name))
            row = measurement.run(name, part, seconds)
            failed += [name] if FAILED & row.keys() else []
    except BaseException as why:
        measurement.end(f"ended by {type(why).__name__}: {why}")
        raise
    if failed and asked.rehearse:
        raise SystemExit(f"did not run through: {', '.join(failed)}")


if __name__ == "__main__":
    main()
