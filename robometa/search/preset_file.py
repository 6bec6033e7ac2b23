"""Files of options, such as a search's `best.toml`: a learner, its preset, and the options that differ from it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from robometa.errors import UserError, unknown
from robometa.escape import printable
from robometa.registry import label
from robometa.registry.given import given
from robometa.search.record import Trial
from robometa.search.settings import Settings
from robometa.search.space import Space
from robometa.storage.paths import is_plain_file
from robometa.suites.toml_file import read_toml, written

BEST = "best.toml"
"""File of the best options of a search."""
KEYS = ("learner", "preset", "options", "found")


class Chosen(NamedTuple):
    """Content of a file of options."""

    learner: str
    """Short name of the learner; empty if the file names none."""
    preset: str | None
    options: dict[str, Any]


def text(space: Space, trial: Trial, settings: Settings, name: str) -> str:
    """Writes the options of a trial as TOML.

    Args:
        space: Space of its learner.
        trial: The trial.
        settings: Settings of the search.
        name: Name of the file.
    """
    suite, learner = printable(settings.suite), printable(space.learner)
    reached = trial.results[-1]
    table = {
        "learner": space.label,
        "preset": space.preset,
        "options": {name: trial.options[name] for name in sorted(trial.options)} | {"iterations": reached.whole},
        "found": {
            "suite": settings.suite,
            "suite_hash": settings.suite_hash,
            "trial": trial.name,
            "validation": {name: trial.scores[name] for name in settings.objectives},
        },
    }
    return f"# robometa train {suite} {learner} --config {name}{given()}\n{written(table)}"


def read(path: str | Path, learner: str) -> Chosen:
    """Reads a file of options for a learner.

    Raises:
        UserError: If it is no such file, or of another learner.
    """
    path = Path(path)
    if not is_plain_file(path):
        raise UserError(f"no file of options {path}: `robometa search` writes one, {BEST}")
    table = read_toml(path, path)
    for key in table:
        if key not in KEYS:
            raise UserError(unknown("key", key, KEYS, str(path)))
    named, preset, options = table.get("learner", ""), table.get("preset"), table.get("options", {})
    if not isinstance(named, str) or not isinstance(preset, str | None) or not isinstance(options, Mapping):
        raise UserError(f"{path} must have learner and preset, texts, and a table [options]")
    if named not in ("", label(learner)):
        raise UserError(f"{path} has options of learner {named}, not of {label(learner)}")
    return Chosen(named, preset, dict(options))
