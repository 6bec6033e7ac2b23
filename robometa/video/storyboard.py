"""Makes a film of recorded episodes: chooses the frames, measures, describes the target."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

import mujoco
import numpy as np
import torch

from robometa.sim.locomotion import models
from robometa.sim.locomotion.quantities import Moment, Quantities
from robometa.suites.objective_file import objective_of
from robometa.suites.suite import Suite
from robometa.suites.task import Task
from robometa.video import changing, scene
from robometa.video.film import Array, Camera, Film, Panel, Target
from robometa.video.metaworld_scene import Manipulation
from robometa.video.task_words import in_words

LAST_FRAME_SECONDS = 1.5
"""Duration of the last frame, s."""
SPEED_WINDOW = 0.3
"""Time over which a shown speed is a mean, s: within a stride the speed swings too fast to read."""


@dataclass(frozen=True)
class Episode:
    """One recorded episode of a world, step by step."""

    title: str
    physics: Array
    """MuJoCo's full physics state before each step. `[time, state]`"""
    sensors: Array
    """`[time, reading]`"""
    rewards: Array
    """`[time]`"""
    success: Array
    """True where the success condition was met after the step. `[time]`, bool"""
    early: bool
    """The episode ended before its time limit."""
    tasks: tuple[Task, ...] = ()
    """The task as it was at each step; empty for a task that stays. `[time]`"""


def film(
    suite: Suite, task: Task, episodes: Sequence[Episode], *, where: str, learner: str, size: tuple[int, int], gif: bool
) -> Film:
    """Makes a film of the episodes side by side, in real time.

    Args:
        suite: Suite of the task; a film shows the goals of its other tasks.
        task: Task of the episodes.
        episodes: One for each panel.
        where: Position of the task in the suite, in words.
        learner: Name of the learner.
        size: Width and height, pixels.
        gif: Make a GIF too.
    """
    shown = subject(suite, task)
    stride = max(1, round(1 / (shown.rate * shown.control_step)))
    last = max(len(episode.rewards) for episode in episodes)
    steps = np.append(np.arange(0, last, stride), last)
    asked = [changing.asked(suite, episode.tasks, shown.target) for episode in episodes]
    measures = [
        shown.measure(episode.physics, episode.sensors, numbers)
        for episode, numbers in zip(episodes, asked, strict=True)
    ]
    rate = 1 / (stride * shown.control_step)
    name, unit = shown.measured
    return Film(
        suite=suite.name,
        task=f"{where}, which changes" if suite.change else f"{where}: {shown.words}",
        learner=learner,
        measure=name,
        unit=unit,
        body=shown.body,
        planar=shown.planar,
        own_look=shown.own_look,
        target=shown.target,
        span=_span(shown.target, measures, [numbers for numbers in asked if numbers is not None]),
        width=size[0],
        height=size[1],
        rate=rate,
        hold=round(LAST_FRAME_SECONDS * rate),
        duration=suite.horizon * shown.control_step,
        gif=gif,
        camera=shown.camera(),
        times=steps * shown.control_step,
        panels=tuple(
            _panel(episode, measure, numbers, steps, shown)
            for episode, measure, numbers in zip(episodes, measures, asked, strict=True)
        ),
    )


def subject(suite: Suite, task: Task) -> Subject:
    """Makes what a film of a task shows."""
    return SUBJECTS[suite.family.name](suite, task)


class Subject(Protocol):
    """A task to be filmed: its model to look at, and what is measured in it."""

    words: str
    """Description of the task."""
    target: Target
    measured: tuple[str, str]
    """Label and unit of the number under the picture."""
    body: str
    """Body that the camera follows."""
    planar: bool
    """It moves along a line, and the camera sees it from the side."""
    own_look: bool
    """The model keeps its own light."""
    rate: float
    """Desired number of frames per second; control steps may be too long for it."""
    control_step: float
    """Duration of a control step, s."""
    positions: int
    """Generalised positions of the model."""

    def dressed(self) -> mujoco.MjModel:
        """The model to look at."""

    def camera(self) -> Camera | None:
        """The fixed camera; None for one that follows the body."""

    def place(self, physics: Array, sensors: Array) -> Array:
        """The body's place, m. `[time, state]`, `[time, reading]` to `[time, 2]` or `[time, 3]`."""

    def measure(self, physics: Array, sensors: Array, asked: Array | None = None) -> Array:
        """The number that the target is about, before each step, of a target that may change. `[time]`."""


