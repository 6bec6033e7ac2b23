"""Makes the collector that the user asks for."""

from __future__ import annotations

from robometa.compute.hardware import COLLECTORS
from robometa.compute.parallel import processors
from robometa.errors import UserError, unknown
from robometa.learners.protocol import Learner
from robometa.trials.collectors.collector import Collector, Job
from robometa.trials.collectors.here import Here
from robometa.trials.collectors.processes import Processes


def collector_for(job: Job, learner: Learner, collect: str) -> Collector:
    """Makes a collector.

    Args:
        job: The training.
        learner: The learner itself, whose present state every batch is computed with.
        collect: `here`, `processes` (one for each processor) or `processes:N`.

    Raises:
        UserError: If there is no such collector, or it does not fit the hardware.
    """
    name, _, count = collect.partition(":")
    if name == "here" and not count:
        return Here(job, learner)
    if name == "processes":
        return Processes(job, learner, _count(collect, count))
    raise UserError(unknown("collect", collect, COLLECTORS))


def as_before(collect: str) -> str:
    """Returns who collects when a run goes on, perhaps on another machine: a process for each processor at most.

    Raises:
        UserError: If there is no such collector.
    """
    name, _, count = collect.partition(":")
    return f"processes:{min(_count(collect, count), processors())}" if name == "processes" else collect


def _count(collect: str, count: str) -> int:
    """Reads a number of processes; one for each processor if there is none."""
    if not count and not collect.endswith(":"):
        return processors()
    if not (count.isascii() and count.isdecimal() and 1 <= int(count) <= MAX_PROCESSES):
        raise UserError(f"collect must be processes:N with N from 1 to {MAX_PROCESSES}, not {collect}")
    return int(count)


MAX_PROCESSES = 1024
"""Most processes that collect on one machine."""
