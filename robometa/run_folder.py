"""A run's folder: what was asked, what came out line by line, checkpoints to go on from, the policy at the end."""

from __future__ import annotations

import json
import platform
import shutil
import sys
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

from torch import Tensor

from robometa import checkpoint
from robometa.errors import UserError

CONFIGURATION, METRICS, TIMINGS = "run.json", "metrics.jsonl", "timings.jsonl"
KEPT = 2
"""Checkpoints that are kept: the newest, and the one before in case it is damaged."""


@dataclass(frozen=True)
class RunFolder:
    """Where a training writes."""

    path: Path

    def create(self, configuration: dict[str, Any]) -> None:
        """Makes the folder and writes what was asked.

        Raises: UserError: If something stands there already.
        """
        if self.path.exists():
            raise UserError(
                f"{self.path} exists already: go on with `robometa resume {self.path}`, or choose another --folder"
            )
        try:
            self.path.mkdir(parents=True)
        except OSError as error:
            raise UserError(f"{self.path} cannot be written: {error.strerror}") from None
        command = " ".join((Path(sys.argv[0]).name, *sys.argv[1:]))
        self.configure({**configuration, "command": command, "versions": versions()})

    def configure(self, configuration: dict[str, Any]) -> None:
        """Writes what was asked."""
        self._replace(CONFIGURATION, json.dumps(configuration, indent=2) + "\n")

    def _replace(self, name: str, text: str) -> None:
        """Writes one of the folder's files aside, then puts it in its place in one rename."""
        aside = self.path / f".{name}.writing"
        aside.write_text(text, encoding="utf-8")
        aside.rename(self.path / name)

    def configuration(self) -> dict[str, Any]:
        """What was asked.

        Raises: UserError: If this is not the folder of a run.
        """
        try:
            configuration = json.loads((self.path / CONFIGURATION).read_text(encoding="utf-8"))
        except (FileNotFoundError, NotADirectoryError):
            raise UserError(f"{self.path} is not the folder of a run: it has no {CONFIGURATION}") from None
        except (json.JSONDecodeError, UnicodeDecodeError) as error:
            raise UserError(f"{self.path / CONFIGURATION} is damaged: {error}") from None
        if not isinstance(configuration, dict):
            raise UserError(f"{self.path / CONFIGURATION} is damaged: it holds no table")
        return configuration

    def append(self, name: str, row: dict[str, Any]) -> None:
        """Adds a line to one of the folder's tables."""
        with (self.path / name).open("a", encoding="utf-8") as file:
            file.write(json.dumps(row) + "\n")

    def rows(self, name: str) -> list[dict[str, Any]]:
        """The whole lines of one of the folder's tables; a last line that was cut short is passed over."""
        path = self.path / name
        lines = path.read_text(encoding="utf-8").split("\n")[:-1] if path.exists() else []
        return [json.loads(line) for line in lines]

    def cut(self, iterations: int) -> None:
        """Takes back the lines of iterations that a resumed run will do again."""
        for name in (METRICS, TIMINGS):
            kept = [row for row in self.rows(name) if row["iteration"] < iterations]
            self._replace(name, "".join(json.dumps(row) + "\n" for row in kept))

    def save_checkpoint(self, iterations: int, steps: int, state: dict[str, Tensor]) -> None:
        """Writes a checkpoint after this many iterations and removes all but the newest ones."""
        folder = self.path / "checkpoints" / f"{iterations:07d}"
        folder.parent.mkdir(exist_ok=True)
        checkpoint.save(folder, state, {"kind": "checkpoint", "iterations": iterations, "steps": steps})
        for old in self.checkpoints()[:-KEPT]:
            shutil.rmtree(old)

    def checkpoints(self) -> list[Path]:
        """Checkpoints, oldest first."""
        return sorted(path for path in (self.path / "checkpoints").glob("[0-9]*") if path.is_dir())

    def newest_checkpoint(self) -> tuple[dict[str, Tensor], int, int] | None:
        """State, iterations and environment steps of the newest checkpoint that is whole, or None if there is none."""
        for folder in reversed(self.checkpoints()):
            try:
                state, manifest = checkpoint.load(folder, "checkpoint")
            except UserError as error:
                print(f"passed over: {error}", file=sys.stderr)
                continue
            return state, int(manifest["iterations"]), int(manifest["steps"])
        return None


def versions() -> dict[str, str]:
    """Versions of what a result depends on."""
    packages = ("robometa", "torch", "mujoco", "gymnasium", "numpy")
    return {"python": platform.python_version(), "machine": platform.machine()} | {
        name: version(name) for name in packages
    }
