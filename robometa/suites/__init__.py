"""Suites: named distributions of tasks, read from TOML, drawn once, frozen and hashed. Standard library only."""

from robometa.suites.load import load
from robometa.suites.shipped import folder, names

__all__ = ["folder", "load", "names"]
