"""Folder of a run: its configuration, its tables, its checkpoints and, at the end, its policy."""

from __future__ import annotations

import json
import os
import re
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path

from torch import Tensor

from robometa.errors import UserError
from robometa.escape import say, word
from robometa.storage import atomic, sealed_folder
from robometa.storage.json_lines import Lines
from robometa.storage.open_folder import OpenFolder, opened
from robometa.storage.paths import RUN, is_own_file, own_folder, unwritable
from robometa.storage.table import Table
from robometa.storage.versions import versions
from robometa.suites.load import load as load_suite
from robometa.suites.suite import Suite
from robometa.training import new_run
from robometa.training.loggers.logger import SAMPLING, UPDATE
from robometa.training.run_config import RunConfig

CONFIGURATION, METRICS, TIMINGS = RUN, "metrics.jsonl", "timings.jsonl"
CHECKPOINTS = "checkpoints"
"""Folder of the checkpoints below the run's."""
CHECKPOINT_NAME = re.compile("[0-9]{7,18}")
"""Name of a checkpoint: its iterations."""
MAX_COUNT = 10**17
"""Most iterations or steps of a checkpoint."""
CHECKPOINTS_KEPT = 2
"""The newest, and the one before in case it is damaged."""


@dataclass(frozen=True)
class Progress:
    """Counts of a training so far."""

    iterations: int = 0
    steps: int = 0
    """Environment steps."""
    skipped: int = 0
    """Updates that were skipped because a number was not finite."""
    skipped_in_a_row: int = 0
    """Skipped updates since the last one that was not."""

    def after(self, steps: int, skipped: bool) -> Progress:
        """The counts after one more iteration with a number of environment steps."""
        in_a_row = self.skipped_in_a_row + 1 if skipped else 0
        return Progress(self.iterations + 1, self.steps + steps, self.skipped + skipped, in_a_row)


@dataclass(frozen=True)
class Saved:
    """Content of a checkpoint."""

    state: dict[str, Tensor]
    """State of the learner."""
    progress: Progress
    sha256: str = ""
    """SHA-256 of its file of tensors, once it is written."""


