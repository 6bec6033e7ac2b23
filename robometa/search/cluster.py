"""Processes of this machine, or a Ray cluster whose machines share the folder, that train a search's trials."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Protocol

import torch

from robometa.compute import parallel
from robometa.errors import Stopped, TrainingError, UserError
from robometa.registry import user_objective
from robometa.storage.open_folder import OpenFolder
from robometa.storage.versions import versions
from robometa.trials.collectors.choose import address_of
from robometa.trials.collectors.ray_session import Session, apart_from, result_of
from robometa.trials.workers import patience
from robometa.trials.workers.messages import Work
from robometa.trials.workers.pool import Pool

LOOK_SECONDS = 120.0
"""Time that a machine has to say what it sees, s."""
ALIKE = ("python", "robometa", "torch", "mujoco", "gymnasium", "numpy", "sources")
"""Versions that a machine must share with this one."""
SECONDS_OF_PATIENCE = 7 * 86400.0
"""Least time after which a process of this machine counts as hanging, s; a training's duration is not known."""
POLL_SECONDS = 0.2
"""Time between two looks at the tasks, s; a stop signal that comes meanwhile is heard at once."""


def carriers_of(work: Work, jobs: int | str, folder: OpenFolder) -> Carriers:
    """Makes the processes of this machine, or the cluster, that carry out a search's orders.

    Raises:
        UserError: If the cluster cannot be used.
    """
    return Cluster(work, jobs, folder) if isinstance(jobs, str) else Pool(work, jobs, SECONDS_OF_PATIENCE)


class Carriers(Protocol):
    """Processes or machines that carry out orders."""

    def run(self, orders: Sequence[Any]) -> Iterator[tuple[int, Any]]:
        """Carries out orders, and yields the place of each with its result as they end."""

    def remarks(self) -> list[str]:
        """Returns what happened since the last call."""

    def close(self) -> None:
        """Ends it."""


class Cluster:
    """Carries out orders by tasks of a Ray cluster, in the place of a pool of processes.

    A task that is lost with its process or machine goes elsewhere, and goes on from its run's last checkpoint.
    """

    def __init__(self, work: Work, jobs: str, folder: OpenFolder) -> None:
        """Starts a cluster of this machine, or connects to a running one, and looks which machines can train.

        Args:
            work: The work.
            jobs: `ray` for a cluster of this machine, `ray:HOST:PORT` or `ray://HOST:PORT` for a running one.
            folder: Folder of the search, which the machines must share.

        Raises:
            UserError: If Ray cannot be used, or no machine shares the folder and has the same versions.
        """
        self._session = Session(address_of(jobs), 0)
        self._ray, self._remarks, self._pending = self._session.ray, list[str](), dict[Any, int]()
        try:
            self._refused = self._unfit(folder)
            self._name, self._work = secrets.token_hex(16), self._ray.put(work)
            self._task = self._ray.remote(num_cpus=1, max_retries=patience.MAX_LOSSES)(carried_out)
        except BaseException:
            self.close()
            raise

    def run(self, orders: Sequence[Any]) -> Iterator[tuple[int, Any]]:
        """Carries out orders, and yields the place of each with its result as they end.

        Raises:
            TrainingError: If a task is lost again and again.
            Exception: The error that a machine met, if it would come again.
        """
        where = apart_from(self._refused)
        for place, order in enumerate(orders):
            task = self._task.options(label_selector=where).remote(self._name, self._work, order)
            self._pending[task] = place
        while self._pending:
            ready = self._ready()
            if not ready:
                time.sleep(POLL_SECONDS)
            for task in ready:
                yield self._pending.pop(task), self._answer(task)

    def remarks(self) -> list[str]:
        """Returns what happened to machines since the last call."""
        remarks, self._remarks = self._remarks, []
        return remarks

    def close(self) -> None:
        """Gives up what is not done, and ends the connection, and the cluster if it is of this search."""
        for task in self._pending:
            with suppress(Exception):
                self._ray.cancel(task, force=True)
        self._pending.clear()
        self._session.close()

    def _ready(self) -> list[Any]:
        """Returns the tasks that have ended.

        Raises:
            Stopped: If a stop signal comes; Ray wraps what its handler raises.
        """
        try:
            return self._ray.wait([*self._pending], num_returns=len(self._pending), timeout=0)[0]
        except SystemError as error:
            raise (error.__cause__ if isinstance(error.__cause__, Stopped) else error) from None

    def _answer(self, task: Any) -> Any:
        """Returns the result of a task.

        Raises:
            TrainingError: If it was lost too often, or the cluster failed.
            Exception: The error that it met, which would come again.
        """
        try:
            return result_of(self._ray, task)
        except self._ray.exceptions.RayError as error:
            raise TrainingError(
                f"a trial was lost in the cluster again and again ({type(error).__name__}). Is there memory enough?"
            ) from None

    def _unfit(self, folder: OpenFolder) -> list[str]:
        """Ray's names of the machines that do not see the folder, or have other versions.

        Raises:
            UserError: If no machine is left.
        """
        token = secrets.token_hex(16)
        mark = f".shared-{token}"
        nodes = {
            node["NodeID"]: node for node in self._ray.nodes() if node["Alive"] and node["Resources"].get("CPU", 0)
        }
        look = self._ray.remote(num_cpus=0, max_retries=0)(seen)
        with folder.file(mark, "xb") as file:
            file.write(token.encode())
        try:
            asked = {
                name: look.options(label_selector={"ray.io/node-id": name}).remote(str(folder.path / mark))
                for name in nodes
            }
            why = {name: self._why(task, token, folder.path) for name, task in asked.items()}
        finally:
            folder.remove(mark)
        unfit = sorted(name for name, reason in why.items() if reason)
        lines = [f"machine {nodes[name]['NodeManagerAddress']} trains nothing: {why[name]}" for name in unfit]
        if len(unfit) == len(nodes):
            raise UserError(f"the cluster has no machine to train on: {'; '.join(lines) or 'none is there'}")
        self._remarks += lines
        return unfit

    def _why(self, task: Any, token: str, folder: Path) -> str:
        """Returns why a machine cannot train; empty if it can."""
        try:
            read, there = self._ray.get(task, timeout=LOOK_SECONDS)
        except self._ray.exceptions.RayError as error:
            return f"it does not answer ({type(error).__name__})"
        if read != token:
            return f"it does not share {folder}, in which the trials are trained"
        known = versions()
        return ", ".join(f"{name} {there[name]}, here {known[name]}" for name in ALIKE if there[name] != known[name])


class _Begun:
    """The work of a process, kept between its tasks."""

    name = ""
    carry_out: Callable[[Any], Any]


def carried_out(name: str, work: Work, order: Any) -> Any:
    """Carries out an order in a process of the cluster.

    Args:
        name: Name of the work, under which the process keeps what it has begun.
        work: The work.
        order: The order.
    """
    if _Begun.name != name:
        parallel.use_threads(1)
        torch.set_num_threads(1)
        user_objective.inherit()
        _Begun.name, _Begun.carry_out = name, work.begun()
    return _Begun.carry_out(order)


def seen(path: str) -> tuple[str, dict[str, str]]:
    """Content of a file on this machine, empty if it is not here, and the versions of packages."""
    try:
        content = Path(path).read_text(encoding="utf-8")
    except OSError:
        content = ""
    return content, versions()
