"""Weights & Biases' curves of a training; a separate process sends them to the service, which may be out of reach."""

from __future__ import annotations

import re
import secrets
from collections.abc import Mapping
from typing import Any

from robometa.storage import atomic
from robometa.storage.paths import is_own_file
from robometa.training.loggers.groups import grouped
from robometa.training.loggers.logger import LoggedRun

PROJECT = "robometa"
"""Project of all runs, unless WANDB_PROJECT names another."""
FOLDER = "wandb"
"""Folder that the package makes in the run's."""
IDENTITY = "wandb.txt"
"""File in the run's folder with the name by which a resumed run finds its curves."""


class WeightsAndBiases:
    """Logs curves by the package wandb, which keeps them below the run's folder if WANDB_MODE is offline."""

    def __init__(self, run: LoggedRun) -> None:
        """Curves of a training, and its options."""
        self._run = run
        self._curves: Any = None

    def __enter__(self) -> WeightsAndBiases:
        """Begins or continues the curves; a training that cannot have them continues without."""
        try:
            import wandb

            if (self._run.folder / FOLDER).is_symlink():
                raise NotADirectoryError(f"{self._run.folder / FOLDER} is a link")
            self._curves = wandb.init(
                project=wandb.Settings().project or PROJECT,
                name=self._run.folder.name,
                dir=str(self._run.folder),
                config=dict(self._run.options),
                id=self._identity(),
                resume="allow",
            )
        except Exception as error:  # of a package that talks to a service: no account, no disk
            self._give_up(error)
        return self

    def log(self, row: Mapping[str, float]) -> None:
        """Adds a point to the curve of each number."""
        if self._curves is None:
            return
        try:
            self._curves.log(grouped(row), step=int(row["steps"]))
        except Exception as error:
            self._give_up(error)

    def say(self, text: str) -> None:
        """Ignores messages: these are curves."""

    def __exit__(self, *raised: object) -> None:
        """Ends the curves."""
        if self._curves is None:
            return
        try:
            self._curves.finish(exit_code=0 if raised[0] is None else 1)
        except Exception as error:
            self._give_up(error)

    def _identity(self) -> str:
        """Reads the run's name for Weights & Biases, or makes one."""
        path = self._run.folder / IDENTITY
        if is_own_file(self._run.folder, IDENTITY) and path.stat().st_size < 100:
            text = path.read_text(encoding="utf-8", errors="replace").strip()
            if re.fullmatch(r"[0-9a-f]{16}", text):
                return text
        text = secrets.token_hex(8)
        atomic.replace_file(path, f"{text}\n".encode())
        return text

    def _give_up(self, error: Exception) -> None:
        self._curves = None
        said = " ".join(str(error).split())
        self._run.say(f"no curves for Weights & Biases: {said or type(error).__name__}")
