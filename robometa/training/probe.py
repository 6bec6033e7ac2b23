"""Reads the hidden parameters from the adaptation of a policy, or of a run's newest, from Python."""

from __future__ import annotations

from pathlib import Path

from robometa import registry
from robometa.compute.hardware import Hardware
from robometa.evaluation.probe import SHOTS, TASKS, measure_probe
from robometa.reports.probed import Probed
from robometa.training.load import newest


def probe(
    policy: str | Path,
    *,
    tasks: int = TASKS,
    worlds: int | None = None,
    shots: int = SHOTS,
    seed: int = 0,
    learner: str | None = None,
    threads: int | None = None,
    device: str = "cpu",
) -> Probed:
    """Measures how well the hidden parameters can be read from a policy's adaptation, along trials of drawn tasks.

    A ridge regression and a small network are fitted on some tasks and read the others. An untrained learner of the
    same kind is read in the same way. Source: Alain and Bengio 2016, https://arxiv.org/abs/1610.01644.

    Args:
        policy: Folder of a policy, or of a run, which may still be going on: its policy or its newest checkpoint.
        tasks: Tasks to draw from the suite's distributions, at least 10; the listed ones of a suite without.
        worlds: Trials of each task; the training's number if the learner pools worlds, otherwise 4 if None.
        shots: Rollouts to adapt to.
        seed: Seed of tasks, resets, exploration and the untrained learner's weights.
        learner: `FILE.py:CLASS`, for a policy whose learner is one of your own.
        threads: Threads that step the simulation.
        device: Device of the learner's tensors.

    Returns:
        The result; `robometa probe` also writes it beside the policy.

    Raises:
        UserError: If the policy keeps nothing of a task, its suite hides no numbers, or a number is out of its range.
    """
    trained, suite, manifest = newest(policy).load(None, device, learner)
    return measure_probe(
        trained,
        suite,
        name=registry.label(manifest.learner),
        tasks=tasks,
        worlds=worlds,
        shots=shots,
        seed=seed,
        hardware=Hardware(device, threads=threads),
    )
