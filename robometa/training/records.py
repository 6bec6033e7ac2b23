"""Description of a training for the policy that it yields."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from robometa.compute.parallel import processors
from robometa.policies.manifest import TrainingRecord
from robometa.training.loggers.logger import SAMPLING, UPDATE
from robometa.training.run_config import RunConfig
from robometa.training.run_folder import Progress


def record_of(
    config: RunConfig,
    progress: Progress,
    last: Mapping[str, float],
    timings: Iterable[Mapping[str, float]],
    best_every: int | None = None,
) -> TrainingRecord:
    """Describes a training as far as it is.

    Args:
        config: Configuration of the run.
        progress: Its counts.
        last: Last line of its metrics.
        timings: Times of its iterations.
        best_every: Iterations between the scores that the policy is the best by; None for another policy.
    """
    end = config.options["iterations"]
    return TrainingRecord(
        seed=config.seed,
        preset=config.preset,
        iterations=progress.iterations,
        environment_steps=progress.steps,
        wall_time_seconds=round(sum((row[SAMPLING] + row[UPDATE] for row in timings), 0.0), 1),
        versions=config.versions,
        processors=config.hardware.threads or processors(),
        last_returns={name: value for name, value in last.items() if name.startswith("return_")},
        begun_for=config.begun_for or (end if progress.iterations < end else None),
        best_every=best_every,
        torch_threads=config.hardware.torch_threads,
        piece=config.piece,
    )
