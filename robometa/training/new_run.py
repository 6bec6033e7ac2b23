"""The folder of a run that is to begin; looked at before torch is loaded."""

from __future__ import annotations

import os
from pathlib import Path

from robometa import registry
from robometa.errors import UserError
from robometa.escape import word
from robometa.registry.given import given
from robometa.storage.paths import RUN, RUNS, require_writable
from robometa.suites.suite import Suite
from robometa.training.run_list import configuration


def default_folder(suite: Suite, learner: str, seed: int) -> Path:
    """Folder of a run for which none is given."""
    return Path(RUNS) / f"{suite.name.replace('/', '-')}-{registry.label(learner)}-{seed}"


def replaces(folder: Path, overwrite: bool) -> bool:
    """Tests if a new run replaces another.

    Raises:
        UserError: If something has the folder's path that must not be replaced, or a file is in its way.
    """
    if not os.path.lexists(folder):
        require_writable(folder)
        return False
    if not overwrite:
        raise exists_already(folder)
    if folder.is_symlink() or not (folder / RUN).is_file():
        raise UserError(f"{folder} is not the folder of a run: --overwrite replaces nothing else")
    return True


def exists_already(folder: Path) -> UserError:
    """The error of a folder that is there, and the commands that go on."""
    is_run = (folder / RUN).is_file()
    going_on = f"go on with `robometa resume {word(folder)}{given(_learner_of(folder))}`, or " if is_run else ""
    other = ", or replace it by --overwrite" if is_run else ""
    return UserError(f"{folder} exists already: {going_on}choose another --folder{other}")


def _learner_of(run: Path) -> str:
    """Learner of a run; an empty string if its run.json cannot be read."""
    try:
        return configuration(run / RUN).text("learner")
    except (OSError, UserError):
        return ""
