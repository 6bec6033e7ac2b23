"""A smoke test on a GPU, in steps that each run in a process of their own: does it start, and is it right?"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from bench.gpu_bench import Bench, Row, version_of
from bench.gpu_graphs import in_graph, without_graphs
from bench.gpu_parts import SUITES, engine_on
from bench.size import with_horizon
from robometa import suites
from robometa.data import Trial
from robometa.noise import Noise
from robometa.registry.options import read_config
from robometa.sim.locomotion.engine import CpuEngine
from robometa.training.loop import task_batch
from robometa.training.run_folder import METRICS, RunFolder
from robometa.trials import make
from robometa.trials.trial import run_trial

NEAR_UPDATE = 1e-2
"""Largest gap of an update by graphs from a plain one, relative to its step: learning rates are rounded otherwise."""
FREE_STEPS, ON_THE_GROUND = 5, 12
"""Control steps from the beginning that are compared; and after how many a single one is, from the same state."""
NEAR_CPU, NEAR_PLAIN = 2e-3, 1e-3
"""Largest relative gap of a step from the CPU engine's, and from one without graphs: additions change order."""


def init_part(bench: Bench) -> Row:
    """Versions of Warp, torch and the driver."""
    import warp

    asked = ["nvidia-smi", "--query-gpu=name,driver_version,memory.total,memory.used", "--format=csv,noheader"]
    try:
        bench.note(nvidia_smi=subprocess.run(asked, capture_output=True, text=True, timeout=10, check=False).stdout)
    except (OSError, subprocess.TimeoutExpired) as error:
        bench.note(nvidia_smi=repr(error))
    bench.note(torch=torch.__version__, torch_cuda=torch.version.cuda, cudnn=torch.backends.cudnn.version())
    warp.init()
    row: Row = {"warp_devices": [str(device) for device in warp.get_devices()]}
    if bench.device.startswith("cuda"):
        device = warp.get_device("cuda:0")
        row |= {
            "memory_pools": bool(warp.is_mempool_supported(device)),
            "conditional_graphs": bool(warp.is_conditional_graph_supported()),
            "toolkit": warp.get_cuda_toolkit_version(),
            "driver": warp.get_cuda_driver_version(),
            "architecture": device.arch,
        }
        bench.note(**row)
        row["torch_sum"] = float(torch.ones(1000, device=bench.device).sum())
    return row


def parity_part(bench: Bench, suite: str) -> Row:
    """Gaps between steps with graphs, without, and the CPU engine's: a few from the beginning, and one later.

    Asked to do without graphs, it has them without conditional nodes: whether that works where the usual way does not.
    """
    from robometa.sim.warp.engine import WarpEngine

    fallback = not bench.graphs
    bench.graphs, bench.conditional = True, bench.conditional and not fallback
    (tasks, worlds), loaded = bench.scale.parity, suites.load(suite)
    exact = CpuEngine(loaded, tasks, worlds)
    plain = WarpEngine(loaded, tasks, worlds, device=bench.device, graphs=False)
    captured = bench.tuned(WarpEngine(loaded, tasks, worlds, device=bench.device))
    engines = {"cpu": exact, "captured": captured, "plain": plain}
    noise = Noise(0, ("smoke",), tasks, worlds)
    seen = {name: engine.reset(noise).cpu() for name, engine in engines.items()}
    reset = _apart(seen["cpu"], seen["captured"])
    draws = torch.rand(ON_THE_GROUND, tasks, worlds, exact.spaces.action, generator=torch.Generator().manual_seed(0))
    draws = 2 * draws - 1
    steps: list[Row] = []
    for action in draws[:FREE_STEPS]:
        apart = _step_apart(engines, action)
        pairs = {name: row["worst"] if isinstance(row, dict) else row for name, row in apart.items()}
        steps.append(pairs if steps else apart)
        bench.note(reset=reset, steps=steps)
    for action in draws[FREE_STEPS:-1]:
        exact.step(action)
    before = exact.state()
    captured.restore(before)
    plain.restore(before)
    later = _step_apart(engines, draws[-1])
    compared = (steps[0], later)
    ok = all(
        row["captured_cpu"]["worst"] < NEAR_CPU and row["captured_plain"]["worst"] < NEAR_PLAIN for row in compared
    )
    ok = ok and all(row["flags"] for row in compared) and reset["relative"] < 1e-5
    exact.close()
    return {"later_step": later, "parity_ok": ok} | ({"fallback_works": True} if fallback else {})


