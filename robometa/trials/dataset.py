"""A dataset: trials of a policy on training tasks as safetensors shards, and `dataset.json` with their SHA-256."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors import torch as safetensors
from torch import Tensor

from robometa.data import Rollout
from robometa.errors import UserError
from robometa.storage.paths import is_own_file
from robometa.storage.shards import require_memory
from robometa.storage.table import Table
from robometa.suites.suite import Suite
from robometa.suites.task import Task
from robometa.trials.make import spaces_of
from robometa.trials.trial import MAX_REWARD

DATASET = "dataset.json"
FORMAT = 1
"""Version of the format of `dataset.json`."""
FLAGS = ("terminated", "truncated", "success", "diverged")
FIELDS = ("obs", "action", "reward", "next_obs", *FLAGS)
"""Tensors of a shard that make a rollout, `[trial, episode, time, ...]`; beside them `expert`, `task` and `episode`."""
MAX_BYTES, MAX_SHARDS = 1 << 26, 100_000
"""Largest `dataset.json`, bytes, and most shards that it lists."""
MAX_EPISODES = 100_000
"""Most episodes of a trial."""
SHARD_NAME = "trials-{:05d}.safetensors"
LARGEST = MAX_REWARD
"""Largest absolute value of a number."""


@dataclass(frozen=True)
class Description:
    """Content of `dataset.json`."""

    suite: str
    """Name or file of the suite."""
    suite_hash: str
    """Content hash of the suite."""
    policy: str
    """Name of the policy's learner."""
    policy_sha256: str
    """SHA-256 of the policy's tensors."""
    seed: int
    """Seed of the tasks, the resets and the noise."""
    drawn: bool
    """True if the tasks were drawn from the suite's distributions, False if they are its listed training tasks."""
    tasks: int
    worlds: int
    """Trials of each task."""
    episodes: int
    """Episodes of a trial."""
    horizon: int
    """Steps of an episode."""
    observation: int
    """Numbers of an observation, without what only an oracle sees."""
    action: int
    """Numbers of an action."""
    schedule: str
    """Name of the noise schedule."""
    noise: tuple[float, ...]
    """Share of noise in each episode."""
    noise_kind: str = "uniform"
    """Kind of noise."""

    def tasks_of(self, suite: Suite) -> list[Task]:
        """The tasks, in the order of their numbers."""
        return [self.task_of(suite, index) for index in range(self.tasks)]

    def task_of(self, suite: Suite, index: int) -> Task:
        """The task of a number."""
        return suite.drawn(self.seed, index) if self.drawn else suite.train[index]

    def text(self, shards: dict[str, str]) -> bytes:
        """Text of `dataset.json`, with the SHA-256 of every shard."""
        entries = {"format": FORMAT, **asdict(self), "shards": shards}
        digest = hashlib.sha256(json.dumps(entries).encode()).hexdigest()
        return (json.dumps(entries | {"digest": digest}, indent=2) + "\n").encode()


