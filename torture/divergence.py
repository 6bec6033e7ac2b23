"""Diverged simulations: NaN, infinities and 1e12 in every position, velocity and control of every robot.

Every such step must be caught, pay exactly nothing, end its episode, leave finite numbers and its neighbours alone;
and a training in which it happens again and again must count every one and keep every number finite.
"""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from robometa import suites
from robometa.noise import Noise
from robometa.sim.locomotion.engine import CpuEngine
from robometa.suites.suite import Suite
from robometa.training.run_folder import METRICS, RunFolder
from torture.findings import Findings, Settings
from torture.trainings import TRAINED, Child, train

VALUES = (float("nan"), float("inf"), float("-inf"), 1e12, -1e12)
CLEAN = 2
"""Worlds beside those that are spoilt."""
EVERY, ITERATIONS = 7, 4


def run(settings: Settings) -> Findings:
    """Spoils every number of every robot, then trainings."""
    findings = Findings(counts={"injected": 0, "caught": 0})
    by_robot = {suite.robot.name: suite for suite in map(suites.load, suites.names())}
    findings.counts["robots"] = len(by_robot)
    for suite in by_robot.values():
        child = Child(lambda suite=suite: _spoil(suite, settings), settings.folder / f"{suite.robot.name}.log")
        if child.wait() != 0:
            findings.fail(f"{suite.robot.name}: {child.said()[-600:]}")
            continue
        for line in child.said().splitlines():
            name, _, rest = line.partition(" ")
            if name == "broken:":
                findings.fail(rest)
            elif name in ("injected", "caught"):
                findings.count(name, int(rest))
    names = settings.learners or (("maml-trpo", "pearl") if settings.short else TRAINED)
    for name in names:
        _spoil_training(name, settings.folder, findings)
    return findings


def _spoil(suite: Suite, settings: Settings) -> None:
    """Spoils each number of a robot in a world of its own; prints what came of it."""
    os.chdir(settings.folder)
    findings = Findings(counts={"injected": 0, "caught": 0})
    numbers = CpuEngine(suite, 1, 1, threads=1)
    model = numbers.model
    places = [*range(1, 1 + model.nq + model.nv), *range(-numbers.spaces.action, 0)]
    numbers.close()
    engine = CpuEngine(suite, 1, len(places) + CLEAN, threads=1)
    for value in VALUES[:1] + VALUES[3:4] if settings.short else VALUES:
        _step_spoilt(engine, places, value, findings)
    engine.close()
    if Path("MUJOCO_LOG.TXT").exists():
        findings.fail(f"{suite.robot.name}: MUJOCO_LOG.TXT was left behind")
    print("\n".join(f"{name} {count}" for name, count in findings.counts.items()))
    print("\n".join(f"broken: {failure}" for failure in findings.failures))


def _step_spoilt(engine: CpuEngine, places: list[int], value: float, findings: Findings) -> None:
    """One step in which each world but the last ones is spoilt at its place, in its state or its action."""
    count = engine.worlds
    engine.reset(Noise(0, ("torture",), 1, count))
    action = Noise(0, ("torture", "action"), 1, count).normal(engine.spaces.action).clamp(-1, 1)
    start = engine.state()
    straight = engine.step(action)
    after = engine.state()
    physics, spoilt = start.physics.copy(), action.clone()
    for world, place in enumerate(places):
        if place > 0:
            physics[0, world, place] = value
        else:
            spoilt[0, world, place] = value
    engine.restore(replace(start, physics=physics))
    before = engine.divergences
    outcome = engine.step(spoilt)
    findings.count("injected", len(places))
    findings.count("caught", int(outcome.diverged[0, : len(places)].sum()))
    bad, clean = slice(0, len(places)), slice(len(places), count)
    faults = {
        "not caught": not outcome.diverged[0, bad].all(),
        "a clean world was called diverged": bool(outcome.diverged[0, clean].any()),
        "not counted": engine.divergences - before != len(places),
        "paid": bool((outcome.reward[0, bad] != 0).any()),
        "a success": bool(outcome.success[0, bad].any()),
        "the episode went on": not outcome.terminated[0, bad].all(),
        "a number that is not finite": not all(
            bool(part.isfinite().all()) for part in (outcome.obs, outcome.next_obs, outcome.reward)
        ),
        "a neighbour was changed": any(
            not torch.equal(one[0, clean], other[0, clean]) for one, other in zip(outcome, straight, strict=True)
        )
        or (engine.state().physics[0, clean] != after.physics[0, clean]).any(),
        "it went on afterwards": bool(engine.step(action).diverged.any()),
    }
    for fault, there in faults.items():
        if there:
            findings.fail(f"{engine.robot.name}, {value}: {fault}")


def _spoil_training(learner: str, folder: Path, findings: Findings) -> None:
    """A training one of whose worlds blows up in every seventh step."""
    run = folder / learner
    child = Child(lambda: _train_spoilt(run, learner), folder / f"{learner}.log")
    if child.wait() != 0:
        findings.fail(f"{learner}: its training stopped: {child.said()[-600:]}")
        return
    injected = int((folder / f"{learner}.injected").read_text(encoding="utf-8"))
    rows = RunFolder(run).rows(METRICS)
    counted = sum(int(row["diverged"]) for row in rows)
    findings.count("injected into trainings", injected)
    findings.count("trainings")
    if counted != injected:
        findings.fail(f"{learner}: {injected} were injected into its training, and {counted} counted")
    newest = RunFolder(run).newest_checkpoint()
    assert newest is not None
    wrong = [name for name, tensor in newest.state.items() if not tensor.double().isfinite().all()]
    if wrong:
        findings.fail(f"{learner}: {', '.join(wrong)} hold numbers that are not finite")
    skipped = sum(int(row.get("skipped", 0)) for row in rows[-1:])
    if skipped:
        findings.fail(f"{learner}: {skipped} updates were skipped: a diverged step made a gradient not finite")


def _train_spoilt(run: Path, learner: str) -> None:
    os.chdir(run.parent)
    step, calls = CpuEngine.step, [0, 0]

    def spoiling(self: CpuEngine, action: Any) -> Any:
        calls[0] += 1
        if calls[0] % EVERY == 0 and self.tasks > 1:
            state = self.state()
            state.physics[0, calls[0] % self.worlds, 1 + calls[0] % 4] = VALUES[calls[0] % len(VALUES)]
            self.restore(state)
            calls[1] += 1
        return step(self, action)

    CpuEngine.step = spoiling  # type: ignore[method-assign]
    train(run, learner, ITERATIONS)
    if Path("MUJOCO_LOG.TXT").exists():
        raise RuntimeError("MUJOCO_LOG.TXT was left behind")
    run.with_suffix(".injected").write_text(str(calls[1]), encoding="utf-8")
