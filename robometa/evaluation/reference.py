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
from robometa.policies.policy_folder import load_policy
from robometa.reports.gap import Reference
from robometa.reports.report import Report, without_root
from robometa.suites.suite import Suite

OPTION = "--reference ORACLE NO_ADAPTATION"


def load_references(policies: Sequence[str | Path], suite: Suite, device: str = "cpu") -> list[tuple[str, Learner]]:
    """Loads the oracle and the policy that does not adapt; returns the label and learner of each.

    Raises:
        UserError: If there are not two, they do not fit the suite, or one is not what it has to be.
    """
    if len(policies) != 2:
        raise UserError(f"{OPTION} takes two policies, not {len(policies)}")
    loaded = []
    for path, wanted in zip(policies, ("oracle", "policy that does not adapt"), strict=True):
        learner, _, manifest = load_policy(Path(path), suite, device=device)
        label = registry.label(manifest.learner)
        fits = sees_parameters(learner) if wanted == "oracle" else label == "no-adaptation"
        if not fits:
            raise UserError(f"{OPTION}: {path} is no {wanted}; its learner is {label}")
        loaded.append((f"{label} {without_root(str(path))}", learner))
    return loaded


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
        references: The oracle and the policy that does not adapt, as `load_references` returns them.
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
