"""Configuration of a run, and its form in run.json."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from robometa.compute.hardware import Hardware
from robometa.errors import UserError


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
    """Its thread counts are the resolved ones; its `contact_capacity` is `room` in run.json."""
    checkpoint_minutes: float
    """Wall time between checkpoints, min."""
    piece: int | None = None
    """Tasks of a piece, the unit in which trials are computed; None for runs from before there were pieces."""
    command: str = ""
    """Command line that began the run."""
    versions: dict[str, str] = field(default_factory=dict)
    """Versions of the packages when the run began."""
    begun_for: int | None = None
    """Iterations that the run began with, if it was given another end since."""

    def __post_init__(self) -> None:
        """Checks the numbers.

        Raises:
            UserError: If one is out of its range.
        """
        if not 0 <= self.checkpoint_minutes < float("inf"):
            raise UserError(f"checkpoint_minutes must be a number from 0, not {self.checkpoint_minutes:g}")

    def to_json(self) -> dict[str, Any]:
        """The entries of run.json, in their order."""
        hardware = self.hardware
        described = {
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
            "piece": self.piece,
            "collect": hardware.collect,
            "command": self.command,
            "versions": self.versions,
        }
        return described if self.begun_for is None else described | {"begun_for": self.begun_for}

    @classmethod
    def from_json(cls, described: Mapping[str, Any]) -> RunConfig:
        """The configuration that entries of run.json describe; early runs name no device, engine or learner's hash.

        Raises:
            ValueError: If an entry is missing, of another type, or out of its range.
        """
        options = _entry(described, "config", dict)
        _entry(options, "iterations", int)
        try:
            hardware = Hardware(
                device=_entry(described, "device", str, default="cpu"),
                engine=_entry(described, "engine", str, default="cpu"),
                contact_capacity=_entry(described, "room", float, int, default=1.0),
                threads=_entry(described, "threads", int),
                torch_threads=_entry(described, "torch_threads", int),
                collect=_entry(described, "collect", str, default="here"),
            )
            return cls(
                suite=_entry(described, "suite", str),
                suite_hash=_entry(described, "suite_hash", str),
                learner=_entry(described, "learner", str),
                learner_sha256=_entry(described, "learner_sha256", str, type(None), default=None),
                preset=_entry(described, "preset", str),
                options=options,
                seed=_entry(described, "seed", int),
                hardware=hardware,
                checkpoint_minutes=_entry(described, "checkpoint_minutes", float, int),
                command=_entry(described, "command", str, default=""),
                versions=_entry(described, "versions", dict, default={}),
                piece=_entry(described, "piece", int, type(None), default=None),
                begun_for=_entry(described, "begun_for", int, type(None), default=None),
            )
        except UserError as error:
            raise ValueError(str(error)) from None


REQUIRED: Any = object()
"""Default of an entry that may not be missing."""


def _entry(described: Mapping[str, Any], key: str, *types: type, default: Any = REQUIRED) -> Any:
    """An entry of run.json.

    Raises:
        ValueError: If it is missing without a default, or of none of the types.
    """
    value = described.get(key, default)
    if value is REQUIRED:
        raise ValueError(f"it lacks {key}")
    if type(value) not in types:
        names = " or ".join("null" if one is type(None) else one.__name__ for one in types)
        raise ValueError(f"{key} must be {names}, not {value!r:.100}")
    return value
