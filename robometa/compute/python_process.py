"""Processes of Python that find this package where this process has it, and take no module from the current folder."""

from __future__ import annotations

import os
import site
import sys
from pathlib import Path


def python(*words: object) -> list[str]:
    """The command line of such a process: `python("-m", MODULE, ...)`."""
    return [sys.executable, "-P", *map(str, words)]


def environment(**variables: str) -> dict[str, str]:
    """Environment variables of such a process, and of what its libraries start; `variables` override this process's."""
    return os.environ | {"PYTHONPATH": python_path(), "PYTHONSAFEPATH": "1"} | variables


def python_path() -> str:
    """The folders that Python looks for modules in first: the one that holds this package, and the user's.

    A folder of installed packages is not among them: Python has it anyway, after its standard library, which a package
    of the same name would hide otherwise.
    """
    own = Path(__file__).parents[2]
    places = [] if own in _installed() else [str(own)]
    return os.pathsep.join([*places, *filter(None, [os.environ.get("PYTHONPATH")])])


def _installed() -> set[Path]:
    """Folders of installed packages that this Python looks in."""
    return {Path(place) for place in (*site.getsitepackages(), site.getusersitepackages()) if place in sys.path}
