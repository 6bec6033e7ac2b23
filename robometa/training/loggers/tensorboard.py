"""TensorBoard's curves of a training: good to have, but nothing that a training ends for."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any


class Curves:
    """Writes numbers for TensorBoard until the disk does not take them any more."""

    def __init__(self, folder: Path, first: int, say: Callable[[str], None]) -> None:
        """Curves below a run's folder, from an iteration on; those after it are replaced."""
        self._folder, self._first, self._say = folder / "tensorboard", first, say
        self._writer: Any = None

    def __enter__(self) -> Curves:
        """Begins a file of curves."""
        from torch.utils.tensorboard import SummaryWriter

        self._excepthook, threading.excepthook = threading.excepthook, self._in_thread
        try:
            self._writer = SummaryWriter(str(self._folder), purge_step=self._first)
        except OSError as error:
            self._end(error)
        return self

    def add(self, row: Mapping[str, float], iteration: float) -> None:
        """Adds a point to the curve of each number."""
        if self._writer is None:
            return
        try:
            for key, value in row.items():
                self._writer.add_scalar(key, value, int(iteration))
        except OSError as error:
            self._end(error)

    def __exit__(self, *raised: object) -> None:
        """Writes what is left."""
        try:
            if self._writer is not None:
                self._writer.close()
        except OSError as error:
            self._end(error)
        finally:
            threading.excepthook = self._excepthook

    def _in_thread(self, raised: threading.ExceptHookArgs) -> None:
        """TensorBoard writes in a thread: what the disk refuses there is raised again here, and told then."""
        if not issubclass(raised.exc_type, OSError):
            self._excepthook(raised)

    def _end(self, error: OSError) -> None:
        self._writer = None
        self._say(f"no more curves for TensorBoard: {self._folder} cannot be written ({error.strerror})")
