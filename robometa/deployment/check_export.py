"""Verification of exported files as they are on disk."""

from __future__ import annotations

import hashlib
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from robometa.deployment import read_export
from robometa.deployment.exported_learner import ExportedLearner
from robometa.deployment.places import ADAPT, CONTRACT, STEP, VECTORS
from robometa.deployment.same_inputs import largest_gap, require_equal
from robometa.deployment.same_returns import Returns, require_within, returns_of
from robometa.deployment.to_onnx import require_onnx
from robometa.errors import UserError
from robometa.suites.suite import Suite


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
    files = read_export.files(folder)
    contract = read_export.contract(folder, files.pop(CONTRACT))
    listed = contract.texts("sha256")
    for name in {**files, **listed}:
        if name not in files or hashlib.sha256(files[name]).hexdigest() != listed.get(name):
            raise UserError(f"{folder / name} is missing or damaged: it is not the file that was exported")
    chosen = read_export.shipped_suite(contract) if suite is None else suite
    read_export.require_suite(contract, chosen)
    vectors = read_export.vectors(folder, files[VECTORS], contract, adapts=ADAPT in files)
    wanted: Returns = contract.content["returns"]
    with closing(ExportedLearner(contract.content, files[STEP], files.get(ADAPT))) as exported:
        gap = largest_gap(exported, vectors)
        require_equal(gap, read_export.tolerance(contract))
        returns = returns_of(exported, chosen, wanted["tasks"], wanted["worlds"], wanted["shots"])
    require_within(returns, wanted)
    return Checked(gap, wanted, returns)
