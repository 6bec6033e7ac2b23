"""Few-shot evaluation on held-out tasks: as many episodes for every task, before adaptation and after each shot."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any

from robometa import registry
from robometa.compute.hardware import ALL_PROCESSORS, Hardware
from robometa.data import Spaces
from robometa.errors import UserError
from robometa.evaluation import by_protocol, protocols
from robometa.evaluation.by_shot import episodes_seen, score
from robometa.evaluation.protocols import Protocol
from robometa.evaluation.scripted_experts import Scripted, needs_experts
from robometa.learners.protocol import Learner
from robometa.learners.random import Config as RandomConfig
from robometa.learners.random import Random
from robometa.noise import Noise
from robometa.policies import card, policy_folder
from robometa.progress import progress
from robometa.reports.report import Report
from robometa.reports.scores import Scores, joined
from robometa.sim.engine import Engine
from robometa.storage import sealed_folder
from robometa.suites.suite import Suite, Task
from robometa.trials import make as making

WORLDS_AT_ONCE = 1000
"""Worlds that are stepped together; tasks are cut into the same pieces on every machine."""
SIMULATIONS_AT_ONCE = 400
"""The same where every world is a simulation of its own, of some megabytes."""
SHOTS = 2
"""Adaptations if nothing else is asked for."""


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
) -> Report:
    """Measures how a trained policy adapts to the held-out tasks of a suite.

    Args:
        policy: Its folder.
        suite: Another suite than the one it was trained on, with the same observation and action.
        split: `test` for held-out tasks, `train` for those it was trained on.
        shots: Adaptations; 2 if None.
        worlds: Episodes of each task at each shot; 20 if None. Where an adaptation pools worlds this is also how many
            it learns from, and None stands for as many as in training.
        seed: Of resets and exploration.
        threads: Threads that step the simulation.
        learner: `FILE.py:CLASS`, for a policy whose learner is one of your own.
        tasks: Only so many of the split's tasks, from the first (of Meta-World's suites: goals of each task); all if
            None.
        protocol: A protocol's name, which then says shots, worlds and tasks; `none` for none. If None, Meta-World's
            suites of held-out goals have theirs unless shots or worlds are given.
        device: Where the learner's tensors shall be.
        engine: What simulates: `cpu`, `warp`, or `auto`.
        contact_capacity: Multiplier on MuJoCo Warp's contact buffer; 1 is almost always enough.
    Raises: UserError: If the policy, its sizes or a number asked for is wrong.
    """
    hardware = Hardware(device, engine, contact_capacity, threads)
    trained, suite, manifest = policy_folder.load_policy(Path(policy), suite, device=device, learner=learner)
    return measure(
        trained,
        suite,
        split=split,
        shots=shots,
        worlds=worlds,
        seed=seed,
        name=registry.label(manifest["learner"]),
        policy=str(policy),
        tasks=tasks,
        protocol=chosen_protocol(suite, protocol, shots, worlds),
        hardware=hardware,
    )


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
    """Measures Meta-World's scripted experts on a suite: one episode of each task, as nothing in them is random.

    Args: as `evaluate`'s; a protocol is only followed if it is named.
    Raises: UserError: If the suite is not Meta-World's, or a number asked for is wrong.
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
    """The protocol of a name, or the suite's own if nothing else was asked for.

    Raises: UserError: If there is no such protocol, it is not for the suite, or it leaves no choice of a number given.
    """
    if name == protocols.NONE:
        return None
    if name is None:
        return protocols.default(suite) if shots is None and worlds is None else None
    found = protocols.find(name, suite)
    if shots is not None or worlds is not None:
        raise UserError(f"protocol {name} says how many episodes there are: leave out shots and worlds")
    return found


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
) -> Report:
    """The same for a learner in memory, which is not changed; `for_tasks` may give tasks a learner of their own."""
    shots = SHOTS if shots is None else shots
    worlds = _worlds(learner, worlds, protocol)
    for asked, value, low, high in (("shots", shots, 0, 1000), ("worlds", worlds, 1, 100_000)):
        if not low <= value <= high:
            raise UserError(f"{asked} must be from {low} to {high}, not {value}")
    chosen = _chosen(suite, split, tasks, protocol)
    piece = max(1, (SIMULATIONS_AT_ONCE if suite.family.one_simulation_per_world else WORLDS_AT_ONCE) // worlds)
    pieces = [chosen[start : start + piece] for start in range(0, len(chosen), piece)]
    parts = []
    with progress() as bar:
        rollouts = 2 * shots + 3 if protocol is None else by_protocol.rollouts(protocol, learner)
        shown = bar.add_task("evaluating", total=len(pieces) * rollouts)
        advance = lambda: bar.advance(shown)  # noqa: E731
        for index, some in enumerate(pieces):
            acting = for_tasks(some) if for_tasks else learner
            make = partial(making.engine_for, learner, suite, len(some), hardware=hardware)
            if protocol is None:
                noise = Noise(seed, ("evaluate", split, index), len(some), worlds)
                parts.append(_piece(make(worlds), acting, some, shots, noise, advance))
            else:
                noise = Noise(seed, ("evaluate", protocol.name, split, index), len(some), worlds)
                parts.append(_piece_by(protocol, make, acting, some, noise, advance))
    mean_action, exploring, chance = (joined(scores, axis=1) for scores in zip(*parts, strict=True))
    words = [task.describe() for task in chosen]
    names = tuple(task.objective for task in chosen) if suite.family.has_goals else ()
    return Report(
        suite=suite.name,
        suite_hash=suite.content_hash,
        split=split,
        learner=name,
        policy=policy,
        seed=seed,
        tasks=tuple(": ".join(told) for told in zip(names, words, strict=True)) if names else tuple(words),
        **_experience(learner, suite, shots, worlds, exploring, protocol),
        mean_action=mean_action,
        exploring=exploring,
        random=chance,
        has_success=suite.has_success,
        names=names,
        protocol="" if protocol is None else protocol.label(tasks),
    )


def _worlds(learner: Learner, worlds: int | None, protocol: Protocol | None) -> int:
    """Worlds of each task while a learner adapts."""
    if protocol is not None:
        return by_protocol.worlds(protocol, learner)
    if worlds is not None:
        return worlds
    return learner.config.worlds if learner.pools_worlds else 20


def _experience(
    learner: Learner, suite: Suite, shots: int, worlds: int, exploring: Scores, protocol: Protocol | None
) -> dict[str, Any]:
    """Episodes and steps of a task that an adaptation has seen at each shot."""
    if protocol is not None:
        episodes = protocol.adaptation
        return {"episodes_seen": (0.0, float(episodes)), "steps_seen": (0, episodes * suite.horizon)}
    each = worlds if learner.pools_worlds else 1
    return {
        "episodes_seen": episodes_seen(exploring.episodes, learner.pools_worlds),
        "steps_seen": tuple(shot * each * suite.horizon for shot in range(shots + 1)),
    }


def _chosen(suite: Suite, split: str, tasks: int | None, protocol: Protocol | None) -> tuple[Task, ...]:
    """The tasks to measure."""
    known = suite.tasks(split)
    if tasks is None and protocol is not None:
        tasks = protocol.goals
    return known if tasks is None else suite.family.first(known, tasks)


def _piece(
    engine: Engine, learner: Learner, tasks: tuple[Task, ...], shots: int, noise: Noise, advance: Callable[[], None]
) -> tuple[Scores, Scores, Scores]:
    """A learner's scores, acting without noise and exploring, and those of random actions."""
    with closing(engine):
        scores = score(engine, learner, tasks, shots, noise, advance)
        return *scores, score(engine, _nothing(noise.seed), tasks, 0, noise, advance)[1]


def _piece_by(
    protocol: Protocol,
    make: by_protocol.Make,
    learner: Learner,
    tasks: tuple[Task, ...],
    noise: Noise,
    advance: Callable[[], None],
) -> tuple[Scores, Scores, Scores]:
    """The same by a protocol."""
    scores = by_protocol.follow(protocol, learner, make, tasks, noise, advance)
    with closing(make(1)) as engine:
        engine.assign(tasks)
        source = noise.fork("random")
        chance = by_protocol.episodes(engine, _nothing(noise.seed), None, protocol.evaluation, source, advance=advance)
    return *scores, chance


def _nothing(seed: int) -> Random:
    """Random actions, whatever the sizes."""
    return Random(RandomConfig(), Spaces(1, 1), seed)


def write_card(policy: Path, report: Report, learner: str | None = None) -> None:
    """Writes a policy's card anew, with what was measured."""
    trained, suite, manifest = policy_folder.load_policy(policy, learner=learner)
    text = card.text(manifest["learner"], trained, suite, manifest["training"], report)
    sealed_folder.put(policy, {"README.md": text})
