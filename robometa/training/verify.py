"""Verification: repeats the first iterations of a run, and compares them with its table line by line."""

from __future__ import annotations

import json
import sys
import tempfile
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path

from robometa.errors import UserError
from robometa.registry import user_file
from robometa.storage.json_lines import MAX_LINE_BYTES
from robometa.storage.paths import checked
from robometa.storage.versions import versions
from robometa.training.run_folder import METRICS, RunFolder
from robometa.training.train import rebuilt, with_suite

ITERATIONS_VERIFIED = 3
"""Iterations that are repeated by default."""


@dataclass(frozen=True)
class Verification:
    """Result of repeating iterations."""

    iterations: int
    """Iterations compared."""
    parted: int | None
    """First iteration whose line differs, from 0; None if none does."""
    differences: tuple[str, ...]
    """Numbers of that line then and now."""
    changed: tuple[str, ...]
    """Versions that are not those of the run."""

    def lines(self) -> list[str]:
        """Describes the result in words."""
        lines = [f"another {change}" for change in self.changed]
        if self.parted is None:
            return [*lines, f"the first {self.iterations} iterations came out the same, byte for byte"]
        return [*lines, f"iteration {self.parted + 1} differs:", *(f"  {line}" for line in self.differences)]


def verify(
    folder: str | Path,
    iterations: int = ITERATIONS_VERIFIED,
    learner: str | None = None,
    suite: str | Path | None = None,
) -> Verification:
    """Repeats the first iterations of a run in a temporary folder, and compares them with what it wrote.

    Args:
        folder: Folder of the run; nothing in it is changed.
        iterations: Iterations to repeat; fewer if the run has fewer.
        learner: File and class of a learner of your own, for a run with such a one.
        suite: File of the run's own suite, if it has moved since.

    Raises:
        UserError: If there is no such run, it has no iteration, or its suite or its learner's file has changed.
    """
    run = RunFolder(checked(folder))
    config = with_suite(run.configuration(), suite)
    if not (run.path / METRICS).is_file():
        raise UserError(f"{run.path} has no {METRICS} to compare with")
    name = user_file.of_run(config.learner, config.learner_sha256, learner, run.path, "verify")
    wanted = _first_lines(run.path / METRICS, iterations)
    if not wanted:
        raise UserError(f"{run.path} has no whole iteration to compare with")
    known = config.versions
    changed = tuple(
        f"{name}: {known[name]} then, {now} now" for name, now in versions().items() if known.get(name, now) != now
    )
    with tempfile.TemporaryDirectory(prefix="robometa-verify-") as place:
        again = RunFolder(Path(place) / "run")
        with (
            again.created(replace(config, checkpoint_minutes=sys.float_info.max, log=())) as unsaved,
            closing(rebuilt(again, unsaved, name, collect="here")) as training,
        ):
            training.go_on(until=len(wanted))
        repeated = _first_lines(again.path / METRICS, iterations)
    for number, (line, other) in enumerate(zip(wanted, repeated, strict=True)):
        if line != other:
            return Verification(len(wanted), number, _differences(line, other), changed)
    return Verification(len(wanted), None, (), changed)


def _first_lines(path: Path, count: int) -> list[bytes]:
    """The first whole lines of a table."""
    with path.open("rb") as file:
        lines = (file.readline(MAX_LINE_BYTES) for _ in range(count))
        return [line for line in lines if line.endswith(b"\n")]


def _differences(line: bytes, other: bytes) -> tuple[str, ...]:
    """Numbers that two lines of a table have differently, then and now."""
    try:
        row, again = json.loads(line), json.loads(other)
        names = list(dict.fromkeys((*row, *again)))
        differences = [
            f"{name}: {row.get(name)} then, {again.get(name)} now" for name in names if row.get(name) != again.get(name)
        ]
    except (ValueError, TypeError):
        differences = []
    return tuple(differences) or (f"{line!r} then, {other!r} now",)
