"""TensorBoard's curves of a training; a disk that refuses them does not end the training."""

from __future__ import annotations

import errno
import os
import threading
from collections.abc import Mapping
from typing import Any

from robometa.errors import FolderGoneError
from robometa.training.loggers.groups import grouped
from robometa.training.loggers.logger import LoggedRun


class TensorBoard:
    """Writes curves over environment steps into the run's folder until the disk refuses them.

    They are in the run's folder itself, because TensorBoard names a run after its curves' folder.
    """

    def __init__(self, run: LoggedRun) -> None:
        """Curves of a training; those of steps that it repeats are replaced."""
        self._run, self._folder = run, run.folder
        self._writer: Any = None
        self._place: os.stat_result | None = None

    def __enter__(self) -> TensorBoard:
        """Begins a file of curves."""
        from torch.utils.tensorboard import SummaryWriter

        self._excepthook, threading.excepthook = threading.excepthook, self._ignore_disk_errors
        try:
            if self._folder.is_symlink():
                raise NotADirectoryError(errno.ENOTDIR, "it is a link")
            self._place = self._folder.stat()
            self._writer = SummaryWriter(str(self._folder), purge_step=self._run.steps + 1)
        except OSError as error:
            self._give_up(error)
        return self

    def log(self, row: Mapping[str, float]) -> None:
        """Adds a point to the curve of each number."""
        if self._writer is None:
            return
        if self._is_another():  # TensorBoard appends by the path; the training itself will say what happened
            self._writer = None
            return
        try:
            for key, value in grouped(row).items():
                self._writer.add_scalar(key, value, int(row["steps"]))
        except OSError as error:
            self._give_up(error)

    def say(self, text: str) -> None:
        """Ignores messages: TensorBoard shows curves."""

    def __exit__(self, *raised: object) -> None:
        """Writes the points that are left, unless the run's folder is another by now."""
        try:
            if self._writer is not None and not isinstance(raised[1], FolderGoneError) and not self._is_another():
                self._writer.close()
        except OSError as error:
            self._give_up(error)
        finally:
            threading.excepthook = self._excepthook

    def _is_another(self) -> bool:
        """True if the run's folder is no longer at its path, or another folder is."""
        try:
            return self._place is None or not os.path.samestat(self._place, self._folder.stat())
        except OSError:
            return True

    def _ignore_disk_errors(self, raised: threading.ExceptHookArgs) -> None:
        """Handles an exception of TensorBoard's writing thread; `log` or `__exit__` meets a disk's error again."""
        if not issubclass(raised.exc_type, OSError):
            self._excepthook(raised)

    def _give_up(self, error: OSError) -> None:
        self._writer = None
        self._run.say(f"no more curves for TensorBoard: {self._folder} cannot be written ({error.strerror})")
