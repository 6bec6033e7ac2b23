"""The contract of an export: names, units and ranges of all numbers."""

from __future__ import annotations

import base64
import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float32]
FORMAT = 1
"""Version of the contract's format that this version reads."""
DRAWN = "standard normal"
"""Initial value of a tensor that is drawn at each reset."""


class ContractError(ValueError):
    """A folder is no export, or one of its files is not the one that was exported."""


class Contract:
    """The contract of a folder, and its files' contents.

    Attributes:
        content: Everything that `contract.json` says.
        observation: Names of the observation's numbers, in order.
        action: Names of the action's numbers, in order.
        low: Least value of each action, in the actuators' units.
        high: Greatest value of each action.
        safe: Action that asks for nothing: no force of a motor, the default position of a servo.
        control_hz: Actions per second.
        horizon: Steps of an episode in training.
    """

    def __init__(self, folder: str | Path) -> None:
        """Reads a folder and verifies its files.

        Raises:
            ContractError: If the folder is no export, or a file is missing or damaged.
        """
        self.folder = Path(folder)
        try:
            self.content: dict[str, Any] = json.loads(_read(self.folder / "contract.json"))
        except (OSError, ValueError, RecursionError) as error:
            raise ContractError(f"{self.folder} is no export of robometa: {error}") from None
        version = self.content.get("format") if isinstance(self.content, dict) else None
        if version != FORMAT:
            raise ContractError(f"{self.folder} is of format {version}, this version reads {FORMAT}")
        try:
            self.observation = tuple(one["name"] for one in self.content["observation"])
            self.action = tuple(one["name"] for one in self.content["action"])
            self.low, self.high, self.safe = (self._column(name) for name in ("low", "high", "safe"))
            self.control_hz, self.horizon = float(self.content["control_hz"]), int(self.content["horizon"])
        except (KeyError, TypeError, ValueError, OverflowError) as error:
            raise ContractError(f"{self.folder / 'contract.json'} is damaged: {error!r:.200}") from None

    def file(self, name: str) -> bytes | None:
        """Content of a file, whose SHA-256 is compared; None if the export has no such file.

        Raises:
            ContractError: If it is missing or damaged.
        """
        wanted = self.content["sha256"].get(name)
        if wanted is None:
            return None
        path = self.folder / name
        content = path.read_bytes() if path.is_file() else b""
        if hashlib.sha256(content).hexdigest() != wanted:
            raise ContractError(f"{path} is missing or damaged: it is not the file that was exported")
        return content

    def initial(self, generator: np.random.Generator) -> dict[str, Array]:
        """Adaptation before any data, by name. `[1, number]` each."""
        return {part["name"]: _initial(part, generator) for part in self.content["adaptation"]}

    def _column(self, name: str) -> Array:
        return np.array([one[name] for one in self.content["action"]], np.float32)


def _read(path: Path) -> bytes:
    """Content of a file, and of nothing else: a pipe would never end."""
    if not path.is_file():
        raise FileNotFoundError(f"{path} is missing, or no file")
    return path.read_bytes()


def _initial(part: dict[str, Any], generator: np.random.Generator) -> Array:
    if part["initial"] == DRAWN:
        return generator.standard_normal((1, part["size"]), np.float32)
    return np.frombuffer(base64.b64decode(part["initial"]), "<f4").astype(np.float32).reshape(1, part["size"])