class Runner:
    """A locomotion task to be filmed."""

    rate = 30.0

    def __init__(self, suite: Suite, task: Task) -> None:
        """Loads the robot's model."""
        model, self._layout = models.compiled(task.robot)
        self._task = task
        self.words, self.target = in_words(task), _target(suite, task)
        self.measured = objective_of(task).display.measured
        self.body, self.planar, self.own_look = task.robot.body, self._layout.planar, scene.own_look(task)
        self.control_step, self.positions = float(task.robot.frame_skip * model.opt.timestep), int(model.nq)

    def dressed(self) -> mujoco.MjModel:
        """The model to look at."""
        return scene.dressed(self._task)

    def camera(self) -> None:
        """None: the camera follows the body."""

    def place(self, physics: Array, sensors: Array) -> Array:
        """The base's x and y, m. `[time, 2]`."""
        return Moment(torch.from_numpy(physics), torch.from_numpy(sensors)).place(self._layout).numpy().copy()

    def measure(self, physics: Array, sensors: Array, asked: Array | None = None) -> Array:
        """The distance to the goal or the speed just past, before each step. `[time]`."""
        target = self.target
        values = np.broadcast_to(target.values, (len(physics), len(target.values))) if asked is None else asked
        if target.kind == "goal":
            away = self.place(physics, sensors) - values
            return np.asarray(np.linalg.norm(away, ord=target.norm, axis=1))
        states, readings = torch.from_numpy(physics), torch.from_numpy(sensors)
        before, after = Moment(states[:-1], readings[:-1]), Moment(states[1:], readings[1:])
        quantity = Quantities(self._task.robot.name, self._layout, before, after, torch.zeros(0), self.control_step)
        if target.kind == "heading":
            angle = values[:-1, 0]
            speed = (quantity["velocity"].numpy() * np.stack([np.cos(angle), np.sin(angle)], axis=1)).sum(axis=1)
        else:
            speed = quantity["forward_velocity"].numpy()
        return _recent_mean(speed, max(1, round(SPEED_WINDOW / self.control_step)))


SUBJECTS: dict[str, Callable[[Suite, Task], Subject]] = {"locomotion": Runner, "metaworld": Manipulation}
"""Subject of a film, by family of suites."""


def _target(suite: Suite, task: Task) -> Target:
    """The target that a task's objective shows, from the task's parameters and coefficients."""
    display = objective_of(task).display
    parameters, coefficients = dict(task.parameters), dict(task.coefficients)
    if display.parameter is None:
        return Target(display.marker)
    if display.parameter not in parameters:  # a command, which changes
        return Target("none")
    value = parameters[display.parameter]
    return Target(
        kind=display.marker,
        values=value,
        tolerance=coefficients[display.tolerance] if display.tolerance else 0.0,
        norm=coefficients[display.norm] if display.norm else 2.0,
        others=_other_goals(suite, value) if display.marker == "goal" else (),
    )


def _other_goals(suite: Suite, goal: tuple[float, ...]) -> tuple[tuple[float, float], ...]:
    """The goals of the other held-out tasks, m."""
    goals = [dict(task.parameters)["goal"] for task in suite.test]
    return tuple((other[0], other[1]) for other in goals if other != goal)


def _recent_mean(speed: Array, window: int) -> Array:
    """At each time the mean of the last `window` speeds before it, 0 at the start. `[time + 1]`."""
    total = np.concatenate([[0.0], np.cumsum(speed)])
    time = np.arange(len(total))
    first = np.maximum(0, time - window)
    return np.asarray((total - total[first]) / np.maximum(1, time - first))


def _span(target: Target, measures: Sequence[Array], asked: Sequence[Array]) -> tuple[float, float]:
    """The gauge's range: whole numbers around zero, the target and the measured speeds, m/s."""
    if target.kind != "speed":
        return (0.0, 1.0)
    reached, speeds = np.concatenate(measures), np.concatenate([np.array(target.values), *(one[:, 0] for one in asked)])
    low = min(0.0, float(reached.min()), float(speeds.min()) - target.tolerance)
    high = max(1.0, float(reached.max()), float(speeds.max()) + target.tolerance)
    return float(max(math.floor(low), -20)), float(min(math.ceil(high), 20))


def _panel(episode: Episode, measure: Array, asked: Array | None, steps: Array, shown: Subject) -> Panel:
    """The frames of an episode; after its end the last state is repeated."""
    length = len(episode.rewards)
    frames = np.minimum(steps, length - 1)
    returns = np.concatenate([[0.0], np.cumsum(episode.rewards)])
    reached = np.concatenate([[False], episode.success])
    return Panel(
        title=episode.title,
        positions=episode.physics[frames, 1 : 1 + shown.positions],
        place=shown.place(episode.physics[frames], episode.sensors[frames]),
        measure=measure[frames],
        returns=returns[np.minimum(steps, length)],
        reached=reached[np.minimum(steps, length)],
        over=(steps >= length) if episode.early else np.zeros(len(steps), dtype=bool),
        **changing.news(episode.tasks, frames, shown.control_step),
        **({} if asked is None else {"asked": asked[frames]}),
    )
