"""Folders of searches, checked before anything heavy is loaded."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from pathlib import Path

from robometa.errors import UserError
from robometa.escape import word
from robometa.registry.given import given
from robometa.storage.paths import checked, is_own_file, require_writable
from robometa.storage.sealed_folder import MAX_MANIFEST_BYTES
from robometa.storage.table import Table

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


def description(folder: Path) -> Table:
    """Content of a search's description.

    Raises:
        UserError: If there is none, or it is damaged.
    """
    path = folder / SETTINGS
    require_search(folder)
    if not is_own_file(folder, SETTINGS) or path.stat().st_size > MAX_MANIFEST_BYTES:
        raise UserError(f"{path} is damaged: it is no file, or a link, or has more than {MAX_MANIFEST_BYTES} bytes")
    try:
        return Table(json.loads(path.read_text(encoding="utf-8")), str(path))
    except (ValueError, RecursionError) as error:
        raise UserError(f"{path} is damaged: {str(error)[:200]}") from None


def _learners_of(search: Path) -> list[str]:
    """Learners of a search; none if its description cannot be read."""
    try:
        return [name for name in description(search).content["learners"] if isinstance(name, str)]
    except (KeyError, TypeError, UserError):
        return []
