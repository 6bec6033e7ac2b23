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
from robometa.suites.objectives import MINUS
from robometa.suites.suite import Suite
from robometa.suites.task import Task
from robometa.suites.variations import VARIATIONS
from robometa.video import scene
from robometa.video.film import Array, Camera, Film, Panel, Target
from robometa.video.metaworld_scene import Manipulation

LAST_FRAME_SECONDS = 1.5
"""Duration of the last frame, s."""
SPEED_WINDOW = 0.3
"""Time over which a shown speed is a mean, s: within a stride the speed swings too fast to read."""
MAX_NUMBERS_LISTED = 3
"""Numbers of a variation that a description lists one by one."""


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
    measures = [shown.measure(episode.physics, episode.sensors) for episode in episodes]
    rate = 1 / (stride * shown.control_step)
    name, unit = shown.measured
    return Film(
        suite=suite.name,
        task=f"{where}: {shown.words}",
        learner=learner,
        measure=name,
        unit=unit,
        body=shown.body,
        planar=shown.planar,
        own_look=shown.own_look,
        target=shown.target,
        span=_span(shown.target, measures),
        width=size[0],
        height=size[1],
        rate=rate,
        hold=round(LAST_FRAME_SECONDS * rate),
        duration=suite.horizon * shown.control_step,
        gif=gif,
        camera=shown.camera(),
        times=steps * shown.control_step,
        panels=tuple(
            _panel(episode, measure, steps, shown) for episode, measure in zip(episodes, measures, strict=True)
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

    def measure(self, physics: Array, sensors: Array) -> Array:
        """The number that the target is about, before each step. `[time]`."""


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

    def measure(self, physics: Array, sensors: Array) -> Array:
        """The distance to the goal or the speed just past, before each step. `[time]`."""
        target = self.target
        if target.kind == "goal":
            away = self.place(physics, sensors) - np.array(target.values)
            return np.asarray(np.linalg.norm(away, ord=target.norm, axis=1))
        states, readings = torch.from_numpy(physics), torch.from_numpy(sensors)
        before, after = Moment(states[:-1], readings[:-1]), Moment(states[1:], readings[1:])
        quantity = Quantities(self._task.robot.name, self._layout, before, after, torch.zeros(0), self.control_step)
        if target.kind == "heading":
            angle = target.values[0]
            speed = quantity["velocity"].numpy() @ np.array([math.cos(angle), math.sin(angle)])
        else:
            speed = quantity["forward_velocity"].numpy()
        return _recent_mean(speed, max(1, round(SPEED_WINDOW / self.control_step)))


SUBJECTS: dict[str, Callable[[Suite, Task], Subject]] = {"locomotion": Runner, "metaworld": Manipulation}
"""Subject of a film, by family of suites."""


def in_words(task: Task) -> str:
    """Describes a task's target and variations, such as `target speed 1.25 m/s`."""
    display = objective_of(task).display
    phrases = [
        display.words(value) if name == display.parameter else _in_words(name, value) for name, value in task.parameters
    ]
    if display.parameter is not None and display.parameter not in dict(task.parameters):
        phrases.append(f"follow a commanded {display.parameter.replace('_', ' ')}")
    return ", ".join(phrases) or display.words(())


def _in_words(name: str, value: tuple[float, ...]) -> str:
    """Describes a variation, or a parameter that the display does not show."""
    if name in VARIATIONS:
        return _variation_in_words(name, value)
    return f"{name.replace('_', ' ')} {' '.join(f'{entry:.2g}' for entry in value)}".replace("-", MINUS)


def _variation_in_words(name: str, value: tuple[float, ...]) -> str:
    """Describes a variation: each number if they are few, as whole or broken motors are, else the range."""
    words = name.replace("_", " ")
    if len(value) <= MAX_NUMBERS_LISTED or set(value) <= {0.0, 1.0}:
        unit = VARIATIONS[name].unit
        numbers = " ".join(f"{entry:.2g}" for entry in value)
        return f"{words} {numbers}{' ' if unit else ''}{unit}".replace("-", MINUS)
    return f"{words} {min(value):.2g} to {max(value):.2g}"


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


def _span(target: Target, measures: Sequence[Array]) -> tuple[float, float]:
    """The gauge's range: whole numbers around zero, the target and the measured speeds, m/s."""
    if target.kind != "speed":
        return (0.0, 1.0)
    reached = np.concatenate(measures)
    low = min(0.0, float(reached.min()), target.values[0] - target.tolerance)
    high = max(1.0, float(reached.max()), target.values[0] + target.tolerance)
    return float(max(math.floor(low), -20)), float(min(math.ceil(high), 20))


def _panel(episode: Episode, measure: Array, steps: Array, shown: Subject) -> Panel:
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
    )
