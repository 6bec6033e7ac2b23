"""Folders of searches, checked before anything heavy is loaded."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from robometa.errors import UserError
from robometa.escape import word
from robometa.registry.given import given
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


def resume_command(folder: str | Path, learners: Sequence[str]) -> str:
    """The command line that resumes a search of these learners; it names the user's own files."""
    return f"robometa search --resume {word(folder)}{given(*learners)}"


def require_free(folder: str | Path) -> Path:
    """The absolute path of a folder that a search can be written to.

    Raises:
        UserError: If something is there already, or on the way there.
    """
    path = checked(folder).absolute()
    if os.path.lexists(path):
        is_search = (path / SETTINGS).exists()
        going_on = f"go on with `{resume_command(folder, _learners_of(path))}`, or " if is_search else ""
        raise UserError(f"{folder} exists already: {going_on}choose another --folder")
    require_writable(path)
    return path


def _learners_of(search: Path) -> tuple[str, ...]:
    """Learners of a search; none if its description cannot be read."""
    from robometa.search.driver import read_settings

    try:
        return read_settings(search).learners
    except UserError:
        return ()
