"""Evaluates the policy of a folder, or the newest of a run, from Python."""

from __future__ import annotations

from pathlib import Path

from robometa import registry
from robometa.compute.hardware import Hardware
from robometa.evaluation.evaluate import chosen_protocol, measure
from robometa.reports.report import Report
from robometa.suites.suite import Suite
from robometa.training.load import newest


def evaluate(
    policy: str | Path,
    *,
    suite: Suite | None = None,
    split: str = "test",
    shots: int | None = None,
    worlds: int | None = None,
    seed: int = 0,
    threads: int | None = None,
    learner: str | None = None,
    tasks: int | None = None,
    protocol: str | None = None,
    device: str = "cpu",
    engine: str = "cpu",
    contact_capacity: float = 1.0,
    collect: str = "here",
    control: bool = False,
) -> Report:
    """Evaluates a trained policy's adaptation to the held-out tasks of a suite.

    Args:
        policy: Folder of a policy, or of a run (finished or not): its policy or its newest checkpoint.
        suite: Another suite than the training's, with the same observation and action.
        split: `test` for held-out tasks, `train` for those of the training.
        shots: Adaptations; 2 if None.
        worlds: Episodes of each task at each shot. A learner that pools worlds adapts to the same number. None means
            the training's number if it pools worlds, otherwise for 20.
        seed: Seed of resets and exploration.
        threads: Threads that step the simulation.
        learner: `FILE.py:CLASS`, for a policy of your own learner.
        tasks: Number of the split's tasks, from the first (of Meta-World's suites: of each task's goals); all if None.
        protocol: A protocol's name, which fixes shots, worlds and tasks; `none` for none. None stands for the suite's
            own protocol if it has one and neither shots nor worlds are given.
        device: Device of the learner's tensors.
        engine: The simulator: `cpu`, `warp`, or `auto`.
        contact_capacity: Multiplier on MuJoCo Warp's contact buffer; 1 is almost always enough.
        collect: Who computes the tasks: `here`, `processes` (one for each processor) or `processes:N`. Reports do not
            depend on it.
        control: Measure after each shot also what the policy does with its adaptation forgotten.

    Returns:
        The report.

    Raises:
        UserError: If the policy, its sizes or a number is wrong.
    """
    hardware = Hardware(device, engine, contact_capacity, threads, collect=collect)
    source = newest(policy)
    trained, suite, manifest = source.load(suite, device, learner)
    return measure(
        trained,
        suite,
        split=split,
        shots=shots,
        worlds=worlds,
        seed=seed,
        name=registry.label(manifest.learner),
        policy=str(source.folder),
        tasks=tasks,
        protocol=chosen_protocol(suite, protocol, shots, worlds),
        hardware=hardware,
        reference=manifest.learner,
        control=control,
    )
