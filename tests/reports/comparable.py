"""Folders of policies that nobody trained, for tests of what reads them."""

import json

import numpy as np

from robometa.storage import sealed_folder

HASH = "0" * 64
OPTIONS = {"iterations": 3, "learning_rate": 0.1, "hidden": [8, 8]}


def episodes(returns, tasks, success=True):
    """Text of tasks.csv. `[shot, task, world]`."""
    lines = ["acting,shot,task,parameters,world,return,success,success_any_step"]
    for (shot, task, world), value in np.ndenumerate(returns):
        won = f"{world % 2},1" if success else ","
        lines += [f"{kind},{shot},{task},{tasks[task]},{world},{value},{won}" for kind in ("mean action", "exploring")]
    return "\n".join(lines) + "\n"


def write_report(folder, returns, learner="rl2", suite="made-up", success=True):
    """Writes report.json and tasks.csv of given returns. `[shot, task, world]`."""
    folder.mkdir(parents=True, exist_ok=True)
    described = {
        "suite": suite,
        "suite_hash": HASH,
        "split": "test",
        "protocol": None,
        "learner": learner,
        "seed": 0,
        "random": {"interquartile_mean": -9.0},
        "shots": [{"episodes_seen": float(shot)} for shot in range(len(returns))],
    }
    (folder / "report.json").write_text(json.dumps(described), encoding="utf-8")
    tasks = [f"speed {task}" for task in range(returns.shape[1])]
    (folder / "tasks.csv").write_text(episodes(returns, tasks, success), encoding="utf-8")


def write_policy(folder, returns=None, seed=0, learner="rl2", suite="made-up", options=OPTIONS, points=12):
    """Writes a policy with the files of its training, and with a report if there are returns."""
    (folder / "training").mkdir(parents=True)
    described = {"learner": learner, "config": options, "suite": suite, "suite_hash": HASH}
    training = {"seed": seed, "environment_steps": 1200, "wall_time_seconds": 90.0, "versions": {"torch": "2.0"}}
    manifest = {"format": sealed_folder.FORMAT, "kind": "policy", **described, "training": training}
    manifest["files"] = {"tensors.safetensors": f"{hash(str(folder)) % 2**64:064x}"}
    sealed_folder.write_manifest(folder, manifest)
    run = described | {"seed": seed, "device": "cpu", "threads": 2}
    (folder / "training" / "run.json").write_text(json.dumps(run), encoding="utf-8")
    rows = [
        {"iteration": i, "steps": 100 * (i + 1), "return_0": -5.0, "return_1": i + 0.1 * seed} for i in range(points)
    ]
    times = [{"iteration": i, "sampling": 1.0, "update": 2.0, "processor": 6.0} for i in range(points)]
    for name, lines in (("metrics", rows), ("timings", times)):
        text = "".join(json.dumps(line) + "\n" for line in lines)
        (folder / "training" / f"{name}.jsonl").write_text(text, encoding="utf-8")
    if returns is not None:
        write_report(folder, returns, learner, suite)
    return folder


def returns_of(seed, better=0.0, shots=2, tasks=4, worlds=3):
    """Returns drawn at random, a little higher after each shot. `[shot, task, world]`."""
    drawn = np.random.default_rng(seed).normal(size=(shots, tasks, worlds))
    return drawn + better + np.arange(shots)[:, None, None]
