"""End of a training: its policy and card."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

from robometa.errors import TrainingError, UserError
from robometa.policies import card, policy_folder
from robometa.policies.manifest import TrainingRecord
from robometa.storage import sealed_folder
from robometa.training import records
from robometa.training.loop import Training

COUNTED_SINCE = {"core_minutes", "gpu", "gradient_samples"}
"""Entries of a manifest that policies from before they were recorded do not have."""
OF_MACHINE = {"processors", "gpu"}
"""Entries of a manifest that name a machine: a resume on another one does not make another training."""


def finish(training: Training) -> Path:
    """Writes the policy and its card, unless they were written before.

    Raises:
        TrainingError: If the disk refuses them.
    """
    run, suite, learner, config = training.run, training.suite, training.learner, training.config
    try:
        training.metrics.flush()
        training.timings.flush()
        about = _record(training)
        policy, name = run.path / "policy", config.learner
        if not _written(policy, about, asdict(learner.config)):
            text = card.text(name, learner, suite, about)
            with run.opened() as folder:
                policy_folder.save_policy(policy, learner, name, suite, about, text, within=folder)
    except OSError as error:
        raise TrainingError(
            f"the policy could not be written to {run.path} ({error.strerror}). Make room there; then "
            f"{training.resume_command()} writes it, from iteration {training.checkpoints.newest} on"
        ) from None
    return policy


def _record(training: Training) -> TrainingRecord:
    """Description of a training for its policy, from its configuration and its tables."""
    return records.record_of(training.config, training.progress, list(training.metrics.rows()), training.timings.rows())


def _written(policy: Path, about: TrainingRecord, options: dict[str, Any]) -> bool:
    """True if the folder holds a whole policy of exactly this training, with or without a report."""
    try:
        manifest = sealed_folder.load(policy, "policy")[1]
    except UserError:
        return False
    known = manifest["training"]
    record = about.to_json() | {name: known[name] for name in OF_MACHINE & known.keys()}
    wanted = json.loads(json.dumps({"training": record, "config": options}))
    for name in COUNTED_SINCE - known.keys():
        wanted["training"].pop(name, None)
    return all(manifest.get(key) == value for key, value in wanted.items())
