"""Policies, runs and reports on disk, as a comparison reads them."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from robometa.errors import UserError
from robometa.reports import measured, probed, videos
from robometa.reports.measured import MAX_RETURN, Measured
from robometa.reports.probed import Probed
from robometa.reports.statistics import Array
from robometa.storage import sealed_folder
from robometa.storage.json_lines import Lines
from robometa.storage.paths import own_folder
from robometa.storage.sealed_folder import MANIFEST, TENSORS
from robometa.storage.table import Table

RUN, METRICS, TIMINGS = "run.json", "metrics.jsonl", "timings.jsonl"
MAX_RUN_BYTES = 1 << 24
"""Largest run.json, bytes."""
RETURN = re.compile(r"return_(\d{1,4})")
"""Name of the mean return of a shot in the metrics."""
HELD_OUT = re.compile(r"held_out_return_(\d{1,4})")
"""Name of the mean return of a shot on held-out tasks, in the metrics of some iterations."""
HARDWARE = ("device", "engine", "threads", "torch_threads", "collect")
"""Entries of run.json that say what computed it."""


@dataclass(frozen=True, eq=False)
class Curve:
    """Return of the last shot against environment steps."""

    steps: Array
    """Environment steps so far. `[iteration]`"""
    returns: Array
    """`[iteration]`"""


@dataclass(frozen=True, eq=False)
class Entry:
    """A policy, a run or a report."""

    path: Path
    """Its folder."""
    suite: str
    suite_hash: str
    learner: str
    seed: int
    """Seed of the training; of the evaluation where nothing was trained."""
    options: dict[str, Any]
    """Options of the learner; none for a report alone."""
    steps: int | None
    """Environment steps of the training."""
    minutes: float | None
    """Wall time of the training."""
    core_minutes: float | None
    """Processor time of the training."""
    hardware: dict[str, str]
    """Device, engine, threads and versions."""
    curve: Curve | None
    held_out: Curve | None
    """Held-out returns during the training."""
    measured: Measured | None
    policy: Path | None
    """Folder of the policy, if there is one."""
    tensors: str | None
    """SHA-256 of the policy's tensors."""
    videos: tuple[Path, ...]
    probed: Probed | None
    """Hidden parameters read from its adaptation, if it was probed."""


def read(path: Path) -> Entry | None:
    """Reads a policy, a run, or the report of an evaluation; None if the folder is none of these.

    Raises:
        UserError: If a file in it is damaged.
    """
    if (path / MANIFEST).is_file():
        beside = path / "training" if (path / "training" / RUN).is_file() else path.parent
        is_of_run = beside != path.parent or path.name == "policy"
        return _trained(path, path, beside if is_of_run and (beside / RUN).is_file() else None)
    if (path / RUN).is_file():
        policy = own_folder(path, "policy")
        return _trained(path, policy if (policy / MANIFEST).is_file() else None, path)
    report = measured.read(path) if path.is_dir() else None
    if report is None:
        return None
    return Entry(
        path=path,
        suite=report.suite,
        suite_hash=report.suite_hash,
        learner=report.learner,
        seed=report.seed,
        options={},
        steps=None,
        minutes=None,
        core_minutes=None,
        hardware={},
        curve=None,
        held_out=None,
        measured=report,
        policy=None,
        tensors=None,
        videos=(),
        probed=probed.read(path),
    )


def _trained(path: Path, policy: Path | None, run: Path | None) -> Entry:
    """Reads a policy and the files of its run, or a run that has no policy yet."""
    configuration = None if run is None else _configuration(run)
    manifest = None if policy is None else _manifest(policy)
    table = manifest or configuration
    assert table is not None  # there is a policy or a run
    training = None if manifest is None else manifest.table("training")
    rows = [] if run is None else list(Lines(run / METRICS).rows())
    seconds, processor = (None, None) if run is None else _seconds(run)
    if training is not None:
        seconds = training.number("wall_time_seconds", 0)
    steps = int(rows[-1]["steps"]) if rows and "steps" in rows[-1] else None
    return Entry(
        path=path,
        suite=_suite_name(table.text("suite")),
        suite_hash=table.text("suite_hash"),
        learner=_learner_name(table.text("learner")),
        seed=(training or table).whole("seed"),
        options=table.table("config").content,
        steps=steps if training is None else training.whole("environment_steps"),
        minutes=None if seconds is None else seconds / 60,
        core_minutes=None if processor is None else processor / 60,
        hardware=_hardware(configuration, training),
        curve=_curve(rows, RETURN),
        held_out=_curve(rows, HELD_OUT),
        measured=None if policy is None else measured.read(policy),
        policy=policy,
        tensors=None if manifest is None else manifest.table("files").text(TENSORS),
        videos=videos.beside(path if policy is None else policy, run),
        probed=None if policy is None else probed.read(policy),
    )


def _manifest(policy: Path) -> Table:
    """Reads the manifest of a policy."""
    content = sealed_folder.read_manifest(policy)
    if content.get("kind") != "policy":
        raise UserError(f"{policy} is not a policy: its kind is {content.get('kind')!r:.100}")
    return Table(content, str(policy / MANIFEST))


def _configuration(run: Path) -> Table:
    """Reads run.json."""
    text = measured.content(run, RUN, MAX_RUN_BYTES)
    try:
        return Table(json.loads(text), str(run / RUN))
    except (ValueError, RecursionError) as error:
        raise UserError(f"{run / RUN} is damaged: {str(error)[:200]}") from None


def _seconds(run: Path) -> tuple[float | None, float | None]:
    """Wall time and processor time of all iterations, s."""
    rows = list(Lines(run / TIMINGS).rows())
    wall = sum(row.get("sampling", 0.0) + row.get("update", 0.0) for row in rows)
    return (wall, sum(row.get("processor", 0.0) for row in rows) or None) if rows else (None, None)


def _hardware(configuration: Table | None, training: Table | None) -> dict[str, str]:
    """Device, engine, threads and versions, as far as they are known."""
    hardware = {}
    if configuration is not None:
        known = configuration.content
        hardware = {name: str(known[name]) for name in HARDWARE if isinstance(known.get(name), str | int)}
    table = training or configuration
    assert table is not None  # there is a policy or a run
    return hardware | (table.optional("versions", table.texts) or {})


def _curve(rows: list[dict[str, float]], named: re.Pattern[str]) -> Curve | None:
    """Returns of the last shot in a run's metrics; None if they have none of this name."""
    matches = [match for name in {name for row in rows for name in row} if (match := named.fullmatch(name))]
    if not matches:
        return None
    key = max(matches, key=lambda match: int(match[1])).string
    whole = [row for row in rows if all(abs(row.get(name, np.inf)) <= MAX_RETURN for name in (key, "steps"))]
    if not whole:
        return None
    return Curve(np.array([row["steps"] for row in whole]), np.array([row[key] for row in whole]))


def _suite_name(suite: str) -> str:
    """Name of a suite, of its file without the folder where a run has the path."""
    return Path(suite).stem if suite.endswith(".toml") else suite


def _learner_name(learner: str) -> str:
    """Name of a learner, without the folder of a user's own."""
    return learner.rpartition("/")[2] if ".py:" in learner else learner
