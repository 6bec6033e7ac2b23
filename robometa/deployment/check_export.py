"""Verification of exported files as they are on disk."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors import torch as safetensors
from torch import Tensor

from robometa import suites
from robometa.deployment.contract import FORMAT
from robometa.deployment.export import ADAPT, CONTRACT, STEP, VECTORS
from robometa.deployment.exported_learner import ExportedLearner
from robometa.deployment.same_inputs import largest_gap, require_equal
from robometa.deployment.same_returns import Returns, require_within, returns_of
from robometa.deployment.to_onnx import require_onnx
from robometa.errors import UserError
from robometa.storage.open_folder import opened
from robometa.storage.table import Table
from robometa.suites.suite import Suite

MAX_BYTES = 1 << 30
"""Largest file of an export that is read."""


@dataclass(frozen=True)
class Checked:
    """Result of a check that passed."""

    gap: float
    """Largest gap on equal inputs."""
    policy_returns: Returns
    returns: Returns


def check_export(folder: Path, suite: Suite | None = None) -> Checked:
    """Checks exported files: their hashes, their outputs on the test vectors, and their returns in simulation.

    Args:
        folder: Folder of the export.
        suite: Suite to simulate; None for the shipped one that the contract names.

    Raises:
        UserError: If a check fails, or the folder is no export.
    """
    require_onnx()
    files = _files(folder)
    contract = _contract(folder, files.pop(CONTRACT))
    for name, wanted in contract["sha256"].items():
        if name not in files or hashlib.sha256(files[name]).hexdigest() != wanted:
            raise UserError(f"{folder / name} is missing or damaged: it is not the file that was exported")
    chosen = suites.load(contract["suite"]) if suite is None else suite
    if chosen.content_hash != contract["suite_hash"]:
        raise UserError(f"suite {chosen.name} is not the one that {folder} was exported with; --suite names another")
    exported = ExportedLearner(contract, files[STEP], files.get(ADAPT))
    gap = largest_gap(exported, _vectors(folder, files[VECTORS]))
    require_equal(gap)
    wanted = contract["returns"]
    found = returns_of(exported, chosen, wanted["tasks"], wanted["worlds"], wanted["shots"])
    require_within(found, wanted)
    return Checked(gap, wanted, found)


def _files(folder: Path) -> dict[str, bytes]:
    """Contents of the folder's files, by name.

    Raises:
        UserError: If the folder or one of them is missing, or too large.
    """
    found = {}
    try:
        with opened(folder) as place:
            for name in (CONTRACT, STEP, VECTORS, ADAPT):
                if name == ADAPT and not place.has_file(name):
                    continue
                if place.status(name).st_size > MAX_BYTES:
                    raise UserError(f"{folder / name} is larger than {MAX_BYTES} bytes")
                with place.file(name, "rb") as file:
                    found[name] = file.read()
    except (FileNotFoundError, NotADirectoryError) as error:
        raise UserError(f"{folder} is no export: it lacks {error.filename}; `robometa export` writes one") from None
    return found


def _contract(folder: Path, content: bytes) -> dict[str, Any]:
    """Reads a contract.

    Raises:
        UserError: If it is none, or of another format.
    """
    try:
        found = json.loads(content)
    except ValueError:
        raise UserError(f"{folder / CONTRACT} is damaged: it is not JSON") from None
    table = Table(found, str(folder / CONTRACT))
    if table.whole("format") != FORMAT:
        raise UserError(f"{folder / CONTRACT} is of format {found['format']}, and this version reads {FORMAT}")
    table.text("suite")
    table.text("suite_hash")
    table.texts("sha256")
    returns = table.table("returns")
    returns.whole("worlds", 1, 1000)
    returns.whole("shots", 0, 1)
    return table.content


def _vectors(folder: Path, content: bytes) -> dict[str, Tensor]:
    try:
        return safetensors.load(content)
    except SafetensorError as error:
        raise UserError(f"{folder / VECTORS} is damaged: {error}") from None
