"""The contract of an export: names, units and ranges of all numbers."""

from __future__ import annotations

import base64
import hashlib
import json
import os
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float32]
FORMAT = 1
"""Version of the contract's format that this version reads."""
DRAWN = "standard normal"
"""Initial value of a tensor that is drawn at each reset."""
MAX_BYTES = {"contract.json": 1 << 26}
"""Largest files by name, bytes."""
MAX_FILE_BYTES = 1 << 30
"""Largest file of another name, bytes."""
MAX_SIGNALS, MAX_NUMBERS, MAX_HZ = 10_000, 10_000_000, 1e6
"""Most observations or actions, most numbers of an adaptation, and most actions per second."""
SYSTEM_FOLDERS = ("/proc/", "/sys/", "/dev/")
"""Folders of files that the kernel makes up: some never end."""


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
            raise ContractError(f"{self.folder} is of format {version!r:.40}, this version reads {FORMAT}")
        try:
            self.observation, self.action = (self._names(name) for name in ("observation", "action"))
            self.low, self.high = self._column("low", -np.inf), self._column("high", np.inf)
            self.safe = self._column("safe", np.nan)
            self.control_hz, self.horizon = _number(self.content["control_hz"]), self.content["horizon"]
            self._check()
        except (AttributeError, KeyError, TypeError, ValueError, OverflowError) as error:
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
        try:
            content = _read(path)
        except OSError:
            content = b""
        if hashlib.sha256(content).hexdigest() != wanted:
            raise ContractError(f"{path} is missing or damaged: it is not the file that was exported")
        return content

    def initial(self, generator: np.random.Generator) -> dict[str, Array]:
        """Adaptation before any data, by name. `[1, number]` each."""
        return {part["name"]: _initial(part, generator) for part in self.content["adaptation"]}

    def _names(self, name: str) -> tuple[str, ...]:
        signals = self.content[name]
        names = tuple(one["name"] for one in signals[: MAX_SIGNALS + 1])
        if not 0 < len(names) <= MAX_SIGNALS or not all(isinstance(one, str) and one.isprintable() for one in names):
            raise ValueError(f"{name} must be a list of 1 to {MAX_SIGNALS} numbers with printable names")
        return names

    def _column(self, name: str, none: float) -> Array:
        """A number of each action, or what stands for none."""
        column = [one[name] for one in self.content["action"]]
        return np.array([none if one is None else _number(one) for one in column], np.float32)

    def _check(self) -> None:
        """Checks what a robot is driven by.

        Raises:
            ValueError: If a number is not finite or out of its range.
        """
        if not (np.isfinite(self.safe) & (self.low <= self.safe) & (self.safe <= self.high)).all():
            raise ValueError("safe of an action must be a finite number from low to high")
        if not 0 < self.control_hz <= MAX_HZ or type(self.horizon) is not int or self.horizon < 1:
            raise ValueError(f"control_hz must be above 0 and at most {MAX_HZ:g}, horizon a whole number from 1")
        if not all(isinstance(name, str) for item in self.content["sha256"].items() for name in item):
            raise ValueError("sha256 must be a table of texts")
        if not isinstance(self.content["adapt"]["pools_worlds"], bool):
            raise ValueError("pools_worlds must be true or false")
        parts = self.content["adaptation"]
        if not all(isinstance(part["name"], str) for part in parts):
            raise ValueError("names of an adaptation must be texts")
        sizes = [part["size"] for part in parts]
        if not all(type(size) is int and size > 0 for size in sizes) or sum(sizes) > MAX_NUMBERS:
            raise ValueError(f"an adaptation must have whole numbers of at most {MAX_NUMBERS} numbers in all")
        if not all(np.isfinite(one).all() for one in self.initial(np.random.default_rng(0)).values()):
            raise ValueError("initial numbers of an adaptation must be finite")


def _number(value: Any) -> float:
    """A number of the contract, which no text and no truth value stands for.

    Raises:
        TypeError: If it is none.
    """
    if type(value) not in (int, float):
        raise TypeError(f"{value!r:.40} is no number")
    return float(value)


def _read(path: Path) -> bytes:
    """Content of a file, and of nothing else: a pipe would never end."""
    if not path.is_file() or os.path.realpath(path).startswith(SYSTEM_FOLDERS):
        raise FileNotFoundError(f"{path} is missing, or no file")
    most = MAX_BYTES.get(path.name, MAX_FILE_BYTES)
    with path.open("rb") as file:
        content = file.read(min(most, path.stat().st_size) + 1)
    if len(content) > most:
        raise OSError(f"{path} has more than {most} bytes")
    return content


def _initial(part: dict[str, Any], generator: np.random.Generator) -> Array:
    if part["initial"] == DRAWN:
        return generator.standard_normal((1, part["size"]), np.float32)
    return np.frombuffer(base64.b64decode(part["initial"]), "<f4").astype(np.float32).reshape(1, part["size"])
