"""Description of a training for the policy that it yields."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import torch

from robometa.compute.parallel import processors
from robometa.policies.manifest import Start, TrainingRecord
from robometa.rl import gradient_samples as counted
from robometa.storage.paths import path_without_machine
from robometa.training.loggers.logger import PROCESSOR, SAMPLING, UPDATE
from robometa.training.run_config import RunConfig
from robometa.training.run_folder import Progress


def record_of(
    config: RunConfig,
    progress: Progress,
    rows: Sequence[Mapping[str, float]],
    timings: Iterable[Mapping[str, float]],
    best_every: int | None = None,
) -> TrainingRecord:
    """Describes a training as far as it is.

    Args:
        config: Configuration of the run.
        progress: Its counts.
        rows: Its metrics.
        timings: Times of its iterations.
        best_every: Iterations between the scores that the policy is the best by; None for another policy.
    """
    end, times = config.options["iterations"], list(timings)
    last = rows[-1] if rows else {}
    processor = sum(row.get(PROCESSOR, 0.0) for row in times)
    return TrainingRecord(
        seed=config.seed,
        preset=config.preset,
        iterations=progress.iterations,
        environment_steps=progress.steps,
        wall_time_seconds=round(sum((row[SAMPLING] + row[UPDATE] for row in times), 0.0), 1),
        versions=config.versions,
        processors=config.hardware.threads or processors(),
        gpu=_gpu(config.hardware.device),
        last_returns={name: value for name, value in last.items() if name.startswith("return_")},
        begun_for=config.begun_for or (end if progress.iterations < end else None),
        best_every=best_every,
        torch_threads=config.hardware.torch_threads,
        piece=config.piece,
        core_minutes=round(processor / 60, 1) or None,
        gradient_samples=gradient_samples(rows),
        started_from=_started_from(config),
    )


def _started_from(config: RunConfig) -> Start | None:
    """The policy that a run started from, without this machine's folders."""
    begun = config.started_from
    return None if begun is None else replace(begun, policy=path_without_machine(Path(begun.policy)))


def gradient_samples(rows: Sequence[Mapping[str, float]]) -> int | None:
    """Gradient samples of a training, by its metrics; None if they were not recorded.

    An update that was skipped has no metrics of its own, and used nothing.
    """
    skipped = [0.0, *(row.get("skipped", 0.0) for row in rows)]
    learned = [row for row, before, after in zip(rows, skipped, skipped[1:], strict=False) if after == before]
    known = [row[counted.NAME] for row in learned if counted.NAME in row]
    return int(sum(known)) if known and len(known) == len(learned) else None


def _gpu(device: str) -> str | None:
    """Name of the GPU that a device is; None for a processor."""
    return torch.cuda.get_device_name(device) if torch.device(device).type == "cuda" else None
