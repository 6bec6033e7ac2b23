"""Dumps of simulations that blew up in a training, and their replay."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import mujoco
import torch

from robometa import suites
from robometa.errors import UserError
from robometa.escape import word
from robometa.registry.given import given
from robometa.sim.engine import Divergence
from robometa.sim.postmortem import Repetition, repeat_step
from robometa.storage import sealed_folder
from robometa.storage.paths import checked
from robometa.storage.table import Table, is_finite
from robometa.suites.load import suite_reference
from robometa.suites.suite import Suite
from robometa.suites.task import Task
from robometa.training.run_folder import RunFolder

DUMPS_FOLDER, DUMP_KIND = "divergences", "divergence"
"""Folder below a run's, and the kind in a dump's manifest."""
TENSORS = ("physics", "sensors", "action")
"""Tensors of a dump."""
MAX_DUMPS = 5
"""Dumps of a run: the first few show what there is to see."""


class Dumps:
    """Writes the first few simulations that blow up into a run's folder."""

    def __init__(
        self,
        run: RunFolder,
        suite: Suite,
        tasks: Sequence[Task],
        drawn_from: int | None,
        iteration: Callable[[], int],
        say: Callable[[str], None],
    ) -> None:
        """Dumps of a run.

        Args:
            run: Folder of the run.
            suite: Suite that it trains on.
            tasks: Tasks of the suite that it trains on.
            drawn_from: Seed that these were drawn from; None if they are the listed ones.
            iteration: Returns the current iteration, from 0.
            say: Passes a message to the user.
        """
        self._run, self.suite, self._iteration, self._say = run, suite, iteration, say
        self.folder = run.path / DUMPS_FOLDER
        self._tasks, self._drawn_from = tasks, drawn_from
        self._last, self._number = -1, 0

    def __call__(self, divergence: Divergence) -> None:
        """Writes a dump, if there are not enough yet."""
        task, iteration = self._tasks.index(divergence.task), self._iteration()
        self._number = self._number + 1 if self._last == iteration else 1
        self._last = iteration
        # A resumed run meets the same divergences again, and writes them under the same names.
        folder = self.folder / f"{iteration:07d}-{self._number}"
        if folder.exists() or (self.folder.exists() and len(list(self.folder.glob("[0-9]*"))) >= MAX_DUMPS):
            return
        description = {
            "kind": DUMP_KIND,
            "suite": suite_reference(self.suite),
            "suite_hash": self.suite.content_hash,
            "task": task,
            "drawn_from": self._drawn_from,
            "world": divergence.world,
            "step": divergence.step,
            "iteration": iteration,
            "mujoco": mujoco.__version__,
        }
        if divergence.in_force is not None:
            description["parameters"] = {name: list(value) for name, value in divergence.in_force.parameters}
        tensors = {name: getattr(divergence, name) for name in TENSORS}
        try:
            with self._run.opened() as run, run.subfolder(DUMPS_FOLDER, create=True) as dumps:
                sealed_folder.save(folder, tensors, description, within=dumps)
        except OSError as error:
            self._say(f"iteration {iteration + 1}: a simulation diverged, but {folder} cannot be written ({error})")
            return
        self._say(
            f"iteration {iteration + 1}: a simulation diverged; it is charged for that. "
            f"What blew up: robometa replay {word(folder)}{given()}"
        )


@dataclass(frozen=True)
class DumpRecord:
    """Description of a simulation that blew up, as its manifest holds it."""

    suite: str
    suite_hash: str
    task: int
    """Index of the task."""
    drawn_from: int | None
    """Seed that the tasks were drawn from; None if they are the listed ones."""
    world: int
    step: int
    iteration: int
    """From 0."""
    mujoco: str
    """Version."""
    parameters: Mapping[str, Any] | None = None
    """Hidden numbers at the step, by name, of a task that changes along a trial."""

    @classmethod
    def read(cls, table: Table) -> DumpRecord:
        """Reads it from a manifest.

        Raises:
            UserError: Naming the entry that is missing, of another kind, or out of its range.
        """
        return cls(
            suite=table.text("suite"),
            suite_hash=table.text("suite_hash"),
            task=table.whole("task"),
            drawn_from=None if table.content.get("drawn_from", 0) is None else table.whole("drawn_from"),
            world=table.whole("world"),
            step=table.whole("step"),
            iteration=table.whole("iteration"),
            mujoco=table.text("mujoco"),
            parameters=table.content.get("parameters"),
        )


