"""Which engine steps a suite's tasks; MuJoCo Warp's is loaded only where it is used."""

from __future__ import annotations

from importlib.util import find_spec
from typing import TYPE_CHECKING

import torch

from robometa.errors import UserError, unknown
from robometa.sim.locomotion.engine import CpuEngine
from robometa.sim.oracle import Revealing
from robometa.suites.suite import Suite

if TYPE_CHECKING:
    from robometa.sim.metaworld.engine import ManipulationEngine
    from robometa.sim.warp.engine import WarpEngine


def engine_of(
    suite: Suite, tasks: int, worlds: int, threads: int | None = None, tells: bool = False
) -> CpuEngine | ManipulationEngine:
    """An engine for the suite's tasks.

    Args:
        suite: Whose robot and objective.
        tasks: Tasks of a batch.
        worlds: Worlds of each task.
        threads: Threads that step them; all processors if None.
        tells: Whether observations end with what the tasks hide.
    Raises: UserError: If what the suite needs is not installed.
    """
    if suite.benchmark is None:
        return (RevealingEngine if tells else CpuEngine)(suite, tasks, worlds, threads)
    from robometa.sim.metaworld.engine import ManipulationEngine  # its package is an extra

    class Telling(Revealing, ManipulationEngine):
        """Tells of goals."""

    return (Telling if tells else ManipulationEngine)(suite, tasks, worlds, threads)


class RevealingEngine(Revealing, CpuEngine):
    """Steps the same simulations; each observation ends with the hidden numbers of its task."""


ENGINES = ("cpu", "warp", "auto")


def on_warp(name: str, suite: Suite) -> bool:
    """Whether an engine of this name is MuJoCo Warp's: `auto` is, where there is a GPU and the `gpu` extra.

    Raises: UserError: If there is no such engine, or it is asked for and cannot be had.
    """
    if name not in ENGINES:
        raise UserError(unknown("engine", name, ENGINES))
    installed, simulated = find_spec("mujoco_warp") is not None, suite.benchmark is None
    if name == "warp" and not simulated:
        raise UserError(f"suite {suite.name}: Meta-World needs mujoco 3.3.0 and MuJoCo Warp a later one: --engine cpu")
    if name == "warp" and not installed:
        raise UserError("--engine warp needs the gpu extra: pip install 'robometa[gpu]'")
    return name == "warp" or (name == "auto" and installed and simulated and _sees_gpu())


def _sees_gpu() -> bool:
    """Whether torch and Warp both see a GPU."""
    if not torch.cuda.is_available():
        return False
    from robometa.sim.warp.engine import sees_gpu

    return sees_gpu()


def warp_engine(suite: Suite, tasks: int, worlds: int, tells: bool, learner: torch.device, room: float) -> WarpEngine:
    """An engine on the learner's GPU, on another if it has none, on the processors if there is none.

    Args:
        suite: Whose robot and objective.
        tasks: Tasks of a batch.
        worlds: Worlds of each task.
        tells: Whether observations end with what the tasks hide.
        learner: Where the learner is.
        room: For how many times as many contacts as nearly always suffice there shall be memory.
    """
    from robometa.sim.warp.engine import RevealingWarpEngine, WarpEngine  # its packages are an extra

    device = "cuda" if learner.type != "cuda" and torch.cuda.is_available() else learner
    return (RevealingWarpEngine if tells else WarpEngine)(suite, tasks, worlds, device=device, room=room)
