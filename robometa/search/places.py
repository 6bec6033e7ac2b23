"""Folders of searches, checked before anything heavy is loaded."""

from __future__ import annotations

import os
from pathlib import Path

from robometa.errors import UserError
from robometa.escape import word
from robometa.registry import user_objective
from robometa.storage.paths import checked, require_writable

SETTINGS = "search.json"
"""File that makes a folder a search's."""


def require_search(folder: str | Path) -> Path:
    """The absolute path of a search's folder.

    Raises:
        UserError: If there is no search.
    """
    path = checked(folder).absolute()
    if not os.path.lexists(path / SETTINGS):
        raise UserError(f"no search here: {folder} has no {SETTINGS}")
    return path


def require_free(folder: str | Path) -> Path:
    """The absolute path of a folder that a search can be written to.

    Raises:
        UserError: If something is there already, or on the way there.
    """
    path = checked(folder).absolute()
    if os.path.lexists(path):
        going_on = (
            f"go on with `robometa search --resume {word(folder)}{user_objective.given()}`, or "
            if (path / SETTINGS).exists()
            else ""
        )
        raise UserError(f"{folder} exists already: {going_on}choose another --folder")
    require_writable(path)
    return path