@dataclass
class RunFolder:
    """Folder that a training writes."""

    path: Path
    _held: OpenFolder | None = field(default=None, init=False, repr=False, compare=False)
    """The folder while this process has it locked."""

    @contextmanager
    def created(self, config: RunConfig, overwrite: bool = False) -> Iterator[RunConfig]:
        """Makes the folder with its run.json in one rename, locked as by `locked`; yields what run.json holds.

        Args:
            config: Configuration of the run.
            overwrite: Put it in the place of another run, if there is one.

        Raises:
            UserError: If something else has the folder's path, or it cannot be written.
        """
        atomic.recover(self.path)
        replacing = self._replaces(overwrite)
        config = replace(config, command=" ".join((Path(sys.argv[0]).name, *sys.argv[1:])), versions=versions())
        with ExitStack() as stack:
            try:
                parent = stack.enter_context(opened(self.path.parent, create=True))
                aside = stack.enter_context(atomic.aside(parent, self.path.name))
                atomic.write(aside, CONFIGURATION, _text(config))
                (atomic.publish_over if replacing else atomic.publish)(parent, aside, self.path.name)
            except FileExistsError:
                raise new_run.exists_already(self.path) from None
            except OSError as error:
                raise unwritable(self.path, error) from None
            with self._holding(aside.descriptor):
                yield config

    def _replaces(self, overwrite: bool) -> bool:
        """Tests if another run is to be replaced, which must not be going on.

        Raises:
            UserError: If something has the folder's path that must not be replaced.
        """
        if not new_run.replaces(self.path, overwrite):
            return False
        with self.locked():
            return True

    @contextmanager
    def _holding(self, descriptor: int) -> Iterator[None]:
        """Writes to the locked folder of a descriptor, whatever the path leads to."""
        self._held = OpenFolder(self.path, descriptor)
        try:
            yield
        finally:
            self._held = None

    @contextmanager
    def opened(self) -> Iterator[OpenFolder]:
        """Opens the folder for a write; yields the locked one if this process has it locked.

        Raises:
            FolderGoneError: If the locked one is no longer at its path.
        """
        if self._held is None:
            with opened(self.path) as folder:
                yield folder
        else:
            self._held.require_at_its_path()
            yield self._held

    def configure(self, config: RunConfig) -> None:
        """Writes run.json."""
        with self.opened() as folder:
            atomic.replace(folder, CONFIGURATION, _text(config))

    def configuration(self) -> RunConfig:
        """Reads run.json.

        Raises:
            UserError: If the folder holds no run, or its run.json is damaged.
        """
        path = self.path / CONFIGURATION
        most = sealed_folder.MAX_MANIFEST_BYTES
        if os.path.lexists(path) and not (is_own_file(self.path, CONFIGURATION) and path.stat().st_size <= most):
            raise UserError(f"{path} is damaged: it is no file, is a link, or has more than {most} bytes")
        try:
            described = json.loads(path.read_text(encoding="utf-8"))
        except (FileNotFoundError, NotADirectoryError):
            raise UserError(f"no run here: {self.path} has no {CONFIGURATION}") from None
        except (ValueError, RecursionError) as error:
            raise UserError(f"{path} is damaged: {str(error)[:200]}") from None
        return RunConfig.read(Table(described, str(path)))

    def table(self, name: str) -> Lines:
        """One of the folder's tables, to add lines to."""
        return Lines(self.path / name, self.opened)

    def rows(self, name: str) -> list[dict[str, float]]:
        """The whole lines of one of the folder's tables; a last line that was cut short is passed over."""
        return list(self.table(name).rows())

    def cut(self, iterations: int) -> int:
        """Removes what a resumed run does again, and what an interrupted one left half done.

        Returns:
            The number of lines of metrics that stay.
        """
        stay = self.table(METRICS).cut(iterations)
        self.table(TIMINGS).cut(iterations, needs=(SAMPLING, UPDATE))
        with self.opened() as folder:
            folder.remove_leftovers(atomic.ASIDE)
            with suppress(FileNotFoundError), folder.subfolder(CHECKPOINTS) as checkpoints:
                checkpoints.remove_leftovers(atomic.ASIDE, atomic.OLD)
        return stay

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Locks the folder for one process: two that train in it would spoil each other's work.

        Raises:
            UserError: If there is none, or another process trains in it now.
        """
        atomic.recover(self.path)
        try:
            descriptor = os.open(self.path, os.O_RDONLY | os.O_DIRECTORY)
        except (FileNotFoundError, NotADirectoryError):
            raise UserError(f"no run here: {self.path} has no {CONFIGURATION}") from None
        folder = OpenFolder(self.path, descriptor)
        try:
            if folder.lock_at_once() is False:
                raise UserError(f"{self.path} is being trained in by another process")
            folder.require_at_its_path()
            with self._holding(descriptor):
                yield
        finally:
            os.close(descriptor)  # which also ends the lock, as the end of the process does

    def save_checkpoint(self, saved: Saved) -> None:
        """Writes a checkpoint and removes all but the newest ones.

        Unchanged shards of large tensors are linked from the checkpoint that is removed, never from one that stays:
        no damage reaches both that are kept.

        Raises:
            OSError: If the disk does not take it; the others are as they were.
        """
        name = f"{saved.progress.iterations:07d}"
        with self.opened() as folder, folder.subfolder(CHECKPOINTS, create=True) as checkpoints, ExitStack() as stack:
            leaving = sorted({*(path.name for path in self.checkpoints()), name})[:-CHECKPOINTS_KEPT]
            shares = bool(leaving) and leaving[-1] != name
            sealed_folder.save(
                checkpoints.path / name,
                saved.state,
                {"kind": "checkpoint", **asdict(saved.progress)},
                sharded=True,
                sharing=stack.enter_context(checkpoints.subfolder(leaving[-1])) if shares else None,
                within=checkpoints,
            )
            for old in leaving:
                checkpoints.remove(old)

    def checkpoints(self) -> list[Path]:
        """Checkpoints, oldest first: folders named by a number, and no links."""
        named = [path for path in (self.path / CHECKPOINTS).glob("[0-9]*") if CHECKPOINT_NAME.fullmatch(path.name)]
        return sorted(path for path in named if path.is_dir() and not path.is_symlink())

    def newest_checkpoint(self) -> Saved | None:
        """The newest checkpoint that is whole, or None if there never was one.

        Raises:
            UserError: If there are some, but none is whole, or their folder is a link.
        """
        folder = own_folder(self.path, CHECKPOINTS)
        for old in folder.glob(f".*{atomic.OLD}"):
            atomic.recover(old.with_name(old.name.removeprefix(".").removesuffix(atomic.OLD)))
        checkpoints = self.checkpoints()
        for folder in reversed(checkpoints):
            try:
                state, manifest = sealed_folder.load(folder, "checkpoint")
                counts = Table(manifest, str(folder / sealed_folder.MANIFEST))
                progress = Progress(
                    **{count.name: counts.whole(count.name, 0, MAX_COUNT) for count in fields(Progress)}
                )
            except UserError as error:
                say(f"passed over: {error}", error=True)
                continue
            return Saved(state, progress, manifest["files"][sealed_folder.TENSORS])
        if checkpoints:
            raise UserError(
                f"none of the checkpoints in {checkpoints[0].parent} is whole; without that folder the run begins again"
            )
        return None


def run_suite(reference: str, content_hash: str, run: Path) -> Suite:
    """Loads the suite that a run was started on.

    Args:
        reference: Name or file of the suite.
        content_hash: Hash of its content when the run began.
        run: Folder of the run, for messages.

    Raises:
        UserError: If its file is not there, or it has changed since.
    """
    if Path(reference).is_absolute() and not Path(reference).is_file():
        raise UserError(
            f"{run} was started on the suite file {reference}, which is not there: "
            f"say where it is with --suite PATH/{word(Path(reference).name)}"
        )
    suite = load_suite(reference)
    if suite.content_hash != content_hash:
        raise UserError(f"suite {suite.name} is no longer the one that {run} was started on")
    return suite


def _text(config: RunConfig) -> bytes:
    """Content of run.json."""
    return (json.dumps(config.to_json(), indent=2) + "\n").encode()
