"""Import of Matplotlib without the `matplotlibrc` of the current folder, which it would read before any other."""

from __future__ import annotations

import contextlib
import os
import sys
from pathlib import Path

RC = "matplotlibrc"
"""Name of a file of settings: any program's folder may hold one, damaged or endless."""


def import_matplotlib() -> None:
    """Imports Matplotlib, from another folder if the current one holds settings."""
    if "matplotlib" in sys.modules or not os.path.lexists(RC):
        return
    before = os.open(".", os.O_RDONLY)
    try:
        with contextlib.chdir(Path(__file__).parent):
            import matplotlib  # noqa: F401
    finally:
        os.fchdir(before)
        os.close(before)
