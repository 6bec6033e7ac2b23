"""Which engine steps a suite's tasks."""

from __future__ import annotations

from typing import TYPE_CHECKING

from robometa.sim.engine import CpuEngine
from robometa.sim.revealing import Revealing, RevealingEngine
from robometa.suites import Suite

if TYPE_CHECKING:
    from robometa.sim.manipulation.engine import ManipulationEngine


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
    from robometa.sim.manipulation.engine import ManipulationEngine  # its package is an extra

    class Telling(Revealing, ManipulationEngine):  # type: ignore[misc]
        """Tells of goals."""

    return (Telling if tells else ManipulationEngine)(suite, tasks, worlds, threads)
