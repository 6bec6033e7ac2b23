"""Whether a suite's simulations run on MuJoCo Warp, and the engine if they do; loaded only then."""

from __future__ import annotations

from importlib.util import find_spec
from typing import TYPE_CHECKING

import torch

from robometa.errors import UserError, unknown
from robometa.suites import Suite

if TYPE_CHECKING:
    from robometa.sim.warp_engine import WarpEngine

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
    from robometa.sim.warp_engine import sees_gpu

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
    from robometa.sim.warp_engine import RevealingWarpEngine, WarpEngine  # its packages are an extra

    device = "cuda" if learner.type != "cuda" and torch.cuda.is_available() else learner
    return (RevealingWarpEngine if tells else WarpEngine)(suite, tasks, worlds, device=device, room=room)
