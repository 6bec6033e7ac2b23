"""Verification: repeats the first iterations of a run, and compares them with its table line by line."""

from __future__ import annotations

import json
import sys
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path

from robometa.compute.parallel import processors
from robometa.errors import UserError
from robometa.policies.manifest import PolicyManifest
from robometa.registry import user_file
from robometa.storage.json_lines import MAX_LINE_BYTES
from robometa.storage.paths import checked, is_own_file
from robometa.storage.scratch import scratch
from robometa.storage.sealed_folder import MANIFEST, load
from robometa.storage.versions import versions
from robometa.training import start
from robometa.training.run_config import RunConfig
from robometa.training.run_folder import CONFIGURATION, METRICS, RunFolder
from robometa.training.train import rebuilt, with_suite

ITERATIONS_VERIFIED = 3
"""Iterations that are repeated by default."""
LOG = "training"
"""Folder of a training's log inside a published policy."""
NAMED_SINCE = ("sources", "revision", "processor")
"""Entries that runs from before robometa recorded its code do not have."""
UNRECORDED = "not recorded"


@dataclass(frozen=True)
class Verification:
    """Result of repeating iterations."""

    iterations: int
    """Iterations compared."""
    parted: int | None
    """First iteration with another line, from 0; None if all lines are equal."""
    differences: tuple[str, ...]
    """Numbers of that line then and now."""
    changed: tuple[str, ...]
    """Software and hardware that are not those of the run, or that it does not name, then and now."""

    def lines(self) -> list[str]:
        """Describes the result in words."""
        lines = list(self.changed)
        if self.parted is None:
            count = "iteration" if self.iterations == 1 else f"{self.iterations} iterations"
            return [*lines, f"the first {count} came out the same, byte for byte"]
        cause = "" if self.changed else " (same code, versions, threads and processor)"
        return [*lines, f"iteration {self.parted + 1} differs{cause}:", *(f"  {line}" for line in self.differences)]


def verify(
    folder: str | Path,
    iterations: int = ITERATIONS_VERIFIED,
    learner: str | None = None,
    suite: str | Path | None = None,
) -> Verification:
    """Repeats the first iterations of a training in a temporary folder, and compares them with what it wrote.

    Args:
        folder: Folder of the run, or of a policy that was published with the log of its training; nothing in it is
            changed.
        iterations: Iterations to repeat; fewer if the run has fewer.
        learner: File and class of a learner of your own, for a run with such a one.
        suite: File of the run's own suite, if it has moved since.

    Raises:
        UserError: If there is no such run, it has no iteration, or its suite or its learner's file has changed.
    """
    run, config = _logged(checked(folder))
    config = with_suite(config, suite)
    if not is_own_file(run.path, METRICS):
        raise UserError(f"{run.path} has no {METRICS} to compare with")
    name = user_file.of_run(config.learner, config.learner_sha256, learner, run.path, "verify")
    wanted = _first_lines(run.path / METRICS, iterations)
    if not wanted:
        raise UserError(f"{run.path} has no whole iteration to compare with")
    with scratch() as place:
        again = RunFolder(place / "run")
        with (
            again.created(replace(config, checkpoint_minutes=sys.float_info.max, log=())) as unsaved,
            closing(rebuilt(again, unsaved, name, collect="here")) as training,
        ):
            start.again(training.learner, name, training.suite, config)
            training.go_on(until=len(wanted))
        repeated = _first_lines(again.path / METRICS, iterations)
    changed = _changes(config)
    for number, (line, other) in enumerate(zip(wanted, repeated, strict=True)):
        if not _same(line, other):
            return Verification(len(wanted), number, _differences(line, other), changed)
    return Verification(len(wanted), None, (), changed)


def _logged(folder: Path) -> tuple[RunFolder, RunConfig]:
    """Finds the log of a training in a run's folder, in a run's policy, or in a published policy.

    Raises:
        UserError: If there is none, or it is damaged.
    """
    if (folder / MANIFEST).is_file() and not (folder / CONFIGURATION).exists():
        manifest = PolicyManifest.read(load(folder, "policy")[1], folder)
        if (folder / LOG / CONFIGURATION).is_file():
            run = RunFolder(folder / LOG)
            inside = manifest.suite_file
            config = run.configuration()
            return run, config if inside is None else replace(config, suite=str(folder / inside))
        if (folder.absolute().parent / CONFIGURATION).is_file():
            folder = folder.absolute().parent
        else:
            raise UserError(
                f"{folder} cannot be verified: it was published without the log of its training "
                f"({LOG}/{CONFIGURATION} and {LOG}/{METRICS})"
            )
    run = RunFolder(folder)
    return run, run.configuration()


def _changes(config: RunConfig) -> tuple[str, ...]:
    """Software and hardware that differ from the run's, or that the run does not name."""
    then, now = config.versions, versions()
    names = [name for name in now if name in then or name in NAMED_SINCE]
    changes = [f"{name} differs: {then.get(name, UNRECORDED)} then, {now[name]} now" for name in names]
    changes = [change for name, change in zip(names, changes, strict=True) if then.get(name, UNRECORDED) != now[name]]
    threads, cores = config.hardware.torch_threads, processors()
    if threads is not None and threads > cores:
        changes.append(f"number of processors differs: torch has {threads} threads as then, on {cores} now")
    if config.piece is None:
        changes.append("order of computing differs: the run is from before tasks were computed in pieces")
    return tuple(changes)


def _first_lines(path: Path, count: int) -> list[bytes]:
    """The first whole lines of a table."""
    with path.open("rb") as file:
        lines = (file.readline(MAX_LINE_BYTES) for _ in range(count))
        return [line for line in lines if line.endswith(b"\n")]


def _same(line: bytes, other: bytes) -> bool:
    """True if a repeated line has all numbers of the run's; it may have further columns, of a later version."""
    if line == other:
        return True
    try:
        row, again = json.loads(line), json.loads(other)
        return json.dumps(row) == json.dumps({name: again[name] for name in row})
    except (ValueError, TypeError, KeyError):
        return False


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
