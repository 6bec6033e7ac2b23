"""The manifest of a policy, read by kind and range."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

from robometa.data import Spaces
from robometa.errors import UserError
from robometa.storage.sealed_folder import MANIFEST, TENSORS
from robometa.storage.table import MAX_ENTRIES, Table

SUITE = "suite"
"""Folder of a user's own suite, with its robot's model, inside a policy's."""
MAX_SPACE = 10**6
"""Most numbers of an observation or an action."""
MAX_HIDDEN = 10_000
"""Most hidden numbers that an oracle is told."""
MAX_COUNT = 10**17
"""Most iterations, environment steps and seconds; a merged policy may have twice as many, and be merged again."""


@dataclass(frozen=True)
class MergedPart:
    """One of the two policies that a merged one is the average of."""

    policy: str
    """Its folder then."""
    sha256: str
    """Hash of its tensors."""
    weight: float
    suite: str
    seed: int

    @classmethod
    def read(cls, table: Table) -> MergedPart:
        """Reads it from a manifest."""
        return cls(
            policy=table.text("policy"),
            sha256=table.text("sha256"),
            weight=table.number("weight", 0, 1),
            suite=table.text("suite"),
            seed=table.whole("seed"),
        )


@dataclass(frozen=True)
class Teacher:
    """The policy that a distilled one learned from, and the extent of the lessons."""

    policy: str
    """Its folder then."""
    sha256: str
    """Hash of its tensors."""
    learner: str
    seed: int
    """Seed of its training."""
    size: int
    """Hidden units of the student's memory."""
    rounds: int
    """Rounds at the most."""
    steps: int
    """Gradient steps of a round."""

    @classmethod
    def read(cls, table: Table) -> Teacher:
        """Reads it from a manifest."""
        return cls(
            policy=table.text("policy"),
            sha256=table.text("sha256"),
            learner=table.text("learner"),
            seed=table.whole("seed"),
            size=table.whole("size"),
            rounds=table.whole("rounds"),
            steps=table.whole("steps"),
        )


@dataclass(frozen=True)
class Start:
    """The trained policy that a run started from."""

    policy: str
    """Its folder then."""
    sha256: str
    """Hash of its tensors."""
    learner: str
    suite: str
    """Name or path of the suite that it was trained on."""
    seed: int
    """Seed of its training."""
    environment_steps: int
    """Environment steps of its training, which those of the run do not count."""

    @classmethod
    def read(cls, table: Table) -> Start:
        """Reads it from a manifest or from run.json."""
        return cls(
            policy=table.text("policy"),
            sha256=table.text("sha256"),
            learner=table.text("learner"),
            suite=table.text("suite"),
            seed=table.whole("seed"),
            environment_steps=table.whole("environment_steps", 0, MAX_COUNT),
        )


