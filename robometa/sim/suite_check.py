"""Check of a suite's file by what a training makes of it: its model, its observation, every task, a first step."""

from __future__ import annotations

from contextlib import closing

import torch

from robometa.noise import Noise
from robometa.sim.select import engine_of
from robometa.sim.signal import RobotSpaces
from robometa.sim.signals import robot_spaces
from robometa.suites.portable import portable_files
from robometa.suites.suite import Suite


def check_suite(suite: Suite) -> RobotSpaces:
    """Simulates a step of a suite, and gives the engine each of its tasks.

    Returns:
        The suite's signals.

    Raises:
        UserError: Naming what would stop a training.
    """
    portable_files(suite)
    spaces = robot_spaces(suite)
    with closing(engine_of(suite, tasks=1, worlds=1, threads=1)) as engine:
        for task in (*suite.train, *suite.test):
            engine.assign([task])
        engine.reset(Noise(0, ("check",), 1, 1))
        engine.step(torch.zeros(1, 1, engine.spaces.action))
    return spaces
