"""Configuration of a run, and its form in run.json."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any

from robometa.compute.hardware import ENGINES, Hardware
from robometa.errors import MAX_NUMBER, UserError
from robometa.policies.manifest import Start
from robometa.storage.table import Table

MAX_THREADS = 100_000
"""Most threads that step the simulation."""
MAX_LOGGERS = 10
"""Most loggers of a run."""
LOGGED = ("tensorboard",)
"""Loggers by default."""


@dataclass(frozen=True)
class RunConfig:
    """Everything that a training is repeated or resumed from."""

    suite: str
    """Name or path."""
    suite_hash: str
    """Content hash of the suite when the run began."""
    learner: str
    """Name, or `FILE.py:CLASS` with an absolute path."""
    learner_sha256: str | None
    """Hash of the learner's file; None for a shipped learner."""
    preset: str
    """Preset that the options started from."""
    options: dict[str, Any]
    """Options of the learner as JSON holds them, none left out; `config` in run.json."""
    seed: int
    hardware: Hardware
    """Hardware that the run began with, its thread counts resolved; its `contact_capacity` is `room` in run.json."""
    checkpoint_minutes: float
    """Wall time between checkpoints, min."""
    piece: int | None = None
    """Tasks of a piece, the unit in which trials are computed; None for runs from before there were pieces."""
    evaluate_every: int = 0
    """Iterations between held-out scores; 0 for none."""
    log: tuple[str, ...] = LOGGED
    """Loggers beside the terminal."""
    command: str = ""
    """Command line that began the run."""
    versions: dict[str, str] = field(default_factory=dict)
    """Versions of the packages when the run began."""
    dataset: str | None = None
    """Folder of the dataset that it learns from, absolute; None for its own trials."""
    dataset_sha256: str | None = None
    """Digest of the dataset, which names the SHA-256 of every shard."""
    started_from: Start | None = None
    """The trained policy that it starts from; None for first weights drawn from the seed."""
    begun_for: int | None = None
    """Iterations that the run began with, if it was given another end since."""

    def __post_init__(self) -> None:
        """Checks the numbers.

        Raises:
            UserError: If one is out of its range.
        """
        if not 0 <= self.checkpoint_minutes < float("inf"):
            raise UserError(f"checkpoint_minutes must be a number from 0, not {self.checkpoint_minutes:g}")
        if not 0 <= self.evaluate_every <= MAX_NUMBER:
            raise UserError(f"evaluate_every must be a whole number from 0 to {MAX_NUMBER}, not {self.evaluate_every}")

    def to_json(self) -> dict[str, Any]:
        """The entries of run.json, in their order."""
        hardware = self.hardware
        described: dict[str, Any] = {
            "suite": self.suite,
            "suite_hash": self.suite_hash,
            "learner": self.learner,
            "learner_sha256": self.learner_sha256,
            "preset": self.preset,
            "config": self.options,
            "seed": self.seed,
            "device": hardware.device,
            "threads": hardware.threads,
            "torch_threads": hardware.torch_threads,
            "checkpoint_minutes": self.checkpoint_minutes,
            "engine": hardware.engine,
            "room": hardware.contact_capacity,
            "command": self.command,
            "versions": self.versions,
        }
        if self.piece is not None:
            described |= {"piece": self.piece, "collect": hardware.collect}
        if self.evaluate_every:
            described |= {"evaluate_every": self.evaluate_every}
        if self.dataset is not None:
            described |= {"dataset": self.dataset, "dataset_sha256": self.dataset_sha256}
        if self.started_from is not None:
            described |= {"started_from": asdict(self.started_from)}
        if self.log != LOGGED:
            described |= {"log": list(self.log)}
        return described if self.begun_for is None else described | {"begun_for": self.begun_for}

    @classmethod
    def read(cls, table: Table) -> RunConfig:
        """Reads the entries of run.json; early runs name no device, engine or learner's hash.

        Raises:
            UserError: Naming the entry that is missing, of another kind, or out of its range.
        """
        options, capacity = table.table("config"), table.optional("room", table.number)
        begun = table.optional("started_from", table.table)
        options.whole("iterations", 1)
        try:
            hardware = Hardware(
                device=table.optional("device", table.text) or "cpu",
                engine="cpu" if table.optional("engine", table.text) is None else table.text("engine", ENGINES),
                contact_capacity=1.0 if capacity is None else capacity,
                threads=table.whole("threads", 1, MAX_THREADS),
                torch_threads=table.whole("torch_threads"),
                collect=table.optional("collect", table.text) or "here",
            )
            return cls(
                suite=table.text("suite"),
                suite_hash=table.text("suite_hash"),
                learner=table.text("learner"),
                learner_sha256=table.optional("learner_sha256", table.text),
                preset=table.text("preset"),
                options=options.content,
                seed=table.whole("seed"),
                hardware=hardware,
                checkpoint_minutes=table.number("checkpoint_minutes"),
                command=table.optional("command", table.text) or "",
                versions=table.optional("versions", table.texts) or {},
                piece=table.optional("piece", table.whole),
                evaluate_every=table.optional("evaluate_every", table.whole) or 0,
                log=_loggers(table),
                dataset=table.optional("dataset", table.text),
                dataset_sha256=table.optional("dataset_sha256", table.text),
                started_from=None if begun is None else Start.read(begun),
                begun_for=table.optional("begun_for", table.whole),
            )
        except UserError as error:
            raise UserError(str(error) if table.where in str(error) else f"{table.where} is damaged: {error}") from None


def _loggers(table: Table) -> tuple[str, ...]:
    """Reads the names of the loggers, which `loggers.shipped.chosen` checks."""
    names = table.content.get("log", list(LOGGED))
    if not isinstance(names, list) or len(names) > MAX_LOGGERS or not all(isinstance(name, str) for name in names):
        raise UserError(f"{table.where} is damaged: log must be a list of at most {MAX_LOGGERS} names")
    return tuple(names)
