"""Extents of the measurements."""

from __future__ import annotations

from dataclasses import dataclass, replace

from robometa.suites.suite import Suite


@dataclass(frozen=True)
class Size:
    """Extent of a measurement."""

    tasks: int = 32
    """Tasks of the engine's batch."""
    worlds: int = 16
    """Worlds of each task."""
    physics_steps: int = 1000
    """Of every world in a measurement of the engine."""
    processes: int = 8
    """Environments of the vectors of processes, each in a process of its own."""
    pools: tuple[tuple[int, int], ...] = ((32, 32), (128, 128), (512, 512), (32, 8), (128, 32), (512, 128))
    """EnvPool's environments and how many of them a step waits for; all of them is its synchronous mode."""
    seconds: float = 0.7
    """Time for which another simulator is measured, s."""
    meta_batch: tuple[int, int, int] = (40, 20, 100)
    """Tasks, worlds and control steps of an iteration of MAML-TRPO."""
    manipulators: int = 64
    """Worlds of a manipulation task."""
    with_vector: bool = True
    """Start upstream's vector of twenty processes, which takes a quarter of a minute."""
    many_manipulators: tuple[int, int] = (50, 10)
    """Tasks and worlds whose memory is measured."""
    horizon: int = 200
    """Control steps of an episode of PEARL and RL^2."""
    trials: tuple[int, int] = (128, 2)
    """Tasks and worlds of an iteration of RL^2."""
    rl2_rollout: tuple[int, int] = (64, 2)
    """Tasks and worlds of a rollout of RL^2 that is measured by itself; its defaults."""
    planned_steps: int = 40
    """Steps of GrBAL in a measurement."""
    gradient_steps: tuple[tuple[str, int], ...] = (("cpu", 100), ("paper", 10))
    """Of PEARL in a measurement, by preset."""


FULL = Size()
QUICK = Size(
    tasks=4,
    worlds=2,
    physics_steps=40,
    processes=2,
    pools=((4, 4), (4, 2)),
    seconds=0.02,
    meta_batch=(2, 2, 10),
    manipulators=4,
    with_vector=False,
    many_manipulators=(2, 1),
    horizon=10,
    trials=(3, 2),
    rl2_rollout=(3, 2),
    planned_steps=2,
    gradient_steps=(("cpu", 2), ("paper", 1)),
)


def with_horizon(suite: Suite, horizon: int) -> Suite:
    """The suite with episodes of another length."""
    return replace(suite, horizon=horizon, train=tuple(replace(task, horizon=horizon) for task in suite.train))