@dataclass(frozen=True)
class Replay:
    """A dump, and the result of repeating its step."""

    suite: Suite
    record: DumpRecord
    divergence: Divergence
    finding: Repetition

    def lines(self) -> list[str]:
        """Describes both in words."""
        record, task = self.record, self.divergence.task
        kind = "training" if record.drawn_from is None else "drawn"
        again = "it diverges again" if self.finding.again else "it does not diverge here"
        if record.mujoco != mujoco.__version__:
            again += f" (MuJoCo {mujoco.__version__} here, {record.mujoco} there)"
        return [
            f"{self.suite.name}, {kind} task {record.task} ({task.describe()}), world {record.world}: "
            f"control step {record.step + 1} of an episode in iteration {record.iteration + 1}",
            f"done again: {again}",
            *(self.finding.blown_up or ["nothing is beyond the limit at any physics step"]),
        ]


def replay(dump: str | Path) -> Replay:
    """Repeats the last step of a simulation that blew up, and finds the number that was beyond the limit first.

    Raises:
        UserError: If it is no whole dump, or its suite has changed since.
    """
    folder = checked(dump)
    tensors, manifest = sealed_folder.load(folder, DUMP_KIND)
    record = DumpRecord.read(Table(manifest, str(folder / sealed_folder.MANIFEST)))
    suite = suites.load(record.suite)
    if suite.content_hash != record.suite_hash:
        raise UserError(f"suite {suite.name} is no longer the one of {folder}")
    task = _task(suite, record, folder)
    rows = [one for one in tensors.values() if one.dim() == 1 and one.is_floating_point()]
    if tensors.keys() != set(TENSORS) or len(rows) < len(tensors) or tensors["physics"].dtype != torch.float64:
        raise UserError(f"{folder / sealed_folder.TENSORS} must hold a row of numbers each of {', '.join(TENSORS)}")
    try:
        physics, sensors, action = (tensors[name] for name in TENSORS)
        divergence = Divergence(task, record.world, record.step, physics, sensors, action)
        return Replay(suite, record, divergence, repeat_step(suite, divergence))
    except (IndexError, TypeError, ValueError, RuntimeError) as error:
        raise UserError(f"{folder} is damaged: {error!r}") from None


def _task(suite: Suite, record: DumpRecord, folder: Path) -> Task:
    """The task that a simulation was of.

    Raises:
        UserError: If the suite has no such task.
    """
    if record.drawn_from is not None and suite.endless:
        task = suite.drawn(record.drawn_from, record.task)
    elif record.drawn_from is not None or record.task >= len(suite.train):
        raise UserError(f"{folder} is damaged: {suite.name} has no such training task as {record.task}")
    else:
        task = suite.train[record.task]
    return task if task.change is None else _at_the_step(task, record, folder)


def _at_the_step(task: Task, record: DumpRecord, folder: Path) -> Task:
    """A task that changes along a trial, as it was at the step.

    Raises:
        UserError: If the numbers are not those of such a task.
    """
    known, sizes = record.parameters, {name: len(value) for name, value in task.parameters}
    if (
        not isinstance(known, dict)
        or any(not isinstance(value, list) or not all(map(is_finite, value)) for value in known.values())
        or {name: len(value) for name, value in known.items()} != sizes
    ):
        raise UserError(f"{folder} is damaged: parameters must hold the numbers of {', '.join(sizes)}")
    return replace(task, parameters=tuple((name, tuple(map(float, known[name]))) for name in sizes), change=None)
