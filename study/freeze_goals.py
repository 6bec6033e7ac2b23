"""Freezes the goals of Meta-World's benchmarks, drawn by upstream's own objects: `python -m study.freeze_goals`.

A benchmark draws every goal from numpy's global generator, by resetting its environments one after the other, and keeps
them as pickles. What is written here are the numbers, so that a suite needs neither. Needs the extra `metaworld`; takes
a few minutes.
"""

from __future__ import annotations

import json
import pickle
from pathlib import Path
from typing import Any

import metaworld
import numpy as np
from metaworld.env_dict import ALL_V3_ENVIRONMENTS

FOLDER = Path(__file__).parents[1] / "tasks" / "metaworld"
SEED = 42
BENCHMARKS = ("ML10", "ML25", "ML45", "MT10", "MT50")


def goals_of(tasks: list[Any]) -> dict[str, list[list[float]]]:
    """The goals of every task name, in upstream's order."""
    goals: dict[str, list[list[float]]] = {}
    for task in tasks:
        goals.setdefault(task.env_name, []).append(pickle.loads(task.data)["rand_vec"].tolist())  # made right here
    return goals


def write(name: str, train: dict[str, Any], test: dict[str, Any]) -> None:
    """Writes a benchmark's goals, a line for each goal."""
    kept = {"benchmark": name, "seed": SEED, "metaworld": metaworld_version(), "train": train, "test": test}
    text = json.dumps(kept).replace("[[", "[\n[").replace("], [", "],\n[").replace("]], ", "]],\n")
    (FOLDER / f"{name.lower()}.json").write_text(text + "\n", encoding="utf-8")
    print(f"{name}: {sum(map(len, train.values()))} training goals, {sum(map(len, test.values()))} held out")


def metaworld_version() -> str:
    """Upstream's version."""
    from importlib.metadata import version

    return version("metaworld")


def main() -> None:
    """Freezes all of them."""
    before = np.random.get_state()[1].tobytes()  # noqa: NPY002 # whether upstream leaves it alone is what is looked at
    FOLDER.mkdir(exist_ok=True)
    train, test = {}, {}
    for name in ALL_V3_ENVIRONMENTS:
        benchmark = metaworld.ML1(name, seed=SEED)
        train |= goals_of(benchmark.train_tasks)
        test |= goals_of(benchmark.test_tasks)
    write("ML1", train, test)
    for name in BENCHMARKS:
        benchmark = getattr(metaworld, name)(seed=SEED)
        write(name, goals_of(benchmark.train_tasks), goals_of(benchmark.test_tasks))
    assert np.random.get_state()[1].tobytes() == before, "upstream drew from the global generator"  # noqa: NPY002


if __name__ == "__main__":
    main()