def _step_apart(engines: dict[str, Any], action: Tensor) -> Row:
    """Gap between the engines' next steps."""
    outcomes = {name: engine.step(action.to(engine.device)) for name, engine in engines.items()}
    row: Row = {}
    for one, other in (("captured", "cpu"), ("captured", "plain"), ("plain", "cpu")):
        pair = outcomes[one], outcomes[other]
        obs, reward = (_apart(*(getattr(outcome, name).cpu() for outcome in pair)) for name in ("next_obs", "reward"))
        row[f"{one}_{other}"] = {"obs": obs, "reward": reward, "worst": max(obs["relative"], reward["relative"])}
    kinds = ("terminated", "truncated", "success", "diverged")
    first, *others = ([getattr(outcome, kind).cpu() for kind in kinds] for outcome in outcomes.values())
    row["flags"] = all(torch.equal(a, b) for other in others for a, b in zip(first, other, strict=True))
    return row


def _apart(one: Tensor, other: Tensor) -> Row:
    """The largest difference, and the largest relative one where numbers are large."""
    one, other = one.double().cpu(), other.double().cpu()
    difference = (one - other).abs()
    relative = difference / (1 + torch.maximum(one.abs(), other.abs()))
    return {"absolute": float(f"{difference.max().item():.3g}"), "relative": float(f"{relative.max().item():.3g}")}


def speed_part(bench: Bench) -> Row:
    """Some hundred steps of thousands of half-cheetahs."""
    from robometa.sim.warp.engine import WarpEngine

    worlds = bench.scale.worlds[0]
    suite = with_horizon(suites.load(SUITES["half-cheetah"]), bench.scale.horizon)
    started = time.perf_counter()
    engine = bench.tuned(WarpEngine(suite, 1, worlds, device=bench.device))
    obs = engine.reset(Noise(0, ("smoke",), 1, worlds))
    bench.wait()
    bench.note(worlds=worlds, seconds_to_make=round(time.perf_counter() - started, 2))
    draws = torch.rand(8, 1, worlds, engine.spaces.action, generator=torch.Generator().manual_seed(0))
    draws = (2 * draws - 1).to(obs.device)
    started = time.perf_counter()
    for number in range(suite.horizon):
        engine.step(draws[number % len(draws)])
    bench.wait()
    elapsed = time.perf_counter() - started
    return {"steps": suite.horizon, "env_steps_per_second": round(suite.horizon * worlds / elapsed)}


def _trial(bench: Bench, name: str, **wanted: Any) -> tuple[Trial, Any]:
    """A trial of an untrained learner, and what builds such a learner on a device."""
    suite = with_horizon(suites.load("half-cheetah-velocity"), bench.scale.horizon)
    options = bench.options(name, **wanted)

    def build(device: str) -> Any:
        return make.build(name, read_config(name, options), suite, 0, device)

    learner = build(bench.device)
    with closing(engine_on(bench, learner, suite, "warp")) as engine:
        noise = Noise(0, ("smoke",), engine.tasks, engine.worlds)
        indices = task_batch(len(suite.train), engine.tasks, 0, 0)
        trial = run_trial(engine, learner, suite.train, indices, learner.config.shots, noise)
    return trial, build


def _states_apart(one: Any, other: Any) -> Row:
    """Largest gap between the states of two learners, and the tensor that has it."""
    states = one.state_dict(), other.state_dict()
    apart = {
        name: _apart(value, states[1][name])
        for name, value in states[0].items()
        if value.is_floating_point() and value.numel() and "replay" not in name
    }
    where = max(apart, key=lambda name: apart[name]["relative"])
    return {"compared": len(apart), "where": where} | apart[where]


def pearl_smoke(bench: Bench) -> Row:
    """PEARL's captured step against plain ones."""
    trial, build = _trial(bench, "pearl", gradient_steps=5)
    captured, plain = build(bench.device), build(bench.device)
    plain.steps.captured = None
    logged = [learner.update(trial) for learner in (captured, plain)]
    return {"in_graph": in_graph(captured), "steps": 5, "logged": logged} | _states_apart(captured, plain)


UPDATED: tuple[tuple[str, Row], ...] = (
    ("rl2", {}),
    ("rl2", {"memory": "lstm"}),
    ("rl2", {"memory": "transformer"}),
    ("varibad", {"decode_state": True}),
    ("hypernetwork", {}),
)
"""Learners, and options, whose updates by graphs are compared with plain ones."""


