"""Makes the collector that the user asks for."""

from __future__ import annotations

import re

from robometa.compute.hardware import EVALUATORS, collector_named
from robometa.compute.parallel import processors
from robometa.errors import UserError
from robometa.learners.protocol import Learner
from robometa.trials.collectors.auto import Auto
from robometa.trials.collectors.collector import Collector, Job
from robometa.trials.collectors.here import Here
from robometa.trials.collectors.processes import Processes
from robometa.trials.collectors.ray_cluster import RayCluster


def collector_for(job: Job, learner: Learner, collect: str) -> Collector:
    """Makes a collector.

    Args:
        job: The training.
        learner: The learner; each batch is computed with its present state.
        collect: `here`, `auto` (here or by processes, as is faster), `processes` (one for each processor),
            `processes:N`, `ray` (a cluster of this machine), `ray://HOST:PORT` (a cluster's client server) or
            `ray:HOST:PORT` (a cluster that this machine is part of).

    Raises:
        UserError: If there is no such collector, or it does not fit the hardware.
    """
    name = collector_named(collect)
    if name == "here":
        return Here(job, learner)
    if name == "auto":
        return Auto(job, learner)
    if name == "processes":
        return Processes(job, learner, _count(collect))
    return RayCluster(job, learner, address_of(collect))


def as_before(collect: str) -> str:
    """Returns the collector of a resumed run, perhaps on another machine: a process for each processor at most.

    Raises:
        UserError: If there is no such collector, or it is a cluster that is not this machine's own.
    """
    name = collector_named(collect)
    if collect.startswith(
        "ray:"
    ):  # a run's file may be a stranger's, and whoever computes for this process can run code
        raise UserError(f"the run was collected by the cluster {collect}: give --collect {collect}, or --collect here")
    return f"processes:{min(_count(collect), processors())}" if name == "processes" else collect


def processes_of(collect: str) -> int:
    """Returns the number of processes that evaluate; 0 for this process.

    Raises:
        UserError: If there is no such collector, or it collects trainings only.
    """
    return _count(collect) if collector_named(collect, EVALUATORS) == "processes" else 0


def _count(collect: str) -> int:
    """Reads a number of processes; one for each processor if there is none."""
    _, colon, count = collect.partition(":")
    if not colon:
        return processors()
    if not (count.isascii() and count.isdecimal() and 1 <= int(count) <= MAX_PROCESSES):
        raise UserError(f"collect must be processes:N with N from 1 to {MAX_PROCESSES}, not {collect}")
    return int(count)


def address_of(cluster: str, name: str = "collect", others: str = "") -> str | None:
    """Returns the address of a running cluster; None for one of this machine.

    Args:
        cluster: `ray`, `ray:HOST:PORT` or `ray://HOST:PORT`.
        name: Name of the setting, for the message.
        others: What the setting may be besides, for the message.

    Raises:
        UserError: If it is none.
    """
    if cluster == "ray":
        return None
    if not ADDRESS.fullmatch(cluster):
        raise UserError(f"{name} must be {others}ray, ray:HOST:PORT or ray://HOST:PORT, not {cluster}")
    return cluster if cluster.startswith("ray://") else cluster.removeprefix("ray:")


ADDRESS = re.compile(r"ray:(//)?([\w.-]+|\[[0-9a-fA-F:.]+\]):\d{1,5}", re.ASCII)
"""Form of a running cluster's address."""
MAX_PROCESSES = 1024
"""Most processes that collect on one machine."""
