"""A dataset: trials of a policy on training tasks as safetensors shards, and `dataset.json` with their SHA-256."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors import torch as safetensors
from torch import Tensor

from robometa.data import Rollout
from robometa.errors import UserError
from robometa.storage.paths import is_own_file
from robometa.storage.table import Table
from robometa.suites.suite import Suite
from robometa.suites.task import Task

DATASET = "dataset.json"
FORMAT = 1
"""Version of the format of `dataset.json`."""
FIELDS = ("obs", "action", "reward", "next_obs", "terminated", "truncated", "success", "diverged")
"""Tensors of a shard that make a rollout, `[trial, episode, time, ...]`; beside them `expert`, `task` and `episode`."""
MAX_BYTES, MAX_SHARDS = 1 << 26, 100_000
"""Largest `dataset.json`, bytes, and most shards that it lists."""
SHARD_NAME = "trials-{:05d}.safetensors"


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
        return [suite.drawn(self.seed, index) for index in range(self.tasks)] if self.drawn else list(suite.train)

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
        """Checks that a suite is the dataset's.

        Raises:
            UserError: If it is another, or was changed.
        """
        if self.about.suite_hash != suite.content_hash:
            raise UserError(f"{self.folder} is of suite {self.about.suite}, not of {suite.name} as it is now")

    def verify(self) -> None:
        """Checks every shard.

        Raises:
            UserError: Naming the first that is missing or was changed.
        """
        for number in range(len(self.shards)):
            self.shard(number)

    def load(self) -> tuple[Rollout, Tensor, Tensor]:
        """Loads all trials, the expert's action at each step, and the task of each trial, and verifies every shard.

        Returns:
            A rollout with an axis for the trial and one for the episode, `[trial, episode, time, ...]`;
            `[trial, episode, time, action]`; `[trial]`

        Raises:
            UserError: Naming the first shard that is missing, was changed or does not fit.
        """
        import torch

        parts = [self.shard(number) for number in range(len(self.shards))]
        whole = {name: torch.cat([part[name] for part in parts]) for name in (*FIELDS, "expert", "task")}
        return Rollout(**{name: whole[name] for name in FIELDS}), whole["expert"], whole["task"]

    def shard(self, number: int) -> dict[str, Tensor]:
        """Loads one shard.

        Raises:
            UserError: If it is missing, was changed, or does not fit the description.
        """
        name = SHARD_NAME.format(number)
        if name not in self.shards or not is_own_file(self.folder, name):
            raise UserError(f"{self.folder} lacks the shard {name}")
        content = (self.folder / name).read_bytes()
        if hashlib.sha256(content).hexdigest() != self.shards[name]:
            raise UserError(f"{self.folder / name} was changed: its SHA-256 is not the one in {DATASET}")
        try:
            tensors = safetensors.load(content)
        except SafetensorError as error:
            raise UserError(f"{self.folder / name} is damaged: {error}") from None
        about = self.about
        each, numbers = (about.episodes, about.horizon), {"obs": about.observation, "next_obs": about.observation}
        numbers |= {"action": about.action, "expert": about.action}
        for key in (*FIELDS, "expert"):
            wanted = (*each, numbers[key]) if key in numbers else each
            if key not in tensors or tuple(tensors[key].shape[1:]) != wanted:
                raise UserError(f"{self.folder / name} is damaged: {key} must be of shape [trial, {str(wanted)[1:-1]}]")
        if "task" not in tensors:
            raise UserError(f"{self.folder / name} is damaged: it lacks task")
        return tensors

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
    noise = [share for share in table.numbers_or_none("noise", 100_000) if share is not None]
    drawn = table.content.get("drawn")
    if not isinstance(drawn, bool):
        raise UserError(f"{table.where} is damaged: drawn must be true or false")
    content: dict[str, Any] = {
        name: table.text(name) for name in ("suite", "suite_hash", "policy", "policy_sha256", "schedule")
    }
    counts = ("tasks", "worlds", "episodes", "horizon", "observation", "action")
    content |= {"noise_kind": table.text("noise_kind")} if "noise_kind" in table.content else {}
    content |= {"seed": table.whole("seed"), **{name: table.whole(name, 1) for name in counts}}
    return Description(**content, drawn=drawn, noise=tuple(noise))
