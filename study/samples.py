"""Gradient samples of trainings: as their records have them, or by the options of those from before they were counted.

No episode of the table's suites ends early, so every update of such a training used as many.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from robometa.registry.options import read_config

ONE_PASS = ("maml-trpo", "fomaml", "anil", "meta-sgd", "e-maml", "reptile")
"""Learners that use every step of a trial once: in an inner step, or in the outer one."""


def of(records: list[dict[str, Any]]) -> float | None:
    """Gradient samples of a training, mean over its records; None if they are not known of all."""
    counts = [record.get("gradient_samples") or by_options(record) for record in records]
    return None if None in counts else float(np.mean([count for count in counts if count is not None]))


def by_options(record: dict[str, Any]) -> float | None:
    """Gradient samples of a record by its learner's options; None for a learner that is not known here."""
    learner, steps = record["learner"], record["environment_steps"]
    if learner in ONE_PASS:
        return float(steps)
    if not record.get("configuration"):
        return None
    options: Any = read_config(learner, record["configuration"])
    if learner == "pearl":
        per_step = options.meta_batch * (options.context + options.batch)
        return float(options.iterations * options.gradient_steps * per_step)
    if learner == "amago":
        return float(options.iterations * options.gradient_steps * options.batch * options.sequence)
    if learner == "grbal":
        per_step = options.windows * options.members * (options.past + options.future)
        return float(options.iterations * options.gradient_steps * per_step)
    if not hasattr(options, "epochs"):
        return None
    # An encoder of VariBAD reads whole trials, in each of its gradient steps.
    trial = steps / (options.tasks * options.worlds) if learner == "varibad" else 0.0
    return float(options.epochs * steps + (trial * options.gradient_steps * options.batch if trial else 0.0))