@dataclass(frozen=True, kw_only=True)
class TrainingRecord:
    """Description of the training that a policy comes from; `training` in its manifest."""

    seed: int
    preset: str
    iterations: int
    environment_steps: int
    wall_time_seconds: float
    versions: Mapping[str, str]
    """Versions of the packages when the run began."""
    processors: int | None
    """Threads of the simulation; None for a merged policy, whose parts may come from different machines."""
    gpu: str | None = None
    """Name of the GPU that the learner's networks were on; None if they were not on one, or if it is not recorded."""
    last_returns: Mapping[str, float]
    """Mean returns of the last iteration, by name."""
    begun_for: int | None = None
    """Iterations that the run began with, if it was given another end since."""
    best_every: int | None = None
    """Iterations between the scores that this policy was the best of its run by; None if it was not chosen so."""
    torch_threads: int | None = None
    """Threads of torch in an update, of which the last bits depend; None if not recorded."""
    piece: int | None = None
    """Tasks of a piece, on which the last bits depend, too; None if not recorded, or from before there were pieces."""
    core_minutes: float | None = None
    """Processor time of the training; None if not recorded."""
    gradient_samples: int | None = None
    """Transitions that its gradient steps used, each as often as a step used it; None if not recorded."""
    configurations: int | None = None
    """Configurations of the learner that were tried on the suite before this one was chosen; None if not recorded."""
    chosen_from: int = 0
    """Number of seeds compared: this policy's training ended with the highest return of them; 0 if none were."""
    merged: tuple[MergedPart, ...] = ()
    """The two policies that this one is the average of, if it is."""
    merged_options: Mapping[str, Any] = field(default_factory=dict)
    """Options of the second of them that differ from the first's."""
    teacher: Teacher | None = None
    """The policy that this one is distilled from, if it is."""
    started_from: Start | None = None
    """The policy that the run started from, if it did."""

    @classmethod
    def read(cls, table: Table) -> TrainingRecord:
        """Reads it from a manifest.

        Raises:
            UserError: Naming the entry that is missing, of another kind, or out of its range.
        """
        parts, others = table.optional("merged", table.tables) or [], table.optional("merged_options", table.table)
        lessons, begun = table.optional("teacher", table.table), table.optional("started_from", table.table)
        return cls(
            seed=table.whole("seed"),
            preset=table.text("preset"),
            iterations=table.whole("iterations", 0, MAX_COUNT),
            environment_steps=table.whole("environment_steps", 0, MAX_COUNT),
            wall_time_seconds=table.number("wall_time_seconds", 0, MAX_COUNT),
            versions=table.texts("versions"),
            processors=table.optional("processors", table.whole),
            gpu=table.optional("gpu", table.text),
            last_returns=table.numbers("last_returns"),
            begun_for=table.optional("begun_for", table.whole),
            best_every=table.optional("best_every", table.whole),
            torch_threads=table.optional("torch_threads", table.whole),
            piece=table.optional("piece", table.whole),
            core_minutes=table.optional("core_minutes", lambda key: table.number(key, 0, MAX_COUNT)),
            gradient_samples=table.optional("gradient_samples", lambda key: table.whole(key, 0, MAX_COUNT)),
            configurations=table.optional("configurations", lambda key: table.whole(key, 0, MAX_COUNT)),
            chosen_from=table.optional("chosen_from", table.whole) or 0,
            merged=tuple(MergedPart.read(part) for part in parts),
            merged_options={} if others is None else dict(list(others.content.items())[:MAX_ENTRIES]),
            teacher=None if lessons is None else Teacher.read(lessons),
            started_from=None if begun is None else Start.read(begun),
        )

    def to_json(self) -> dict[str, Any]:
        """The entries of the manifest; those that do not apply are left out."""
        optional = {entry.name for entry in fields(self)[-12:]}
        return {name: value for name, value in asdict(self).items() if value or name not in optional}


@dataclass(frozen=True)
class PolicyManifest:
    """Everything that a policy's manifest says of it."""

    learner: str
    """Name, or `FILE.py:CLASS` without a folder."""
    learner_sha256: str | None
    """Hash of the learner's file; None for a shipped learner."""
    config: dict[str, Any]
    """Options of the learner as JSON holds them."""
    suite: str
    """Name or path."""
    suite_hash: str
    spaces: Spaces
    training: TrainingRecord
    tensors_sha256: str
    suite_file: str | None = None
    """File of a user's own suite inside the policy's folder; None for a shipped one."""

    @classmethod
    def read(cls, manifest: dict[str, Any], folder: Path) -> PolicyManifest:
        """Reads the manifest of a sealed folder.

        Raises:
            UserError: Naming the entry that is missing, of another kind, or out of its range.
        """
        table = Table(manifest, str(folder / MANIFEST))
        return cls(
            learner=table.text("learner"),
            learner_sha256=table.optional("learner_sha256", table.text),
            config=table.table("config").content,
            suite=table.text("suite"),
            suite_hash=table.text("suite_hash"),
            spaces=_spaces(table.table("spaces")),
            training=TrainingRecord.read(table.table("training")),
            tensors_sha256=table.table("files").text(TENSORS),
            suite_file=_suite_file(table),
        )


def _suite_file(table: Table) -> str | None:
    """Reads the file of a user's own suite, which must be in the folder for it."""
    name = table.optional("suite_file", table.text)
    if name is not None:
        folder, _, file = name.partition("/")
        if folder != SUITE or not file or "/" in file or file == ".." or name not in table.table("files").content:
            raise UserError(f"{table.where} is damaged: suite_file {name!r} is none of its files")
    return name


def table_of(spaces: Spaces) -> dict[str, Any]:
    """The sizes of observations and actions, as a manifest has them."""
    table = {"observation": spaces.observation, "action": spaces.action, "told": list(spaces.revealed)}
    return table | ({"told_in_training": list(spaces.privileged)} if spaces.privileged else {})


def _spaces(table: Table) -> Spaces:
    """Reads the sizes of observations and actions."""
    return Spaces(
        observation=table.whole("observation", 0, MAX_SPACE),
        action=table.whole("action", 0, MAX_SPACE),
        revealed=_listed(table, "told"),
        privileged=_listed(table, "told_in_training"),
    )


def _listed(table: Table, key: str) -> tuple[str, ...]:
    """Reads a list of texts; an empty one if it is absent."""
    entries = table.content.get(key, [])
    names = {str(index): name for index, name in enumerate(entries)} if isinstance(entries, list) else entries
    return tuple(Table({key: names}, table.where).texts(key, MAX_HIDDEN).values())
