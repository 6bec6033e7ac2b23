"""Simulations that blew up: what is kept of one, and what a slow look at its last step finds."""

from __future__ import annotations

import copy
import math
from collections.abc import Iterator
from dataclasses import dataclass

import mujoco
import numpy as np
import torch

from robometa.noise import Noise
from robometa.sim import models
from robometa.sim.engine import PHYSICS, CpuEngine
from robometa.sim.protocol import Divergence, SimulatorState
from robometa.sim.reader import MAXIMUM, Reader
from robometa.suites import Suite

SHOWN = 5
"""Numbers that are named, of those that are beyond the limit."""


@dataclass(frozen=True)
class Finding:
    """What happened when the last step of a simulation was done again."""

    again: bool
    """Whether it blew up again."""
    blown_up: list[str]
    """What was beyond the limit first, and when, in words; the worst first."""


def examine(suite: Suite, divergence: Divergence) -> Finding:
    """Does a step that blew up again: as the engine does it, then one physics step at a time."""
    engine = CpuEngine(suite, tasks=1, worlds=1, threads=1)
    engine.assign([divergence.task])
    count = np.zeros((1, 1), dtype=np.int64)
    engine.restore(
        SimulatorState(
            physics=divergence.physics.numpy().reshape(1, 1, -1),
            sensors=divergence.sensors.numpy().reshape(1, 1, -1),
            steps=count,
            episodes=count,
            obs=torch.zeros(0),
            noise=Noise(0, ("replay",), 1, 1),
        )
    )
    again = bool(engine.step(divergence.action.reshape(1, 1, -1)).diverged.any())
    engine.close()
    return Finding(again, _slowly(divergence))


def _slowly(divergence: Divergence) -> list[str]:
    """What is beyond the limit first: in the state before, the action, or after which physics step."""
    robot, model = divergence.task.robot, copy.copy(models.varied(divergence.task))
    model.opt.disableflags |= mujoco.mjtDisableBit.mjDSBL_AUTORESET  # or what blew up would be gone at once
    data = mujoco.MjData(model)
    mujoco.mj_setState(model, data, divergence.physics.numpy(), PHYSICS)
    found = _beyond(model, data)
    if found:
        return [f"{words}, before the step" for words in found]
    actions = enumerate(divergence.action.tolist())
    found = [f"action of {_name(model.actuator(index), index)} is {value:g}" for index, value in actions if _bad(value)]
    if found:
        return [f"{words}, as the policy gave it" for words in found[:SHOWN]]
    compiled, layout = models.compiled(robot)
    reader = Reader(robot, compiled, layout, torch.float64, "cpu")
    data.ctrl[:] = reader.control(divergence.action.unsqueeze(0))[0].numpy()
    for step in range(1, robot.frame_skip + 1):
        mujoco.mj_step(model, data)
        found = _beyond(model, data)
        if found:
            return [f"{words}, after physics step {step} of {robot.frame_skip}" for words in found]
    return []


def _beyond(model: mujoco.MjModel, data: mujoco.MjData) -> list[str]:
    """The accelerations, velocities and positions that are beyond the limit, in words, the worst few."""
    bad = [(kind, of, value) for kind, of, value in _numbers(model, data) if _bad(value)]
    bad.sort(key=lambda number: float("inf") if math.isnan(number[2]) else abs(number[2]), reverse=True)
    found = [f"{kind} of {of} is {value:g}" for kind, of, value in bad]
    more = [f"{len(found) - SHOWN} more numbers"] if len(found) > SHOWN else []
    return found[:SHOWN] + more


def _numbers(model: mujoco.MjModel, data: mujoco.MjData) -> Iterator[tuple[str, str, float]]:
    """Every number of the motion: its kind, the joint and body that it is of, and its value."""
    for joint in range(model.njnt):
        body = model.body(int(model.jnt_bodyid[joint]))
        of = f"joint {_name(model.joint(joint), joint)} (body {_name(body, body.id)})"
        dofs = np.flatnonzero(model.dof_jntid == joint)
        first = int(model.jnt_qposadr[joint])
        last = int(model.jnt_qposadr[joint + 1]) if joint + 1 < model.njnt else model.nq
        for kind, values in (
            ("acceleration", data.qacc[dofs]),
            ("velocity", data.qvel[dofs]),
            ("position", data.qpos[first:last]),
        ):
            yield from ((kind, of, float(value)) for value in values)


def _bad(value: float) -> bool:
    return not abs(value) < MAXIMUM


def _name(named: object, index: int) -> str:
    return getattr(named, "name", "") or str(index)
