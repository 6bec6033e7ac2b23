"""Policies, runs and reports on disk, as a comparison reads them."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from robometa.errors import UserError
from robometa.reports import measured, probed, videos
from robometa.reports.curve import HELD_OUT, RETURN, Curve, Times, curve_of, read_times
from robometa.reports.measured import Measured
from robometa.reports.probed import Probed
from robometa.storage import sealed_folder
from robometa.storage.json_lines import Lines
from robometa.storage.paths import name_of_policy, own_folder
from robometa.storage.sealed_folder import MANIFEST, TENSORS
from robometa.storage.table import Table

RUN, METRICS = "run.json", "metrics.jsonl"
MAX_RUN_BYTES = 1 << 24
"""Largest run.json, bytes."""
HARDWARE = ("device", "engine", "threads", "torch_threads", "collect")
"""Entries of run.json that say what computed it."""


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
    """Processor time of the training; None if it was not recorded."""
    gradient_samples: int | None
    """Transitions that its gradient steps used, each as often as a step used it; None if not recorded."""
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
        gradient_samples=None,
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
    rows = [] if run is None else Lines(run / METRICS).listed()
    times = Times(None, {}) if run is None else read_times(run)
    minutes, core_minutes, gradient_samples = times.wall_minutes, times.all_core_minutes, None
    if training is not None:
        minutes = training.number("wall_time_seconds", 0) / 60
        core_minutes = core_minutes or training.optional("core_minutes", lambda key: training.number(key, 0))
        gradient_samples = training.optional("gradient_samples", lambda key: training.whole(key, 0))
    hardware = _hardware(configuration, training)
    axis = times.core_minutes if hardware.get("device", "cpu") == "cpu" else {}  # else a GPU's time is missing in it
    steps = int(rows[-1]["steps"]) if rows and "steps" in rows[-1] else None
    return Entry(
        path=path,
        suite=_suite_name(table.text("suite")),
        suite_hash=table.text("suite_hash"),
        learner=_learner_name(table.text("learner")),
        seed=(training or table).whole("seed"),
        options=table.table("config").content | _start(training or table),
        steps=steps if training is None else training.whole("environment_steps"),
        minutes=minutes,
        core_minutes=core_minutes,
        gradient_samples=gradient_samples,
        hardware=hardware,
        curve=curve_of(rows, RETURN, axis),
        held_out=curve_of(rows, HELD_OUT, axis),
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


def _hardware(configuration: Table | None, training: Table | None) -> dict[str, str]:
    """Device, engine, threads and versions, as far as they are known."""
    hardware = {}
    if configuration is not None:
        known = configuration.content
        hardware = {name: str(known[name]) for name in HARDWARE if isinstance(known.get(name), str | int)}
    table = training or configuration
    assert table is not None  # there is a policy or a run
    return hardware | (table.optional("versions", table.texts) or {})


def _start(table: Table) -> dict[str, str]:
    """The policy that a training started from, beside its options: it is compared with others of the same start."""
    begun = table.optional("started_from", table.table)
    return (
        {}
        if begun is None
        else {"start_from": f"{name_of_policy(Path(begun.text('policy')))} ({begun.text('sha256')[:8]})"}
    )


def _suite_name(suite: str) -> str:
    """Name of a suite, of its file without the folder where a run has the path."""
    return Path(suite).stem if suite.endswith(".toml") else suite


def _learner_name(learner: str) -> str:
    """Name of a learner, without the folder of a user's own."""
    return learner.rpartition("/")[2] if ".py:" in learner else learner