class Dataset:
    """A dataset on disk, its description read and checked."""

    def __init__(self, folder: Path) -> None:
        """Reads `dataset.json`.

        Raises:
            UserError: If there is none, or it was altered or cut short.
        """
        self.folder, self.path = folder, folder / DATASET
        if not is_own_file(folder, DATASET):
            raise UserError(f"{folder} is no dataset: it has no {DATASET}; `robometa collect` makes one")
        content = self._content()
        digest, self.sha256 = content.pop("digest", None), ""
        if digest != hashlib.sha256(json.dumps(content).encode()).hexdigest():
            raise UserError(f"{self.path} was altered or cut short: it does not fit the digest at its end")
        self.sha256 = digest
        table = Table(content, str(self.path))
        table.whole("format", FORMAT, FORMAT)
        self.about = _description(table)
        shards = table.table("shards")
        if not 1 <= len(shards.content) <= MAX_SHARDS:
            raise UserError(f"{self.path} is damaged: shards must be from 1 to {MAX_SHARDS}")
        self.shards = {name: shards.text(name) for name in shards.content}

    def require_suite(self, suite: Suite) -> None:
        """Checks that a suite is the dataset's, and has its tasks and its sizes.

        Raises:
            UserError: If it is another, was changed, or does not fit the description.
        """
        about = self.about
        if about.suite_hash != suite.content_hash:
            raise UserError(f"{self.folder} is of suite {about.suite}, not of {suite.name} as it is now")
        spaces, tasks = spaces_of(suite), about.tasks if about.drawn else len(suite.train)
        sizes = (suite.horizon, spaces.observation, spaces.action, tasks, suite.endless or not about.drawn)
        if sizes != (about.horizon, about.observation, about.action, about.tasks, True):
            raise UserError(f"{self.path} is damaged: its horizon, sizes and tasks are not those of suite {suite.name}")

    def verify(self) -> None:
        """Checks every shard.

        Raises:
            UserError: Naming the first that is missing or was changed.
        """
        for _ in self.read():
            pass

    def load(self) -> tuple[Rollout, Tensor, Tensor]:
        """Loads all trials, the expert's action at each step, and the task of each trial, and verifies every shard.

        Returns:
            A rollout with an axis for the trial and one for the episode, `[trial, episode, time, ...]`;
            `[trial, episode, time, action]`; `[trial]`

        Raises:
            UserError: Naming the first shard that is missing, was changed or does not fit.
        """
        require_memory(self.folder, sum(self._path(number).stat().st_size for number in range(len(self.shards))))
        parts = list(self.read())
        whole = {name: torch.cat([part[name] for part in parts]) for name in (*FIELDS, "expert", "task")}
        return Rollout(**{name: whole[name] for name in FIELDS}), whole["expert"], whole["task"]

    def read(self) -> Iterator[dict[str, Tensor]]:
        """Reads and verifies one shard after the other.

        Raises:
            UserError: If one is missing, was changed, or does not fit the description.
        """
        trials, wanted = 0, self.about.tasks * self.about.worlds
        for number in range(len(self.shards)):
            shard = self._shard(number)
            trials += len(shard["task"])
            yield shard
        if trials != wanted:
            raise UserError(f"{self.path} is damaged: its shards have {trials} trials, and must have {wanted}")

    def _path(self, number: int) -> Path:
        """The path of a shard.

        Raises:
            UserError: If there is none.
        """
        name = SHARD_NAME.format(number)
        if name not in self.shards or not is_own_file(self.folder, name):
            raise UserError(f"{self.folder} lacks the shard {name}")
        return self.folder / name

    def _shard(self, number: int) -> dict[str, Tensor]:
        """Reads one shard.

        Raises:
            UserError: If it is missing, was changed, or does not fit the description.
        """
        path = self._path(number)
        require_memory(path, path.stat().st_size)
        content = path.read_bytes()
        if hashlib.sha256(content).hexdigest() != self.shards[path.name]:
            raise UserError(f"{path} was changed: its SHA-256 is not the one in {DATASET}")
        try:
            tensors = safetensors.load(content)
        except (SafetensorError, KeyError) as error:  # a KeyError for a dtype that torch lacks
            raise UserError(f"{path} is damaged: {error}") from None
        if fault := self._fault(tensors):
            raise UserError(f"{path} is damaged: {fault}")
        return tensors

    def _fault(self, tensors: dict[str, Tensor]) -> str:
        """Describes the first fault of a shard's tensors; an empty string if they fit the description."""
        about, trials = self.about, max(1, max((len(one) for one in tensors.values() if one.dim()), default=0))
        each, sizes = (trials, about.episodes, about.horizon), {"obs": about.observation, "next_obs": about.observation}
        sizes |= {"action": about.action, "expert": about.action}
        names = (*FIELDS, "expert")
        shapes: dict[str, tuple[int, ...]] = {name: (*each, sizes[name]) if name in sizes else each for name in names}
        shapes |= {"task": each[:1], "episode": each[:2]}
        if tensors.keys() != shapes.keys():
            return f"its tensors must be {', '.join(sorted(shapes))}"
        for name, tensor in tensors.items():
            whole = torch.int64 if name in ("task", "episode") else torch.float32
            dtype = torch.bool if name in FLAGS else whole
            if tensor.dtype != dtype or tuple(tensor.shape) != shapes[name]:
                return f"{name} must be {dtype} of shape {shapes[name]}, not {tensor.dtype} of {tuple(tensor.shape)}"
        if fault := too_large(tensors):
            return fault
        if not bool((tensors["expert"].abs() <= 1).all()):
            return "expert must be from -1 to 1"
        if not 0 <= int(tensors["task"].min()) <= int(tensors["task"].max()) < about.tasks:
            return f"task must be from 0 to {about.tasks - 1}"
        return ""

    def _content(self) -> dict[str, Any]:
        try:
            if self.path.stat().st_size > MAX_BYTES:
                raise UserError(f"{self.path} is damaged: it has more than {MAX_BYTES} bytes")
            content = json.loads(self.path.read_bytes().decode())
        except (ValueError, RecursionError) as error:
            raise UserError(f"{self.path} is damaged: {str(error)[:200]}") from None
        return dict(Table(content, str(self.path)).content)


def _description(table: Table) -> Description:
    """Reads the entries of `dataset.json`."""
    drawn = table.content.get("drawn")
    if not isinstance(drawn, bool):
        raise UserError(f"{table.where} is damaged: drawn must be true or false")
    content: dict[str, Any] = {
        name: table.text(name) for name in ("suite", "suite_hash", "policy", "policy_sha256", "schedule")
    }
    counts = ("tasks", "worlds", "episodes", "horizon", "observation", "action")
    content |= {"noise_kind": table.text("noise_kind")} if "noise_kind" in table.content else {}
    content |= {"seed": table.whole("seed"), **{name: table.whole(name, 1) for name in counts}}
    noise = tuple(
        share for share in table.numbers_or_none("noise", MAX_EPISODES) if share is not None and 0 <= share <= 1
    )
    if len(noise) != content["episodes"]:
        raise UserError(f"{table.where} is damaged: noise must be a share from 0 to 1 for each of the episodes")
    return Description(**content, drawn=drawn, noise=noise)


def too_large(shard: dict[str, Tensor]) -> str:
    """Describes the first number of a shard that is too large to learn from, or not finite; empty if there is none."""
    for name, tensor in shard.items():
        if tensor.is_floating_point() and not bool((tensor.abs() <= LARGEST).all()):
            return f"{name} must hold finite numbers of at most {LARGEST:g}"
    return ""
