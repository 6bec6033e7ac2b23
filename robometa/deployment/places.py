"""Files of an export, and the folder that it may have; looked at before torch is loaded."""

from __future__ import annotations

import os
from pathlib import Path

from robometa.errors import UserError
from robometa.storage import atomic
from robometa.storage.paths import require_nameable, require_writable

STEP, ADAPT, CONTRACT, VECTORS = "step.onnx", "adapt.onnx", "contract.json", "vectors.safetensors"
"""Files of an export."""


def require_place(out: Path) -> None:
    """Checks that an export can have a path: nothing is there, or an empty folder, or an export.

    Raises:
        UserError: If anything else is there.
    """
    require_nameable(out)
    atomic.recover(out)
    if out.name in ("", ".."):
        raise UserError(f"an export needs a folder with a name of its own, not {out}")
    if not os.path.lexists(out):
        require_writable(out)
        return
    if out.is_symlink() or not out.is_dir():
        raise UserError(f"{out} is no folder: choose another --out")
    others = sorted({path.name for path in out.iterdir()} - {STEP, ADAPT, CONTRACT, VECTORS})
    if others:
        raise UserError(f"{out} holds {others[0]}, which is no file of an export: choose another --out")


def require_export(folder: Path) -> None:
    """Checks that a folder has a contract.

    Raises:
        UserError: If it has none.
    """
    atomic.recover(folder)
    if not os.path.lexists(folder / CONTRACT):
        raise UserError(f"{folder} is no export: it lacks {CONTRACT}; `robometa export` writes one")
