"""Processes of Python that find this package where this process has it, and take no module from the current folder."""

from __future__ import annotations

import os
import sys
from pathlib import Path


def python(*words: object) -> list[str]:
    """The command line of such a process: `python("-m", MODULE, ...)`."""
    return [sys.executable, "-P", *map(str, words)]


def environment(**variables: str) -> dict[str, str]:
    """Environment variables of such a process, and of what its libraries start; `variables` override this process's."""
    return os.environ | {"PYTHONPATH": python_path(), "PYTHONSAFEPATH": "1"} | variables


def python_path() -> str:
    """The folders that Python looks for modules in first: the one that holds this package, and the user's."""
    places = [str(Path(__file__).parents[2]), *filter(None, [os.environ.get("PYTHONPATH")])]
    return os.pathsep.join(places)
