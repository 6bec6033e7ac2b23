"""Versions of the software that a result depends on."""

from __future__ import annotations

import platform
from importlib.metadata import version


def versions() -> dict[str, str]:
    """Versions of Python and the packages, and the machine's architecture."""
    packages = ("robometa", "torch", "mujoco", "gymnasium", "numpy")
    return {"python": platform.python_version(), "machine": platform.machine()} | {
        name: version(name) for name in packages
    }
