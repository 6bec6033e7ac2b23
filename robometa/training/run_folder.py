"""A run's folder: what was asked, what came out line by line, checkpoints to go on from, the policy at the end."""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from torch import Tensor

from robometa.errors import UserError
from robometa.storage import atomic, sealed_folder
from robometa.storage.json_lines import Lines
from robometa.storage.versions import versions

CONFIGURATION, METRICS, TIMINGS = "run.json", "metrics.jsonl", "timings.jsonl"
KEPT = 2
"""Checkpoints that are kept: the newest, and the one before in case it is damaged."""


class Saved(NamedTuple):
    """What a checkpoint holds."""

    state: dict[str, Tensor]
    """Of the learner."""
    iterations: int
    """How many were done."""
    steps: int
    """Environment steps so far."""
    skipped: int
    """Updates that were skipped so far."""
    skipped_in_a_row: int
    """How many of these were the last ones."""


@dataclass(frozen=True)
class RunFolder:
    """Where a training writes."""

    path: Path

    def create(self, configuration: dict[str, Any]) -> None:
        """Makes the folder with what was asked in it, in one rename.

        Raises: UserError: If something stands there already.
        """
        if self.path.exists():
            is_run = (self.path / CONFIGURATION).is_file()
            going_on = f"go on with `robometa resume {self.path}`, or " if is_run else ""
            raise UserError(f"{self.path} exists already: {going_on}choose another --folder")
        command = " ".join((Path(sys.argv[0]).name, *sys.argv[1:]))
        aside = RunFolder(self.path.with_name(f".{self.path.name}.writing"))
        try:
            shutil.rmtree(aside.path, ignore_errors=True)
            aside.path.mkdir(parents=True)
            aside.configure({**configuration, "command": command, "versions": versions()})
            aside.path.rename(self.path)
            atomic.flush(self.path.parent)
        except OSError as error:
            shutil.rmtree(aside.path, ignore_errors=True)
            raise UserError(f"{self.path} cannot be written: {error.strerror}") from None

    def configure(self, configuration: dict[str, Any]) -> None:
        """Writes what was asked."""
        atomic.replace_file(self.path / CONFIGURATION, (json.dumps(configuration, indent=2) + "\n").encode())

    def configuration(self) -> dict[str, Any]:
        """What was asked.

        Raises: UserError: If this is not the folder of a run.
        """
        path = self.path / CONFIGURATION
        if path.exists() and (not path.is_file() or path.stat().st_size > sealed_folder.LARGEST_MANIFEST):
            raise UserError(
                f"{path} is damaged: it is no file, or has more than {sealed_folder.LARGEST_MANIFEST} bytes"
            )
        if not path.is_file():  # a link that leads nowhere, too
            raise UserError(f"{self.path} is not the folder of a run: it has no {CONFIGURATION}")
        try:
            configuration = json.loads((self.path / CONFIGURATION).read_text(encoding="utf-8"))
        except (FileNotFoundError, NotADirectoryError):
            raise UserError(f"{self.path} is not the folder of a run: it has no {CONFIGURATION}") from None
        except (ValueError, RecursionError) as error:
            raise UserError(f"{self.path / CONFIGURATION} is damaged: {str(error)[:200]}") from None
        if not isinstance(configuration, dict):
            raise UserError(f"{self.path / CONFIGURATION} is damaged: it holds no table")
        return configuration

    def table(self, name: str) -> Lines:
        """One of the folder's tables, to add lines to."""
        return Lines(self.path / name)

    def rows(self, name: str) -> list[dict[str, Any]]:
        """The whole lines of one of the folder's tables; a last line that was cut short is passed over."""
        return self.table(name).rows()

    def cut(self, iterations: int) -> int:
        """Takes back what a resumed run will do again, and what an interrupted one left half done.

        Returns: How many lines of metrics stay.
        """
        for name in (METRICS, TIMINGS):
            self.table(name).cut(iterations)
        for aside in (*self.path.glob(".*.writing"), *(self.path / "checkpoints").glob(".*")):
            shutil.rmtree(aside) if aside.is_dir() else aside.unlink()
        return len(self.rows(METRICS))

    @contextmanager
    def locked(self) -> Iterator[None]:
        """The folder for one process alone: two that train in it would spoil each other's work.

        Raises: UserError: If there is none, or another process trains in it now.
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

        Large tensors share what has not changed with the checkpoint that is removed, never with one that stays: the
        two that there are can not be damaged together.

        Raises: OSError: If the disk does not take it; the others are as they were.
        """
        folder = self.path / "checkpoints" / f"{saved.iterations:07d}"
        folder.parent.mkdir(exist_ok=True)
        leaving = sorted({*self.checkpoints(), folder})[:-KEPT]
        numbers = {name: number for name, number in saved._asdict().items() if name != "state"}
        sealed_folder.save(
            folder,
            saved.state,
            {"kind": "checkpoint", **numbers},
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

        Raises: UserError: If there are some, but none is whole.
        """
        for old in (self.path / "checkpoints").glob(".*.old"):
            sealed_folder.recover(old.with_name(old.name.removeprefix(".").removesuffix(".old")))
        found = self.checkpoints()
        for folder in reversed(found):
            try:
                state, manifest = sealed_folder.load(folder, "checkpoint")
                numbers = {name: int(manifest[name]) for name in Saved._fields if name != "state"}
            except UserError as error:
                print(f"passed over: {error}", file=sys.stderr)
                continue
            except (KeyError, OverflowError, TypeError, ValueError) as error:
                print(f"passed over: {folder} says nothing of {error}", file=sys.stderr)
                continue
            return Saved(state, **numbers)
        if found:
            raise UserError(
                f"none of the checkpoints in {found[0].parent} is whole; without that folder the run begins again"
            )
        return None
