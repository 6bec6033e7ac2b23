"""Influence of hidden parameters on the motion, measured by simulating two tasks that differ in one of them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, replace

import mujoco
import numpy as np
import torch
from numpy.typing import NDArray

from robometa.noise import Noise
from robometa.sim.engine import Engine
from robometa.sim.locomotion import models
from robometa.sim.select import engine_of
from robometa.suites.suite import Suite
from robometa.suites.task import Task
from robometa.suites.variations import VARIATIONS

SECONDS, MOST_STEPS = 1.0, 100
"""Length of the motion that is compared, s, and the limit on its control steps."""
SMALLEST = 1e-9
"""Difference of joint positions below which a parameter changes nothing."""
Array = NDArray[np.float64]


@dataclass(frozen=True)
class Influence:
    """Difference between the motions of two tasks that differ in one parameter, under equal actions."""

    parameter: str
    seconds: float
    body: float
    """Largest distance between the body's places in the two, m."""
    joints: float
    """Largest difference of a joint's position, rad or m."""

    @property
    def moves(self) -> bool:
        """The parameter changes the motion."""
        return max(self.body, self.joints) > SMALLEST

    def __str__(self) -> str:
        """The differences in words."""
        if not self.moves:
            return f"{self.parameter} CHANGES NOTHING: the robot moves the same with every value"
        return (
            f"{self.parameter} moves the body by up to {_rounded(100 * self.body)} cm and a joint by up to "
            f"{_rounded(self.joints)} rad or m within {self.seconds:g} s"
        )


def influences(suite: Suite) -> Iterator[Influence]:
    """Measures each variation of a suite, between the two training tasks whose values of it differ most.

    A variation that all tasks share is compared with none. Both motions begin alike, under equal random actions.
    """
    if suite.family.name != "locomotion":
        return
    names = [name for name, _ in suite.train[0].parameters if name in VARIATIONS]
    if not names:
        return
    with closing(engine_of(suite, tasks=1, worlds=1, threads=1)) as engine:
        model, _ = models.compiled(suite.robot)
        step = suite.robot.frame_skip * model.opt.timestep
        steps = max(1, min(MOST_STEPS, suite.horizon, round(SECONDS / step)))
        for name in names:
            first, second = (_motion(engine, task, steps, model.nq) for task in _extremes(suite.train, name))
            apart = np.abs(first - second)
            body = _places(suite, first) - _places(suite, second)
            yield Influence(name, steps * step, float(np.linalg.norm(body, axis=1).max()), float(apart.max()))


def _rounded(number: float) -> str:
    return f"{number:.2g}"


def _extremes(tasks: Sequence[Task], name: str) -> tuple[Task, Task]:
    """The first task with the two values of a parameter that differ most among the tasks."""
    values = [np.array(dict(task.parameters)[name]) for task in tasks]
    first = max(values, key=lambda value: float(np.linalg.norm(value - values[0])))
    second = max(values, key=lambda value: float(np.linalg.norm(value - first)))
    if np.array_equal(first, second):
        second = np.full_like(first, VARIATIONS[name].neutral)
    return _with(tasks[0], name, first), _with(tasks[0], name, second)


def _with(task: Task, name: str, value: Array) -> Task:
    parameters = dict(task.parameters) | {name: tuple(value.tolist())}
    return replace(task, parameters=tuple(sorted(parameters.items())), change=None)


def _motion(engine: Engine, task: Task, steps: int, positions: int) -> Array:
    """Positions after each step of an episode, to its end. `[time, position]`."""
    engine.assign([task])
    engine.reset(Noise(0, ("influence",), 1, 1))
    source = torch.Generator().manual_seed(0)
    path = [engine.state().physics[0, 0, 1 : 1 + positions]]
    for _ in range(steps):
        action = 2 * torch.rand(1, 1, engine.spaces.action, generator=source) - 1
        ended = bool((outcome := engine.step(action)).terminated) or bool(outcome.truncated)
        path.append(path[-1] if ended else engine.state().physics[0, 0, 1 : 1 + positions])
        if ended:
            break
    return np.array(path + [path[-1]] * (steps + 1 - len(path)))


def _places(suite: Suite, path: Array) -> Array:
    """Places of the robot's body in the world. `[time, 3]`."""
    model, _ = models.compiled(suite.robot)
    body, data = model.body(suite.robot.body).id, mujoco.MjData(model)
    places = []
    for positions in path:
        data.qpos[:] = positions
        mujoco.mj_kinematics(model, data)
        places.append(data.xpos[body].copy())
    return np.array(places)
