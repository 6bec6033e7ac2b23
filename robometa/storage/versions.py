"""Versions of what a result depends on."""

from __future__ import annotations

import platform
from importlib.metadata import version


def versions() -> dict[str, str]:
    """Versions of what a result depends on."""
    packages = ("robometa", "torch", "mujoco", "gymnasium", "numpy")
    return {"python": platform.python_version(), "machine": platform.machine()} | {
        name: version(name) for name in packages
    }
