"""Collects a dataset: trials of a policy on training tasks, with noise that shrinks, written whole or not at all."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import torch
from safetensors import torch as safetensors

from robometa import registry, suites
from robometa.compute.hardware import Hardware
from robometa.errors import UserError, unknown
from robometa.escape import say
from robometa.learners.protocol import Learner
from robometa.noise import Noise
from robometa.progress import progress
from robometa.sim.oracle import HiddenNumbers
from robometa.storage import atomic
from robometa.storage.open_folder import opened
from robometa.storage.paths import checked, require_writable, unwritable
from robometa.storage.table import MAX_WHOLE
from robometa.suites.load import suite_reference
from robometa.suites.suite import Suite
from robometa.suites.task import Task
from robometa.training.load import newest
from robometa.trials import make
from robometa.trials.dataset import (
    DATASET,
    MAX_EPISODES,
    MAX_SHARDS,
    SHARD_NAME,
    Dataset,
    Description,
    too_large,
)
from robometa.trials.demonstrations import NOISES, OTHER_TASKS, SCHEDULES, UNIFORM, demonstrate, shares_of_noise
from robometa.trials.pieces import Piece, cut
from robometa.trials.workers.pool import Pool

SHARD_TASKS = 8
"""Tasks of a shard; they are computed together."""


@dataclass(frozen=True)
class _Shards:
    """Work of a process: the shards of a dataset, in safetensors."""

    policy: str
    learner: str | None
    suite: Suite
    about: Description
    descriptors: ClassVar[tuple[int, ...]] = ()

    def begun(self) -> Callable[[Piece], bytes]:
        """Loads the policy, and returns the function that computes a shard."""
        learner, _, manifest = newest(self.policy).load(self.suite, "cpu", self.learner, "collect")
        if manifest.tensors_sha256 != self.about.policy_sha256:
            raise UserError(f"{self.policy} has changed meanwhile: collect again")
        return lambda piece: self.computed(learner, piece)

    def computed(self, learner: Learner, piece: Piece) -> bytes:
        """Computes a shard."""
        about = self.about
        all_tasks = about.tasks_of(self.suite)
        tasks = all_tasks[piece.first : piece.first + piece.tasks]
        others = None
        if about.noise_kind == OTHER_TASKS:
            hidden = HiddenNumbers(self.suite)
            others = torch.stack([hidden(task) for task in all_tasks])
        noise = Noise(about.seed, ("dataset",), piece.tasks, about.worlds, piece.first)
        engine = make.engine_for(learner, self.suite, piece.tasks, about.worlds, Hardware(threads=1))
        with closing(engine):
            shard = demonstrate(engine, learner, tasks, about.noise, noise, about.observation, others)
        if fault := too_large(shard):
            raise UserError(f"these trials are no dataset: {fault}; the suite's rewards or observations are beyond it")
        return safetensors.save(shard)


def collect_dataset(
    suite: str | Path | Suite,
    policy: str | Path,
    out: str | Path,
    *,
    episodes: int = 10,
    tasks: int | None = None,
    worlds: int = 1,
    noise_schedule: str = "linear",
    noise: str = UNIFORM,
    seed: int = 0,
    learner: str | None = None,
    processes: int = 1,
) -> Dataset:
    """Rolls a policy out on training tasks, and writes a dataset that offline learners train from.

    Args:
        suite: Suite to act on: its name, its file, or itself.
        policy: Folder of the policy, typically an oracle's, or of a run: its newest.
        out: Folder to write, which must not be there.
        episodes: Episodes of a trial.
        tasks: Training tasks: drawn from the suite's distributions, which must have some; the listed ones if None.
        worlds: Trials of each task.
        noise_schedule: Share of noise over the episodes: `linear` or `cosine`, from 1 to 0, `none`, or `full`.
        noise: `uniform` for random actions, or `other-tasks` for the policy's actions on other tasks of the dataset;
            the policy must be an oracle's, which observes them.
        seed: Seed of tasks, resets and noise.
        learner: `FILE.py:CLASS`, for a policy of your own learner.
        processes: Processes that compute; the bytes do not depend on it.

    Returns:
        The dataset.

    Raises:
        UserError: If an argument does not fit, or `out` is there already.
    """
    suite, folder = suite if isinstance(suite, Suite) else suites.load(suite), checked(out)
    if noise_schedule not in SCHEDULES:
        raise UserError(unknown("noise schedule", noise_schedule, SCHEDULES))
    if noise not in NOISES:
        raise UserError(unknown("noise", noise, NOISES))
    _require_readable(seed=seed, episodes=episodes, tasks=tasks, worlds=worlds, processes=processes)
    if os.path.lexists(folder):
        raise UserError(f"{folder} exists already: choose another --out")
    require_writable(folder)
    if tasks is not None and not suite.endless:
        raise UserError(f"suite {suite.name} has no distributions to draw {tasks} tasks from: leave out tasks")
    acting, _, manifest = newest(policy).load(suite, "cpu", learner, "collect")
    if noise == OTHER_TASKS and not acting.sees_parameters:
        raise UserError(
            f"noise {OTHER_TASKS} needs an oracle's policy: {policy} is {registry.label(manifest.learner)}'s"
        )
    spaces = make.spaces_of(suite)
    about = Description(
        suite=suite_reference(suite),
        suite_hash=suite.content_hash,
        policy=registry.label(manifest.learner),
        policy_sha256=manifest.tensors_sha256,
        seed=seed,
        drawn=tasks is not None,
        tasks=len(suite.train) if tasks is None else tasks,
        worlds=worlds,
        episodes=episodes,
        horizon=suite.horizon,
        observation=spaces.observation,
        action=spaces.action,
        schedule=noise_schedule,
        noise=shares_of_noise(noise_schedule, episodes),
        noise_kind=noise,
    )
    _require_no_held_out(suite, about.tasks_of(suite))
    work = _Shards(str(policy), learner, suite, about)
    pieces = cut(about.tasks, min(SHARD_TASKS, about.tasks))
    _write(folder, about, len(pieces), lambda: _computed(work, acting, pieces, processes))
    return Dataset(folder)


def _require_readable(**numbers: int | None) -> None:
    """Checks that a dataset of such numbers can be read again.

    Raises:
        UserError: If a number is out of its range.
    """
    highest = {"episodes": MAX_EPISODES, "tasks": MAX_SHARDS * SHARD_TASKS}
    for name, number in numbers.items():
        low, high = int(name != "seed"), highest.get(name, MAX_WHOLE)
        if number is not None and not low <= number <= high:
            raise UserError(f"{name} must be from {low} to {high}, not {number}")


def _require_no_held_out(suite: Suite, tasks: list[Task]) -> None:
    """Checks that no task is one of those that learners are measured on, unless the suite has no others.

    Raises:
        UserError: If one is.
    """
    if suite.finite:
        return
    held_out = {(task.objective, task.parameters, task.ground) for task in suite.test}
    for task in tasks:
        if (task.objective, task.parameters, task.ground) in held_out:
            raise UserError(f"{task.describe()} is a held-out task of suite {suite.name}: a dataset has none")


def _computed(work: _Shards, learner: Learner, pieces: list[Piece], processes: int) -> Iterator[tuple[int, bytes]]:
    """Computes the shards, in any order: their numbers, and their content."""
    if processes == 1:
        for number, piece in enumerate(pieces):
            yield number, work.computed(learner, piece)
        return
    with closing(Pool(work, min(processes, len(pieces)))) as pool:
        for done in pool.run(pieces):
            yield done
            for remark in pool.remarks():
                say(remark, error=True)


def _write(folder: Path, about: Description, count: int, shards: Callable[[], Iterator[tuple[int, bytes]]]) -> None:
    """Writes the dataset aside, and renames it when it is whole.

    Raises:
        UserError: If the folder is there, or cannot be written.
    """
    digests: dict[str, str] = {}
    try:
        with (
            opened(folder.parent, create=True) as parent,
            atomic.aside(parent, folder.name) as aside,
            progress() as bar,
        ):
            task = bar.add_task("collecting shards", total=count)
            for number, content in shards():
                name = SHARD_NAME.format(number)
                digests[name] = atomic.write(aside, name, content)
                bar.advance(task)
            atomic.write(aside, DATASET, about.text(dict(sorted(digests.items()))))
            atomic.publish(parent, aside, folder.name)
    except FileExistsError:
        raise UserError(f"{folder} exists already: choose another --out") from None
    except OSError as error:
        raise unwritable(folder, error) from None
