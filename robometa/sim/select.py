"""Chooses the engine that steps a suite's tasks; loads MuJoCo Warp's only where it is used."""

from __future__ import annotations

from collections.abc import Callable
from importlib.util import find_spec

import torch

from robometa.compute.hardware import ENGINES
from robometa.errors import UserError, unknown
from robometa.sim.engine import Engine
from robometa.sim.locomotion.engine import CpuEngine
from robometa.sim.oracle import HiddenNumbers, RevealingEngine
from robometa.suites.suite import Suite


def _metaworld(suite: Suite, tasks: int, worlds: int, threads: int | None) -> Engine:
    from robometa.sim.metaworld.engine import ManipulationEngine  # its package is an extra

    return ManipulationEngine(suite, tasks, worlds, threads)


CPU_ENGINES: dict[str, Callable[[Suite, int, int, int | None], Engine]] = {
    "locomotion": CpuEngine,
    "metaworld": _metaworld,
}
"""Engines on the CPU by family, from suite, tasks, worlds and threads."""


def engine_of(suite: Suite, tasks: int, worlds: int, threads: int | None = None, reveal: bool = False) -> Engine:
    """Makes an engine on the CPU for the suite's tasks.

    Args:
        suite: Suite whose tasks it steps.
        tasks: Tasks of a batch.
        worlds: Worlds of each task.
        threads: Threads that step them; all processors if None.
        reveal: Append the hidden parameters of its task to each observation.

    Raises:
        UserError: If a package that the suite needs is not installed.
    """
    hidden = HiddenNumbers(suite) if reveal else None
    return _revealing(CPU_ENGINES[suite.family.name](suite, tasks, worlds, threads), hidden)


def _revealing(engine: Engine, hidden: HiddenNumbers | None) -> Engine:
    return engine if hidden is None else RevealingEngine(engine, hidden)


def on_warp(name: str, suite: Suite) -> bool:
    """Returns True if an engine of this name is MuJoCo Warp's.

    `auto` is, if the machine has a GPU and the `gpu` extra is installed.

    Raises:
        UserError: If no engine has this name, or it cannot step the suite on this machine.
    """
    if name not in ENGINES:
        raise UserError(unknown("engine", name, ENGINES))
    installed, obstacle = find_spec("mujoco_warp") is not None, suite.family.warp_obstacle
    if name == "warp" and obstacle is not None:
        raise UserError(f"suite {suite.name}: {obstacle}: --engine cpu")
    if name == "warp" and not installed:
        raise UserError("--engine warp needs the gpu extra: pip install 'robometa[gpu]'")
    return name == "warp" or (name == "auto" and installed and obstacle is None and _sees_gpu())


def _sees_gpu() -> bool:
    """Returns True if torch and Warp both see a GPU."""
    if not torch.cuda.is_available():
        return False
    from robometa.sim.warp.usable import sees_gpu

    return sees_gpu()


def warp_engine(
    suite: Suite, tasks: int, worlds: int, reveal: bool, learner: torch.device, contact_capacity: float
) -> Engine:
    """Makes an engine on the learner's GPU, on another if it has none, on the CPU if there is none.

    Args:
        suite: Suite whose tasks it steps.
        tasks: Tasks of a batch.
        worlds: Worlds of each task.
        reveal: Append the hidden parameters of its task to each observation.
        learner: Device of the learner.
        contact_capacity: Multiplier on the contact buffer; 1 is almost always enough.
    """
    from robometa.sim.warp.engine import WarpEngine  # its packages are an extra

    hidden = HiddenNumbers(suite) if reveal else None
    device = "cuda" if learner.type != "cuda" and torch.cuda.is_available() else learner
    engine = WarpEngine(suite, tasks, worlds, device=device, contact_capacity=contact_capacity)
    return _revealing(engine, hidden)
