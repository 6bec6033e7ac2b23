"""Meta-World's tasks: our engine beside upstream's environments, and EnvPool's own Meta-World as a yardstick."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from functools import partial

import torch

from bench.measure import Comparison, Contest, Figure, ratio
from bench.rivals import Actions, measured
from bench.size import Size
from robometa import suites
from robometa.compute.parallel import processors
from robometa.noise import Noise

ENGINE, SINGLE, VECTOR, POOL = "engine", "upstream, one environment", "upstream, asynchronous vector", "EnvPool"
FIRST, MEMORY = "first step of ml10", "memory of 500 worlds of ml45"
ML10_TRAIN = 10
"""Training tasks of ML10."""
FIRST_STEP = """
import time
started = time.perf_counter()
import torch
from robometa import suites
from robometa.noise import Noise
from robometa.sim.metaworld.engine import ManipulationEngine
suite = suites.load("{suite}")
every = len(suite.train) // {tasks}
engine = ManipulationEngine(suite, {tasks}, {worlds})
engine.assign(suite.train[::every][:{tasks}])
engine.reset(Noise(0, ("bench",), {tasks}, {worlds}))
engine.step(torch.zeros({tasks}, {worlds}, 4))
took = time.perf_counter() - started
for _ in range({steps}):
    engine.step(torch.rand({tasks}, {worlds}, 4) * 2 - 1)
import resource
print(took, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20)
"""


@contextmanager
def push(size: Size) -> Iterator[Contest]:
    """push-v3 in many worlds, beside one of upstream's environments."""
    with ExitStack() as stack:
        steppers = {
            ENGINE: stack.enter_context(engine("ml1/push-v3", 1, size.manipulators)),
            SINGLE: stack.enter_context(single("push-v3")),
        }
        pooled = stack.enter_context(pool("Push-v3", size.manipulators))
        if pooled is not None:
            steppers[POOL] = pooled
        figures = [Figure(ENGINE), Figure(SINGLE), Figure(POOL, missing="" if pooled else "not installed: envpool")]
        entries = tuple(partial(measured, name, stepper, size.seconds) for name, stepper in steppers.items())
        yield Contest(tuple(figures), entries, (ratio(ENGINE, SINGLE, 7.0), ratio(ENGINE, POOL, 1.5)))


@contextmanager
def ml10(size: Size) -> Iterator[Contest]:
    """ML10's training tasks, each in a few worlds, beside upstream's vector of as many processes as it comes with."""
    with ExitStack() as stack:
        steppers = {ENGINE: stack.enter_context(engine("ml10", ML10_TRAIN, max(1, size.manipulators // 16)))}
        if size.with_vector:
            steppers[VECTOR] = stack.enter_context(vector(2 * ML10_TRAIN))
        entries: list[Callable[[], dict[str, float]]] = [
            partial(measured, name, stepper, size.seconds) for name, stepper in steppers.items()
        ]
        entries.append(partial(beginning, size))
        missing = "" if size.with_vector else "left out of a quick run"
        figures = (
            Figure(ENGINE),
            Figure(VECTOR, missing=missing),
            Figure(FIRST, unit="s"),
            Figure(MEMORY, unit="GiB"),
        )
        bounds = (
            Comparison(FIRST, lambda values: values[FIRST], 4.0, at_least=False, unit="s"),
            Comparison(MEMORY, lambda values: values[MEMORY], 4.0, at_least=False, unit="GiB"),
        )
        yield Contest(figures, tuple(entries), (ratio(ENGINE, VECTOR, 9.0), *bounds))


def beginning(size: Size) -> dict[str, float]:
    """Time of a new process to the first step of ML10, and memory of many worlds of ML45, s and GiB."""
    first, _ = fresh("ml10", 10, 4, 0)
    tasks, worlds = size.many_manipulators
    _, memory = fresh("ml45", tasks, worlds, 20)
    return {FIRST: first, MEMORY: memory}


def fresh(suite: str, tasks: int, worlds: int, steps: int) -> tuple[float, float]:
    """Time to the first step and peak memory of a new process, s and GiB."""
    program = FIRST_STEP.format(suite=suite, tasks=tasks, worlds=worlds, steps=steps)
    output = subprocess.run(
        [sys.executable, "-P", "-c", program], capture_output=True, text=True, check=True
    ).stdout.split()
    return float(output[-2]), float(output[-1])


@contextmanager
def engine(name: str, tasks: int, worlds: int) -> Iterator[Callable[[], int]]:
    """Our engine, each task another one, under uniform actions."""
    from robometa.sim.metaworld.engine import ManipulationEngine

    suite = suites.load(name)
    with closing(ManipulationEngine(suite, tasks, worlds)) as stepper:
        stepper.assign(suite.train[:: len(suite.train) // tasks][:tasks])
        stepper.reset(Noise(0, ("bench",), tasks, worlds))
        actions = Actions(tasks, worlds, 4)

        def step() -> int:
            stepper.step(torch.from_numpy(actions()))
            return tasks * worlds

        yield step


@contextmanager
def single(task: str) -> Iterator[Callable[[], int]]:
    """One of upstream's environments."""
    import metaworld

    benchmark = metaworld.ML1(task, seed=42)
    environment = benchmark.train_classes[task]()
    environment.set_task(benchmark.train_tasks[0])
    with closing(environment):
        environment.reset()
        actions = Actions(4)

        def step() -> int:
            *_, truncated, _ = environment.step(actions())
            if truncated:
                environment.reset()
            return 1

        yield step


@contextmanager
def vector(count: int) -> Iterator[Callable[[], int]]:
    """Upstream's vector of processes for ML10's training tasks."""
    import gymnasium
    import metaworld  # noqa: F401 # registers it

    environments = gymnasium.make_vec("Meta-World/ML10-train", vector_strategy="async", seed=42, meta_batch_size=count)
    with closing(environments):
        environments.call("sample_tasks")
        environments.reset()
        actions = Actions(count, 4)

        def step() -> int:
            environments.step(actions())
            return count

        yield step


@contextmanager
def pool(task: str, count: int) -> Iterator[Callable[[], int] | None]:
    """EnvPool's own Meta-World, or None where it is not installed."""
    try:
        import envpool
    except ImportError:
        yield None
        return
    with closing(
        envpool.make_gymnasium(f"MetaWorld/{task}", num_envs=count, num_threads=processors(), seed=0)
    ) as environments:
        environments.async_reset()
        actions = Actions(count, 4)

        def step() -> int:
            *_, about = environments.recv()
            environments.send(actions().astype(environments.action_space.dtype), about["env_id"])
            return count

        yield step
