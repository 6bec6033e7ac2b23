"""Other simulators on Gymnasium's half-cheetah: one environment, vectors of processes, EnvPool."""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from functools import partial

import numpy as np

from bench.measure import Comparison, Contest, Figure, ratio, speed
from bench.size import Size

ENVIRONMENT = "HalfCheetah-v5"
HORIZON = 200
"""Control steps of an episode."""
START = "forkserver"
"""Start method of processes: not as copies of this one, whose threads would be missing in them."""
os.environ["PYTHONSAFEPATH"] = "1"  # no process that this one starts takes a module from the current folder
SINGLE = "Gymnasium, one environment"
DRAWN = 64
"""Batches of actions that are drawn beforehand, and taken in turn."""


class Actions:
    """Batches of uniform actions, one after another."""

    def __init__(self, *shape: int) -> None:
        """Draws them."""
        self._batches = np.random.default_rng(0).uniform(-1, 1, (DRAWN, *shape)).astype(np.float32)
        self._place = 0

    def __call__(self) -> np.ndarray:
        """The next batch."""
        self._place = (self._place + 1) % DRAWN
        return self._batches[self._place]


@contextmanager
def rivals(size: Size, threads: int) -> Iterator[Contest]:
    """All of them, ready to step; their processes end with the context."""
    count = size.processes
    asynchronous, processes = f"Gymnasium AsyncVectorEnv({count})", f"Stable-Baselines3 SubprocVecEnv({count})"
    steppers: dict[str, Callable[[], int]] = {}
    with ExitStack() as stack:
        steppers[SINGLE] = stack.enter_context(single())
        steppers[asynchronous] = stack.enter_context(async_vector(count))
        steppers[processes] = stack.enter_context(process_vector(count))
        figures = [Figure(name) for name in steppers]
        for environments, batch in size.pools:
            stepper = stack.enter_context(pool(environments, batch, threads))
            mode = (
                f"synchronous, {environments}" if environments == batch else f"asynchronous, {batch} of {environments}"
            )
            missing = "" if stepper else "not installed: pip install envpool"
            figures.append(Figure(f"EnvPool {mode}", missing=missing))
            if stepper is not None:
                steppers[f"EnvPool {mode}"] = stepper
        comparisons: tuple[Comparison, ...] = (
            ratio("engine", "EnvPool", 1.5),
            ratio("engine", asynchronous, 7.0),
            ratio("engine", processes),
            ratio("engine", SINGLE),
        )
        entries = tuple(partial(measured, name, stepper, size.seconds) for name, stepper in steppers.items())
        yield Contest(tuple(figures), entries, comparisons)


def measured(name: str, step: Callable[[], int], seconds: float) -> dict[str, float]:
    """A stepper's figure, after some steps that fill its queues."""
    speed(step, 0.1 * seconds)
    return {name: speed(step, seconds)}


@contextmanager
def single() -> Iterator[Callable[[], int]]:
    """One environment in this process."""
    import gymnasium

    with closing(gymnasium.make(ENVIRONMENT, max_episode_steps=HORIZON)) as environment:
        environment.reset(seed=0)
        actions = Actions(6)

        def step() -> int:
            *_, terminated, truncated, _ = environment.step(actions())
            if terminated or truncated:
                environment.reset()
            return 1

        yield step


@contextmanager
def async_vector(count: int) -> Iterator[Callable[[], int]]:
    """Gymnasium's vector of environments, each in a process of its own."""
    import gymnasium
    from gymnasium.vector import AsyncVectorEnv

    multiprocessing.set_forkserver_preload(["stable_baselines3.common.vec_env", "gymnasium.envs.mujoco"])
    make = partial(gymnasium.make, ENVIRONMENT, max_episode_steps=HORIZON)
    with closing(AsyncVectorEnv([make] * count, context=START)) as environments:
        environments.reset(seed=0)
        actions = Actions(count, 6)

        def step() -> int:
            environments.step(actions())
            return count

        yield step


@contextmanager
def process_vector(count: int) -> Iterator[Callable[[], int]]:
    """Stable-Baselines3's vector of environments, each in a process of its own."""
    import gymnasium
    from stable_baselines3.common.vec_env import SubprocVecEnv

    make = partial(gymnasium.make, ENVIRONMENT, max_episode_steps=HORIZON)
    with closing(SubprocVecEnv([make] * count, start_method=START)) as environments:
        environments.reset()
        actions = Actions(count, 6)

        def step() -> int:
            environments.step(actions())
            return count

        yield step


@contextmanager
def pool(count: int, batch: int, threads: int) -> Iterator[Callable[[], int] | None]:
    """EnvPool's environments on threads of C++, or None where it is not installed."""
    try:
        import envpool
    except ImportError:
        yield None
        return
    with closing(
        envpool.make_gymnasium(
            ENVIRONMENT, num_envs=count, batch_size=batch, num_threads=threads, max_episode_steps=HORIZON, seed=0
        )
    ) as environments:
        environments.async_reset()
        actions = Actions(batch, *environments.action_space.shape)

        def step() -> int:
            *_, about = environments.recv()
            environments.send(actions().astype(np.float64), about["env_id"])
            return batch

        yield step
