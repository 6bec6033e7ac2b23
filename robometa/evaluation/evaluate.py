"""Few-shot evaluation on held-out tasks: a fixed quota of episodes of every task at every shot."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from robometa.compute.hardware import ALL_PROCESSORS, Hardware
from robometa.errors import UserError
from robometa.escape import say
from robometa.evaluation import by_protocol, by_shot, protocols
from robometa.evaluation.measurement import Measurement, by_processes
from robometa.evaluation.protocols import Protocol
from robometa.evaluation.scripted_experts import Scripted, needs_experts
from robometa.learners.protocol import Learner
from robometa.policies import card
from robometa.policies.manifest import PolicyManifest
from robometa.progress import progress
from robometa.reports.report import Report
from robometa.reports.scores import Scores, joined, judged
from robometa.suites.suite import Suite
from robometa.suites.task import Task
from robometa.trials.collectors.choose import processes_of

WORLDS_AT_ONCE = 1000
"""Maximum number of worlds that are stepped together; tasks are cut into the same pieces on every machine."""
SIMULATIONS_AT_ONCE = 400
"""Maximum number of worlds that are stepped together where each keeps a simulation, of some megabytes."""
SHOTS = 2
"""Default number of adaptations."""


def evaluate_experts(
    suite: Suite,
    *,
    split: str = "test",
    shots: int | None = None,
    worlds: int | None = None,
    threads: int | None = None,
    tasks: int | None = None,
    protocol: str | None = None,
) -> Report:
    """Evaluates Meta-World's scripted experts on a suite: one episode of each task, because nothing in them is random.

    Args:
        suite: One of Meta-World's suites.
        split: `test` for held-out tasks, `train` for those to train on.
        shots: Adaptations, none of which changes anything; 0 if None.
        worlds: Episodes of each task; 1 if None.
        threads: Threads that step the simulation.
        tasks: Number of each task's goals, from the first; all if None.
        protocol: A protocol's name; None stands for none.

    Returns:
        The report.

    Raises:
        UserError: If the suite is not Meta-World's, or a number is wrong.
    """
    needs_experts(suite)
    return measure(
        Scripted(),
        suite,
        split=split,
        shots=shots or 0,
        worlds=worlds or 1,
        hardware=Hardware(threads=threads),
        name="scripted",
        tasks=tasks,
        protocol=chosen_protocol(suite, protocol or protocols.NONE, shots, worlds),
        for_tasks=Scripted,
    )


def chosen_protocol(suite: Suite, name: str | None, shots: int | None, worlds: int | None) -> Protocol | None:
    """Returns the protocol of a name, or the suite's own if neither name, shots nor worlds are given.

    Args:
        suite: The suite to evaluate on.
        name: A protocol's name; `none` for none.
        shots: Adaptations, if given.
        worlds: Episodes of each task, if given.

    Returns:
        The protocol, or None.

    Raises:
        UserError: If there is no such protocol, it is not for the suite, or it fixes a number that is given too.
    """
    if name == protocols.NONE:
        return None
    if name is None:
        return protocols.default(suite) if shots is None and worlds is None else None
    protocol = protocols.find(name, suite)
    if shots is not None or worlds is not None:
        raise UserError(f"protocol {name} says how many episodes there are: leave out shots and worlds")
    return protocol


def measure(
    learner: Learner,
    suite: Suite,
    *,
    split: str = "test",
    shots: int | None = None,
    worlds: int | None = None,
    seed: int = 0,
    name: str = "",
    policy: str = "",
    tasks: int | None = None,
    protocol: Protocol | None = None,
    for_tasks: Callable[[tuple[Task, ...]], Learner] | None = None,
    hardware: Hardware = ALL_PROCESSORS,
    reference: str | None = None,
    control: bool = False,
) -> Report:
    """Evaluates a learner that is already loaded, without modifying it.

    Args:
        learner: Acts and adapts.
        suite: The suite of the tasks.
        split: `test` or `train`.
        shots: As `evaluate`'s.
        worlds: As `evaluate`'s.
        seed: Seed of resets and exploration.
        name: The learner's name in the report.
        policy: The policy's folder in the report.
        tasks: As `evaluate`'s.
        protocol: The protocol to follow, if any.
        for_tasks: Makes a learner for some of the tasks, which then acts on them in the place of `learner`.
        hardware: The engine, its threads and its contact capacity, and who collects: `here` or processes.
        reference: The learner's name, or the file and class of one of the user's own, by which processes build it;
            `name` if None.
        control: As `evaluate`'s.

    Returns:
        The report.

    Raises:
        UserError: If a number is out of its range, or there is no such collector.
        TrainingError: If processes that collect die or hang again and again.
    """
    shots = SHOTS if shots is None else shots
    worlds = _worlds(learner, worlds, protocol)
    for label, value, low, high in (("shots", shots, 0, 1000), ("worlds", worlds, 1, 100_000)):
        if not low <= value <= high:
            raise UserError(f"{label} must be from {low} to {high}, not {value}")
    chosen = _chosen(suite, split, tasks, protocol)
    if protocol is None and (late := suite.unreached(shots)) is not None:
        say(f"warning: {late}; --shots sets the number of rollouts", error=True)
    piece = max(1, (SIMULATIONS_AT_ONCE if suite.family.one_simulation_per_world else WORLDS_AT_ONCE) // worlds)
    pieces = list(enumerate(chosen[start : start + piece] for start in range(0, len(chosen), piece)))
    measurement = Measurement(suite, split, shots, worlds, seed, protocol, hardware, control)
    processes = processes_of(hardware.collect)
    parts: list[tuple[Scores, ...]] = [()] * len(pieces)
    with progress() as bar:
        by_shots = 2 * shots + 3 + control * shots
        rollouts = by_shots if protocol is None else by_protocol.rollouts(protocol, learner, control)
        counter = bar.add_task("evaluating", total=len(pieces) * rollouts)
        advance = lambda: bar.advance(counter)  # noqa: E731
        if processes and for_tasks is None:
            for place, scores in by_processes(measurement, learner, reference or name, pieces, processes):
                parts[place] = scores
                bar.advance(counter, rollouts)
        else:
            for place, some in pieces:
                acting = for_tasks(some) if for_tasks else learner
                parts[place] = measurement.scores(learner, (place, some), acting, advance)
    *measured, chance = (joined(scores, axis=1) for scores in zip(*parts, strict=True))
    mean_action, exploring, *forgetful, random = (judged(scores, chance) for scores in (*measured, chance))
    words = [task.all_numbers() for task in chosen]
    names = tuple(task.objective for task in chosen) if suite.family.has_goals else ()
    return Report(
        suite=suite.name,
        suite_hash=suite.content_hash,
        split=split,
        learner=name,
        policy=policy,
        seed=seed,
        tasks=tuple(f"{name}: {text}" for name, text in zip(names, words, strict=True)) if names else tuple(words),
        **_experience(learner, suite, shots, worlds, exploring, protocol),
        mean_action=mean_action,
        exploring=exploring,
        random=random,
        has_success=suite.has_success,
        names=names,
        protocol="" if protocol is None else protocol.label(tasks),
        adapts_within_episode=learner.adapts_within_episode,
        control=forgetful[0] if forgetful else None,
    )


def _worlds(learner: Learner, worlds: int | None, protocol: Protocol | None) -> int:
    """Returns the worlds of each task during an adaptation."""
    if protocol is not None:
        return by_protocol.worlds(protocol, learner)
    if worlds is not None:
        return worlds
    return learner.config.worlds if learner.pools_worlds else 20


def _experience(
    learner: Learner, suite: Suite, shots: int, worlds: int, exploring: Scores, protocol: Protocol | None
) -> dict[str, Any]:
    """Counts the episodes and steps of a task that an adaptation has learned from at each shot."""
    if protocol is not None:
        episodes = protocol.adaptation
        return {"episodes_seen": (0.0, float(episodes)), "steps_seen": (0, episodes * suite.horizon)}
    each = worlds if learner.pools_worlds else 1
    return {
        "episodes_seen": by_shot.episodes_seen(exploring.episodes, learner.pools_worlds),
        "steps_seen": tuple(shot * each * suite.horizon for shot in range(shots + 1)),
    }


def _chosen(suite: Suite, split: str, tasks: int | None, protocol: Protocol | None) -> tuple[Task, ...]:
    """The tasks to measure."""
    known = suite.tasks(split)
    if tasks is None and protocol is not None:
        tasks = protocol.goals
    return known if tasks is None else suite.family.first(known, tasks)


def save_with_card(
    policy: Path, learner: Learner, suite: Suite, manifest: PolicyManifest, report: Report
) -> list[Path]:
    """Writes the report of a loaded policy and its renewed card into its folder; returns the paths of the report.

    Raises:
        UserError: If the folder holds another policy by now, or another process writes to it for too long.
    """
    text = card.text(manifest.learner, learner, suite, manifest.training, report.described())
    return report.save(policy, text, manifest.tensors_sha256)