def updates_smoke(bench: Bench) -> Row:
    """Updates of the learners with a memory by graphs, twice from the same state, against plain ones."""
    trial, _ = _trial(bench, "rl2")
    suite, rows, ok = with_horizon(suites.load("half-cheetah-velocity"), bench.scale.horizon), {}, True
    for name, wanted in UPDATED:
        config = read_config(name, bench.options(name, **wanted))
        build: Callable[[], Any] = partial(make.build, name, config, suite, 0, bench.device)
        by_graph, again, plain, before = build(), build(), without_graphs(build), build()
        logged = [learner.update(trial) for learner in (by_graph, again)]
        logged.append(without_graphs(partial(plain.update, trial)))
        start, ours, theirs = (
            torch.cat([weight.detach().flatten() for weight in learner.network.parameters()])
            for learner in (before, by_graph, plain)
        )
        apart = float((ours - theirs).norm() / (theirs - start).norm().clamp(min=1e-12))
        rows[" ".join((name, *map(str, wanted.values())))] = {
            "in_graph": in_graph(by_graph),
            "difference_of_step": apart,
            "same_again": _states_apart(by_graph, again)["absolute"] == 0.0,
            "logged": logged,
            **_states_apart(by_graph, plain),
        }
        ok = ok and apart < NEAR_UPDATE and (by_graph.device.type != "cuda" or all(in_graph(by_graph).values()))
        bench.note(updates=rows, updates_ok=ok)
    return {}


def maml_smoke(bench: Bench) -> Row:
    """MAML-TRPO's update on the device against that on the processors, from the same trial."""
    tasks, worlds, _ = bench.scale.meta_batch
    trial, build = _trial(bench, "maml-trpo", tasks=tasks // 2, worlds=worlds)
    before, here, there = build("cpu"), build("cpu"), build(bench.device)
    logged = [there.update(trial)]
    on_cpu = replace(trial, rollouts=tuple(rollout.to(torch.device("cpu")) for rollout in trial.rollouts))
    logged.append(here.update(on_cpu))
    start, ours, theirs = (learner.state_dict()["parameters"].cpu() for learner in (before, here, there))
    step = (ours - start).norm()
    return {
        "logged": logged,
        "difference_of_step": float((ours - theirs).norm() / step.clamp(min=1e-12)),
    } | _states_apart(here, there)


TRAIN = """import json, sys, robometa
name, engine, device, folder, options = sys.argv[1:]
robometa.train(name, "rl2", engine=engine, device=device, folder=folder, options=json.loads(options))"""
"""Training through the library, for a machine that lacks what the command line needs."""


def training_part(bench: Bench) -> Row:
    """A short training and an evaluation of what came out, as anybody would run them."""
    name, count = "half-cheetah-velocity", bench.scale.iterations
    small = dict(bench.scale.options)
    with tempfile.TemporaryDirectory() as aside:
        folder, report_folder = Path(aside) / "run", Path(aside) / "report"
        environment = _installed(Path(aside))
        engine = "cpu" if small else "warp"  # a rehearsal has no time for a whole horizon on Warp's CPU device
        device = ["--engine", engine, "--device", bench.device]
        if find_spec("tyro") is not None:
            words = [f"--{key}={value}" for key, value in {"iterations": count, **small}.items()]
            asked = ["-m", "robometa", "train", name, "rl2", *device, "--folder", str(folder), *words]
        else:
            options = json.dumps({"iterations": count, **small})
            asked = ["-c", TRAIN, name, engine, bench.device, str(folder), options]
        bench.note(by="the command line" if asked[0] == "-m" else "robometa.train, as tyro is not installed")
        bench.note(train_seconds=_run(asked, environment))
        rows = RunFolder(folder).rows(METRICS)
        bench.note(iterations=len(rows), returns=[round(row["return_1"], 2) for row in rows])
        few = ["--shots", "1", "--tasks", "4", "--worlds", "4", "--out", str(report_folder)]
        evaluate = ["-m", "robometa", "evaluate", str(folder / "policy"), *few]
        bench.note(evaluate_seconds=_run(evaluate, environment))
        report = json.loads((report_folder / "report.json").read_text(encoding="utf-8"))
        return {"evaluated": [shot["mean_action"] for shot in report["shots"]]}


def _run(words: list[str], environment: dict[str, str]) -> float:
    """Seconds that a command took.

    Raises:
        ValueError: With the end of what it said, if it failed.
    """
    started = time.perf_counter()
    done = subprocess.run([sys.executable, "-P", *words], env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        raise ValueError(f"{words[:4]} ended with {done.returncode}: {(done.stdout + done.stderr)[-1500:]}")
    return round(time.perf_counter() - started, 2)


def _installed(aside: Path) -> dict[str, str]:
    """An environment in which robometa has a version, which a run writes down, also where it is not installed."""
    paths = [path for path in os.environ.get("PYTHONPATH", "").split(os.pathsep) if path]
    if version_of("robometa") is None:
        described = aside / "site" / "robometa-0.dist-info"
        described.mkdir(parents=True)
        (described / "METADATA").write_text("Metadata-Version: 2.1\nName: robometa\nVersion: 0\n", encoding="utf-8")
        paths.append(str(aside / "site"))
    return {**os.environ, "PYTHONPATH": os.pathsep.join([str(Path(__file__).parents[1]), *paths])}
