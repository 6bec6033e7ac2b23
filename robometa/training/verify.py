"""Verification: the first iterations of a run done again, and compared with its table line by line."""

from __future__ import annotations

import json
import tempfile
from dataclasses import dataclass
from pathlib import Path

from robometa.errors import UserError
from robometa.storage.versions import versions
from robometa.training.run_folder import METRICS, RunFolder
from robometa.training.train import rebuilt

ITERATIONS = 3
"""How many are done again if nobody says."""


@dataclass(frozen=True)
class Verification:
    """What came of doing iterations again."""

    iterations: int
    """How many were compared."""
    parted: int | None
    """The first whose line is another, from 0; None if all are the same."""
    differences: tuple[str, ...]
    """What stands there, and what came out now, number by number."""
    changed: tuple[str, ...]
    """Versions that are not those of the run."""

    def lines(self) -> list[str]:
        """The same in words."""
        told = [f"another {change}" for change in self.changed]
        if self.parted is None:
            return [*told, f"the first {self.iterations} iterations came out the same, byte for byte"]
        return [*told, f"iteration {self.parted + 1} is another:", *(f"  {line}" for line in self.differences)]


def verify(folder: str | Path, iterations: int = ITERATIONS, learner: str | None = None) -> Verification:
    """Does the first iterations of a run again, somewhere else, and compares them with what it wrote.

    Args:
        folder: The run's; nothing in it is changed.
        iterations: How many; fewer if the run has fewer.
        learner: Where the file of a learner of your own is now.
    Raises: UserError: If there is no such run, it has no iteration, or its suite or its learner's file has changed.
    """
    run = RunFolder(Path(folder))
    configuration = run.configuration()
    if not (run.path / METRICS).is_file():
        raise UserError(f"{run.path} has no {METRICS} to compare with")
    lines = (run.path / METRICS).read_bytes().splitlines(keepends=True)
    wanted = [line for line in lines if line.endswith(b"\n")][:iterations]
    if not wanted:
        raise UserError(f"{run.path} has no whole iteration to compare with")
    known = configuration.get("versions", {})
    changed = tuple(
        f"{name}: {known[name]} then, {now} now" for name, now in versions().items() if known.get(name, now) != now
    )
    with tempfile.TemporaryDirectory(prefix="robometa-verify-") as place:
        again = RunFolder(Path(place) / "run")
        again.create({key: value for key, value in configuration.items() if key not in ("command", "versions")})
        training = rebuilt(again, again.configuration(), learner=learner)
        training.configuration["checkpoint_minutes"] = float("inf")
        training.go_on(until=len(wanted))
        found = (again.path / METRICS).read_bytes().splitlines(keepends=True)
    for number, (line, other) in enumerate(zip(wanted, found, strict=True)):
        if line != other:
            return Verification(len(wanted), number, _differences(line, other), changed)
    return Verification(len(wanted), None, (), changed)


def _differences(line: bytes, other: bytes) -> tuple[str, ...]:
    """What two lines of a table say differently."""
    try:
        row, again = json.loads(line), json.loads(other)
        names = list(dict.fromkeys((*row, *again)))
        told = [
            f"{name}: {row.get(name)} then, {again.get(name)} now" for name in names if row.get(name) != again.get(name)
        ]
    except (ValueError, TypeError):
        told = []
    return tuple(told) or (f"{line!r} then, {other!r} now",)
