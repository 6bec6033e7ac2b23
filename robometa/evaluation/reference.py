"""References measured beside a policy: an oracle and a policy that does not adapt, for a suite of one's own."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from robometa import registry
from robometa.compute.hardware import Hardware
from robometa.errors import UserError
from robometa.evaluation.evaluate import measure
from robometa.evaluation.protocols import Protocol
from robometa.learners.protocol import Learner, sees_parameters
from robometa.reports.gap import Reference
from robometa.reports.report import Report, without_root
from robometa.suites.suite import Suite

OPTION = "--reference ORACLE NO_ADAPTATION"
Loaded = tuple[Path, Learner, str]
"""Folder, learner and learner's name of a policy."""


def labelled(oracle: Loaded, unadapted: Loaded) -> list[tuple[str, Learner]]:
    """Labels and learners of an oracle and of a policy that does not adapt.

    Raises:
        UserError: If one is not what it has to be.
    """
    pair = []
    for (folder, learner, name), wanted in ((oracle, "oracle"), (unadapted, "policy that does not adapt")):
        label = registry.label(name)
        fits = sees_parameters(learner) if wanted == "oracle" else label == "no-adaptation"
        if not fits:
            raise UserError(f"{OPTION}: {folder} is no {wanted}; its learner is {label}")
        pair.append((f"{label} {without_root(str(folder))}", learner))
    return pair


def compared(
    report: Report,
    suite: Suite,
    references: Sequence[tuple[str, Learner]],
    *,
    worlds: int | None = None,
    tasks: int | None = None,
    protocol: Protocol | None = None,
    hardware: Hardware | None = None,
) -> Report:
    """Measures the references on the tasks of a report, and returns the report with the gap closed between them.

    Args:
        report: The report of the policy.
        suite: The suite that it was measured on.
        references: The oracle and the policy that does not adapt, as `labelled` returns them.
        worlds: Episodes of each task, as of the policy.
        tasks: Number of tasks, as of the policy.
        protocol: Protocol of the report.
        hardware: Where to simulate.
    """
    oracle, unadapted = (
        measure(
            learner,
            suite,
            split=report.split,
            shots=0 if protocol is None else None,
            worlds=worlds,
            seed=report.seed,
            name=label,
            tasks=tasks,
            protocol=protocol,
            hardware=hardware or Hardware(),
        )
        for label, learner in references
    )
    first = unadapted.successes(unadapted.mean_action, 0)
    reference = Reference(
        unadapted=unadapted.sample(0),
        oracle=oracle.sample(0),
        random=float(report.random.returns.mean()),
        tasks=len(report.tasks),
        source=f"{oracle.learner} and {unadapted.learner}, one policy each: their training seeds are not resampled",
        success=(first["success"], first["success_any_step"]),
        oracle_pace=oracle.mean_action.mean_pace(),
    )
    return replace(report, measured_reference=reference)
