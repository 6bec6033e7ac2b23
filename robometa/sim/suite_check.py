"""Check of a suite's file by what a training makes of it: its model, its observation, every task, a first step."""

from __future__ import annotations

from contextlib import closing
from dataclasses import dataclass

import torch

from robometa.noise import Noise
from robometa.sim.changes import examples
from robometa.sim.influence import Influence, influences
from robometa.sim.locomotion import models
from robometa.sim.locomotion.beginnings import notes
from robometa.sim.locomotion.keyframes import key_names, keyframe_of
from robometa.sim.select import engine_of
from robometa.sim.signal import RobotSpaces
from robometa.sim.signals import robot_spaces
from robometa.suites.portable import portable_files
from robometa.suites.suite import Suite

ENDED = "ENDS THE EPISODE AT ITS FIRST STEP, so that no influence can be measured"
"""Remark on a beginning outside the limits of an episode."""


@dataclass(frozen=True)
class Checked:
    """Facts about a suite that its simulation shows."""

    signals: RobotSpaces
    beginning: str
    """Beginning of its episodes, in words; empty for a family that has no keyframes."""
    influences: tuple[Influence, ...]
    """Influence of each variation on the motion."""


def check_suite(suite: Suite) -> Checked:
    """Simulates a step of a suite, gives the engine each of its tasks, and measures its variations.

    Returns:
        What the simulation shows.

    Raises:
        UserError: Naming what would stop a training.
    """
    portable_files(suite)
    spaces = robot_spaces(suite)
    with closing(engine_of(suite, tasks=1, worlds=1, threads=1)) as engine:
        changed = [one for split in (suite.train, suite.test) for one in examples(split[0], suite.horizon)]
        for task in (*changed, *suite.train, *suite.test):
            engine.assign([task])
        engine.reset(Noise(0, ("check",), 1, 1))
        ended = bool(engine.step(torch.zeros(1, 1, engine.spaces.action)).terminated) and suite.horizon > 1
    beginning = beginning_in_words(suite) if suite.family.name == "locomotion" else ""
    if ended:
        return Checked(spaces, "; ".join(filter(None, (beginning, ENDED))), ())
    return Checked(spaces, beginning, tuple(influences(suite)))


def beginning_in_words(suite: Suite) -> str:
    """Describes where a robot's episodes begin, and what is wrong with it."""
    model, _ = models.compiled(suite.robot)
    key = keyframe_of(model, suite.robot)
    place = "as the model is drawn" if key is None else f"at the keyframe {key_names(model)[key]}"
    faults = notes(model, suite.robot)
    if faults and key is None and model.nkey:
        faults.append(f"keyframes: {', '.join(key_names(model))}")
    return "; ".join([place, *faults])
