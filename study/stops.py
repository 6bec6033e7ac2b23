"""Counts how often a Go2 falls where its loop ends, or readings are lost: `python -m study.stops`, about ten minutes.

The robot is that of `examples/go2_walks.py`, the policy the exported RMA of go2-payload. It writes
`results/go2/stops.json`.
"""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

EXAMPLE, EXPORTED = Path("examples/go2_walks.py"), Path("policies/go2-payload-rma/exported")
OUT = Path("results/go2/stops.json")
LOADS = (0.0, 3.0, 6.0)
"""Loads on its back, kg."""
SLOW, FAST = 0.5, 1.0
"""Speeds that are asked for, m/s."""
MOMENTS = range(100, 130, 3)
"""Steps after which it is to stop, which are different moments of its gait."""
SLOWED = {SLOW: (0,), FAST: (0, 25, 50)}
"""Steps at the slow speed before the end, by the speed before them."""
LOST, HELD, DRAWS, STEPS = (0.05, 0.1), (0, 2), 4, 250
"""Parts of the readings that are lost, periods for which the last action is held, draws of each, steps of a walk."""


def main() -> None:
    """Walks, and writes the counts."""
    spec = importlib.util.spec_from_file_location("go2_walks", EXAMPLE)
    assert spec is not None
    assert spec.loader is not None
    example = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(example)
    policy, rows = example.Policy(EXPORTED), list[dict[str, Any]]()
    for speed, ways in SLOWED.items():
        for slowed in ways:
            fell = [_falls_at_stop(example, policy, load, speed, steps, slowed) for load in LOADS for steps in MOMENTS]
            rows.append({"speed": speed, "steps_slowed": slowed, "fell": sum(fell), "of": len(fell)})
            print(rows[-1], flush=True)
    for lost in LOST:
        for hold in HELD:
            fell = [
                _falls_on_the_way(example, policy, load, lost, hold, seed) for load in LOADS for seed in range(DRAWS)
            ]
            rows.append({"speed": FAST, "lost": lost, "hold": hold, "fell": sum(fell), "of": len(fell)})
            print(rows[-1], flush=True)
    OUT.write_text(json.dumps({"command": "python -m study.stops", "rows": rows}, indent=1) + "\n", encoding="utf-8")


def _falls_at_stop(example: ModuleType, policy: Any, load: float, speed: float, steps: int, slowed: int) -> bool:
    """True if it falls before its loop ends, or within the time that the example watches it after that."""
    robot, observe = _standing(example, policy, load)

    def read(seconds: float) -> Any:
        return example.Reading(observe(robot.measure(), command=speed if loop.report.steps < steps else SLOW))

    loop = example.Loop(policy, read, robot.aim, observer=observe, clock=robot.clock)
    loop.run(steps=steps + slowed)
    robot.wait(0.0 if robot.has_fallen() else example.STANDING)
    return bool(robot.has_fallen())


def _falls_on_the_way(example: ModuleType, policy: Any, load: float, lost: float, hold: int, seed: int) -> bool:
    """True if it falls on a fast walk on which readings are lost at random."""
    (robot, observe), draws = _standing(example, policy, load), np.random.default_rng(seed)

    def read(seconds: float) -> Any:
        return None if draws.random() < lost else example.Reading(observe(robot.measure(), command=FAST))

    def watch(report: Any) -> None:
        if robot.has_fallen():
            loop.stop()

    loop = example.Loop(policy, read, robot.aim, observer=observe, hold=hold, watch=watch, clock=robot.clock)
    loop.run(steps=STEPS)
    return bool(robot.has_fallen())


def _standing(example: ModuleType, policy: Any, load: float) -> tuple[Any, Any]:
    """A robot that has stood up, and its observer; the policy has forgotten the one before."""
    policy.reset()
    robot = example.Robot(policy.contract, load)
    robot.rise(policy.contract.safe)
    return robot, example.Observer(policy.contract)


if __name__ == "__main__":
    main()
