"""Seconds that a batch takes by each collector, in turns: by this process, and by as many as there are processors."""

from __future__ import annotations

import time
from contextlib import closing
from statistics import median
from typing import Any

from robometa import registry, suites
from robometa.compute.hardware import Hardware
from robometa.compute.parallel import processors
from robometa.learners.protocol import Learner
from robometa.noise import Noise
from robometa.suites.suite import Suite
from robometa.training.loop import task_batch
from robometa.trials import make
from robometa.trials.collectors.collector import Job
from robometa.trials.collectors.here import Here
from robometa.trials.collectors.processes import Processes
from robometa.trials.pieces import Batch, default_size

LEARNERS = (("half-cheetah-velocity", "rl2"), ("half-cheetah-direction", "maml-trpo"), ("ant-direction", "rl2"))
"""Suites and learners that are measured, with the learner's own options."""
START_SECONDS = 60.0
"""After which processes that are not ready are given up."""


def compared(suite: Suite, name: str, config: Any, rounds: int) -> dict[str, Any]:
    """Measures both collectors in turns.

    Args:
        suite: Whose training tasks are sampled.
        name: A shipped learner.
        config: Its options.
        rounds: Batches of each collector that count; one before them warms up.

    Returns:
        Seconds of a batch by each collector as a median, environment steps a second, and how much faster the
        processes are.
    """
    learner: Learner = make.build(name, config, suite, 0)
    piece = default_size(config.tasks, config.worlds)
    fingerprint = registry.of(name, learner).fingerprint()
    job = Job(suite, name, fingerprint, config, 0, Hardware(), tuple(suite.train), piece)
    count = min(processors(), len(job.pieces()))
    took: dict[str, list[float]] = {"here": [], "processes": []}
    with closing(Here(job, learner)) as here, closing(Processes(job, learner, count)) as others:
        until = time.monotonic() + START_SECONDS
        while not others.ready():
            if time.monotonic() > until:
                raise TimeoutError(f"{count} processes were not ready after {START_SECONDS:.0f} s")
            time.sleep(0.05)
        for number in range(rounds + 1):
            indices = tuple(task_batch(len(suite.train), config.tasks, 0, number))
            batch = Batch(indices, config.shots, Noise(0, ("bench", number), config.tasks, config.worlds))
            for who, collector in (("here", here), ("processes", others)):
                started = time.perf_counter()
                steps = collector.collect(batch).steps()
                took[who].append(time.perf_counter() - started)
    seconds = {who: median(times[1:]) for who, times in took.items()}
    return {
        "tasks": config.tasks,
        "worlds": config.worlds,
        "steps": steps,
        "pieces": len(job.pieces()),
        "processors": processors(),
        "processes": count,
        "seconds": {who: round(value, 4) for who, value in seconds.items()},
        "steps_per_second": {who: round(steps / value) for who, value in seconds.items()},
        "times_here": round(seconds["here"] / seconds["processes"], 2),
    }


def published(name: str) -> Any:
    """Returns the learner's own options, its first preset."""
    return next(iter(registry.find(name).presets().values()))


def main() -> None:
    """Prints the comparison for this machine's processors."""
    for suite, name in LEARNERS:
        print(suite, name, compared(suites.load(suite), name, published(name), 4))


if __name__ == "__main__":
    main()
