"""Folder of a run: its configuration, its tables, its checkpoints and, at the end, its policy."""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path

from torch import Tensor

from robometa.errors import UserError
from robometa.escape import say, word
from robometa.storage import atomic, sealed_folder
from robometa.storage.json_lines import Lines
from robometa.storage.table import Table
from robometa.storage.versions import versions
from robometa.training.loggers.logger import SAMPLING, UPDATE
from robometa.training.run_config import RunConfig

CONFIGURATION, METRICS, TIMINGS = "run.json", "metrics.jsonl", "timings.jsonl"
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
        """The counts after one more iteration of so many environment steps."""
        in_a_row = self.skipped_in_a_row + 1 if skipped else 0
        return Progress(self.iterations + 1, self.steps + steps, self.skipped + skipped, in_a_row)


@dataclass(frozen=True)
class Saved:
    """Content of a checkpoint."""

    state: dict[str, Tensor]
    """State of the learner."""
    progress: Progress


@dataclass(frozen=True)
class RunFolder:
    """Folder that a training writes."""

    path: Path

    def create(self, config: RunConfig) -> RunConfig:
        """Makes the folder with its run.json in one rename, and returns the configuration with command and versions.

        Raises:
            UserError: If the path exists already.
        """
        if self.path.exists():
            is_run = (self.path / CONFIGURATION).is_file()
            going_on = f"go on with `robometa resume {word(self.path)}`, or " if is_run else ""
            raise UserError(f"{self.path} exists already: {going_on}choose another --folder")
        command = " ".join((Path(sys.argv[0]).name, *sys.argv[1:]))
        config = replace(config, command=command, versions=versions())
        aside = RunFolder(self.path.with_name(f".{self.path.name}.writing"))
        try:
            shutil.rmtree(aside.path, ignore_errors=True)
            aside.path.mkdir(parents=True)
            aside.configure(config)
            aside.path.rename(self.path)
            atomic.flush(self.path.parent)
        except OSError as error:
            shutil.rmtree(aside.path, ignore_errors=True)
            raise UserError(f"{self.path} cannot be written: {error.strerror}") from None
        return config

    def configure(self, config: RunConfig) -> None:
        """Writes run.json."""
        atomic.replace_file(self.path / CONFIGURATION, (json.dumps(config.to_json(), indent=2) + "\n").encode())

    def configuration(self) -> RunConfig:
        """Reads run.json.

        Raises:
            UserError: If this is not the folder of a run, or its run.json is damaged.
        """
        path = self.path / CONFIGURATION
        if path.exists() and (not path.is_file() or path.stat().st_size > sealed_folder.MAX_MANIFEST_BYTES):
            raise UserError(
                f"{path} is damaged: it is no file, or has more than {sealed_folder.MAX_MANIFEST_BYTES} bytes"
            )
        if not path.is_file():  # a link that leads nowhere, too
            raise UserError(f"{self.path} is not the folder of a run: it has no {CONFIGURATION}")
        try:
            described = json.loads(path.read_text(encoding="utf-8"))
        except (FileNotFoundError, NotADirectoryError):
            raise UserError(f"{self.path} is not the folder of a run: it has no {CONFIGURATION}") from None
        except (ValueError, RecursionError) as error:
            raise UserError(f"{path} is damaged: {str(error)[:200]}") from None
        return RunConfig.read(Table(described, str(path)))

    def table(self, name: str) -> Lines:
        """One of the folder's tables, to add lines to."""
        return Lines(self.path / name)

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
        for aside in (*self.path.glob(".*.writing"), *(self.path / "checkpoints").glob(".*")):
            shutil.rmtree(aside) if aside.is_dir() else aside.unlink()
        return stay

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Locks the folder for one process: two that train in it would spoil each other's work.

        Raises:
            UserError: If there is none, or another process trains in it now.
        """
        try:
            descriptor = os.open(self.path, os.O_RDONLY)
        except (FileNotFoundError, NotADirectoryError):
            raise UserError(f"{self.path} is not the folder of a run: it has no {CONFIGURATION}") from None
        try:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise UserError(f"{self.path} is being trained in by another process") from None
            except OSError:  # the file system has no locks
                pass
            yield
        finally:
            os.close(descriptor)  # which also ends the lock, as the end of the process does

    def save_checkpoint(self, saved: Saved) -> None:
        """Writes a checkpoint and removes all but the newest ones.

        Unchanged pieces of large tensors are linked from the checkpoint that is removed, never from one that stays:
        no damage reaches both that are kept.

        Raises:
            OSError: If the disk does not take it; the others are as they were.
        """
        folder = self.path / "checkpoints" / f"{saved.progress.iterations:07d}"
        folder.parent.mkdir(exist_ok=True)
        leaving = sorted({*self.checkpoints(), folder})[:-CHECKPOINTS_KEPT]
        sealed_folder.save(
            folder,
            saved.state,
            {"kind": "checkpoint", **asdict(saved.progress)},
            pieces=True,
            sharing=leaving[-1] if leaving else None,
        )
        for old in leaving:
            shutil.rmtree(old)

    def checkpoints(self) -> list[Path]:
        """Checkpoints, oldest first."""
        return sorted(path for path in (self.path / "checkpoints").glob("[0-9]*") if path.is_dir())

    def newest_checkpoint(self) -> Saved | None:
        """The newest checkpoint that is whole, or None if there never was one.

        Raises:
            UserError: If there are some, but none is whole.
        """
        for old in (self.path / "checkpoints").glob(".*.old"):
            sealed_folder.recover(old.with_name(old.name.removeprefix(".").removesuffix(".old")))
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
            return Saved(state, progress)
        if checkpoints:
            raise UserError(
                f"none of the checkpoints in {checkpoints[0].parent} is whole; without that folder the run begins again"
            )
        return None
