"""Simulations that diverged: repeats the last step of one, and reports what exceeded the limit first."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import mujoco
import numpy as np
import torch

from robometa.noise import Noise
from robometa.sim.engine import Divergence, Engine, SimulatorState
from robometa.sim.locomotion import models
from robometa.sim.locomotion.pool import PHYSICS
from robometa.sim.locomotion.reader import MAXIMUM, Reader
from robometa.sim.select import engine_of
from robometa.suites.suite import Suite

if TYPE_CHECKING:
    from robometa.sim.metaworld.engine import ManipulationEngine

MAX_NUMBERS_NAMED = 5
"""Numbers beyond the limit that a description names."""


@dataclass(frozen=True)
class Repetition:
    """Result of repeating the last step of a simulation."""

    again: bool
    """It diverged again."""
    blown_up: list[str]
    """Descriptions of the numbers that exceeded the limit first, and when; the worst first."""


class Simulation(NamedTuple):
    """A simulation in its state before a step, for stepping one physics step at a time."""

    model: mujoco.MjModel
    data: mujoco.MjData
    controls: Sequence[str]
    """Names of the action's numbers."""
    set_controls: Callable[[], None]
    """Sets the controls of the action."""
    steps: int
    """Physics steps of a control step."""


def repeat_step(suite: Suite, divergence: Divergence) -> Repetition:
    """Repeats a step that diverged: as the engine does it, then one physics step at a time."""
    engine = engine_of(suite, tasks=1, worlds=1, threads=1)
    engine.assign([divergence.task])
    count = np.zeros((1, 1), dtype=np.int64)
    before = SimulatorState(
        physics=divergence.physics.numpy().reshape(1, 1, -1),
        sensors=divergence.sensors.numpy().reshape(1, 1, -1),
        steps=count,
        episodes=count,
        obs=torch.zeros(0),
        noise=Noise(0, ("replay",), 1, 1),
    )
    engine.restore(before)
    again = bool(engine.step(divergence.action.reshape(1, 1, -1)).diverged.any())
    engine.restore(before)
    descriptions = _slowly(SIMULATIONS[suite.family.name](engine, divergence), divergence)
    engine.close()
    return Repetition(again, descriptions)


def _robot(engine: Engine, divergence: Divergence) -> Simulation:
    """The simulation of a locomotion suite's robot, made anew."""
    robot, model = divergence.task.robot, copy.copy(models.varied(divergence.task))
    data = mujoco.MjData(model)
    mujoco.mj_setState(model, data, divergence.physics.numpy(), PHYSICS)

    def set_controls() -> None:
        compiled, layout = models.compiled(robot)
        reader = Reader(robot, compiled, layout, torch.float64, "cpu")
        data.ctrl[:] = reader.control(divergence.action.unsqueeze(0))[0].numpy()

    controls = [_name(model.actuator(index), index) for index in range(model.nu)]
    return Simulation(model, data, controls, set_controls, robot.frame_skip)


def _arm(engine: ManipulationEngine, divergence: Divergence) -> Simulation:
    """The simulation of Meta-World's arm that an engine holds."""
    model, data, steps = engine.simulation(0)
    action = divergence.action.float().clamp(-1.0, 1.0).reshape(1, -1).numpy()
    return Simulation(model, data, ("x", "y", "z", "the gripper"), lambda: engine.ask(action), steps)


SIMULATIONS: dict[str, Callable[[Any, Divergence], Simulation]] = {"locomotion": _robot, "metaworld": _arm}
"""Builders of a simulation by family, from the family's restored engine and the divergence."""


def _slowly(simulation: Simulation, divergence: Divergence) -> list[str]:
    """Describes what exceeds the limit first: the state before, the action, or the state after a physics step."""
    model, data, controls, set_controls, steps = simulation
    model.opt.disableflags |= mujoco.mjtDisableBit.mjDSBL_AUTORESET  # or what blew up would be gone at once
    descriptions = _beyond(model, data)
    if descriptions:
        return [f"{words}, before the step" for words in descriptions]
    actions = zip(controls, divergence.action.tolist(), strict=True)
    descriptions = [f"action of {name} is {value:g}" for name, value in actions if _bad(value)]
    if descriptions:
        return [f"{words}, as the policy gave it" for words in descriptions[:MAX_NUMBERS_NAMED]]
    set_controls()
    for step in range(1, steps + 1):
        mujoco.mj_step(model, data)
        descriptions = _beyond(model, data)
        if descriptions:
            return [f"{words}, after physics step {step} of {steps}" for words in descriptions]
    return []


def _beyond(model: mujoco.MjModel, data: mujoco.MjData) -> list[str]:
    """The accelerations, velocities and positions that are beyond the limit, in words, the worst few."""
    bad = [(kind, of, value) for kind, of, value in _numbers(model, data) if _bad(value)]
    bad.sort(key=lambda number: float("inf") if math.isnan(number[2]) else abs(number[2]), reverse=True)
    descriptions = [f"{kind} of {of} is {value:g}" for kind, of, value in bad]
    more = [f"{len(descriptions) - MAX_NUMBERS_NAMED} more numbers"] if len(descriptions) > MAX_NUMBERS_NAMED else []
    return descriptions[:MAX_NUMBERS_NAMED] + more


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
