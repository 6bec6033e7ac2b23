"""The shipped suites: their folder and their names."""

from __future__ import annotations

from pathlib import Path


def folder() -> Path:
    """The folder of the shipped suites: packed into the wheel, or beside the package in a checkout."""
    packed = Path(__file__).parents[1] / "tasks"
    return packed if packed.is_dir() else Path(__file__).parents[2] / "tasks"


def names() -> list[str]:
    """Names of the shipped suites."""
    return sorted(path.stem for path in folder().glob("*.toml"))


def benchmark_names() -> list[str]:
    """Names of the shipped suites of Meta-World's tasks, `ml1` standing for one suite of each task."""
    return sorted(path.stem for path in (folder() / "metaworld").glob("*.toml"))
