"""From recorded episodes to a film: which states are frames, what is measured, what the target is in words."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import mujoco
import numpy as np
import torch

from robometa.sim.locomotion import models
from robometa.sim.locomotion.quantities import Moment, Quantities
from robometa.suites.suite import Suite, Task
from robometa.video import scene
from robometa.video.film import Array, Camera, Film, Panel, Target
from robometa.video.metaworld_scene import Manipulation

HOLD = 1.5
"""How long the last frame stands, s."""
WINDOW = 0.3
"""Speeds are shown as means over the time just past, s: within a stride they swing too fast to read."""
FEW = 3
"""Hidden numbers of a kind that are told one by one, as whole or broken motors are; of more, the range is told."""


@dataclass(frozen=True)
class Episode:
    """What happened to one world from a reset on, step by step; what comes after the episode's end does not count."""

    title: str
    physics: Array
    """MuJoCo's full physics state before each step. `[time, state]`"""
    sensors: Array
    """`[time, reading]`"""
    rewards: Array
    """`[time]`"""
    success: Array
    """Whether the success condition held after each step. `[time]`, bool"""
    early: bool
    """Whether the episode ended before its time."""


def film(
    suite: Suite, task: Task, episodes: Sequence[Episode], *, where: str, learner: str, size: tuple[int, int], gif: bool
) -> Film:
    """A film of the episodes side by side, in real time.

    Args:
        suite: Whose other tasks' goals are shown.
        task: The task of the episodes.
        episodes: One for each panel.
        where: Which task it is, in words.
        learner: The learner's name.
        size: Width and height, pixels.
        gif: Whether to make a GIF too.
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
        hold=round(HOLD * rate),
        duration=suite.horizon * shown.control_step,
        gif=gif,
        camera=shown.camera(),
        times=steps * shown.control_step,
        panels=tuple(
            _panel(episode, measure, steps, shown) for episode, measure in zip(episodes, measures, strict=True)
        ),
    )


def subject(suite: Suite, task: Task) -> Subject:
    """What a film of a task shows."""
    if suite.benchmark is not None:
        return Manipulation(suite, task)
    return Runner(suite, task)


class Subject(Protocol):
    """A task to be filmed: its model to look at, and what is measured in it."""

    words: str
    """What it asks for."""
    target: Target
    measured: tuple[str, str]
    """What is measured, and in what unit."""
    body: str
    """Whom the camera follows."""
    planar: bool
    """Whether it moves along a line, to be seen from the side."""
    own_look: bool
    """Whether the model keeps its own light."""
    rate: float
    """Frames per second to come near to, where control steps are that short."""
    control_step: float
    """s"""
    positions: int
    """Generalised positions of the model."""

    def dressed(self) -> mujoco.MjModel:
        """The model to look at."""

    def camera(self) -> Camera | None:
        """Where the camera stands; if None it follows the body."""

    def place(self, physics: Array, sensors: Array) -> Array:
        """Where the body is, m. `[time, state]`, `[time, reading]` to `[time, 2]` or `[time, 3]`"""

    def measure(self, physics: Array, sensors: Array) -> Array:
        """The number that the target is about, before each step. `[time]`"""


class Runner:
    """A task of a robot that moves about, to be filmed."""

    rate = 30.0

    def __init__(self, suite: Suite, task: Task) -> None:
        """Loads the robot's model."""
        model, self._layout = models.compiled(task.robot)
        self._task = task
        self.words, self.target = in_words(task), _target(suite, task)
        self.measured = MEASURES[self.target.kind]
        self.body, self.planar, self.own_look = task.robot.body, len(self._layout.position) == 1, scene.own_look(task)
        self.control_step, self.positions = float(task.robot.frame_skip * model.opt.timestep), int(model.nq)

    def dressed(self) -> mujoco.MjModel:
        """The model to look at."""
        return scene.dressed(self._task)

    def camera(self) -> None:
        """Nothing: it follows the body."""

    def place(self, physics: Array, sensors: Array) -> Array:
        """Where the body is in the plane, m. `[time, 2]`"""
        return Moment(torch.from_numpy(physics), torch.from_numpy(sensors)).place(self._layout).numpy().copy()

    def measure(self, physics: Array, sensors: Array) -> Array:
        """The distance to the goal or the speed just past, before each step. `[time]`"""
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
        return _recent_mean(speed, max(1, round(WINDOW / self.control_step)))


MEASURES = {
    "speed": ("speed", "m/s"),
    "direction": ("speed", "m/s"),
    "none": ("speed", "m/s"),
    "heading": ("towards target", "m/s"),
    "goal": ("to the goal", "m"),
}
"""What is measured for each kind of target, and in what unit."""


UNITS = {"payload": " kg", "slope": " rad", "joint_offset": " rad"}
"""Of the hidden numbers that are not factors."""


def in_words(task: Task) -> str:
    """What a task asks for and what varies in it, such as `target speed 1.25 m/s`."""
    return ", ".join(_phrase(name, value) for name, value in task.parameters) or "run forward"


def _phrase(name: str, value: tuple[float, ...]) -> str:
    if name == "velocity":
        return f"target speed {value[0]:.2f} m/s"
    if name == "direction":
        return "run forward" if value[0] > 0 else "run backward"
    if name == "angle":
        return f"run towards {math.degrees(value[0]) % 360:.0f}\N{DEGREE SIGN}"
    if name == "goal":
        return f"goal at ({value[0]:.2f}, {value[1]:.2f}) m".replace("-", "\N{MINUS SIGN}")
    words = name.replace("_", " ")
    if len(value) <= FEW or set(value) <= {0.0, 1.0}:
        told = " ".join(f"{entry:.2g}" for entry in value)
        return f"{words} {told}{UNITS.get(name, '')}".replace("-", "\N{MINUS SIGN}")
    return f"{words} {min(value):.2g} to {max(value):.2g}"


def _target(suite: Suite, task: Task) -> Target:
    parameter, weight = dict(task.parameters), dict(task.coefficients)
    if "velocity" in parameter:
        return Target("speed", parameter["velocity"], weight["tolerance"])
    if "direction" in parameter:
        return Target("direction", parameter["direction"])
    if "angle" in parameter:
        return Target("heading", parameter["angle"])
    if "goal" not in parameter:
        return Target("none")
    others = [dict(other.parameters)["goal"] for other in suite.test]
    places = tuple((place[0], place[1]) for place in others if place != parameter["goal"])
    return Target("goal", parameter["goal"], weight["radius"], weight["norm"], places)


def _recent_mean(speed: Array, window: int) -> Array:
    """At each time the mean of the last `window` speeds before it, 0 at the start. `[time + 1]`"""
    total = np.concatenate([[0.0], np.cumsum(speed)])
    time = np.arange(len(total))
    first = np.maximum(0, time - window)
    return np.asarray((total - total[first]) / np.maximum(1, time - first))


def _span(target: Target, measures: Sequence[Array]) -> tuple[float, float]:
    """The gauge's range: whole numbers around zero, the target and what was reached, m/s."""
    if target.kind != "speed":
        return (0.0, 1.0)
    reached = np.concatenate(measures)
    low = min(0.0, float(reached.min()), target.values[0] - target.tolerance)
    high = max(1.0, float(reached.max()), target.values[0] + target.tolerance)
    return float(max(math.floor(low), -20)), float(min(math.ceil(high), 20))


def _panel(episode: Episode, measure: Array, steps: Array, shown: Subject) -> Panel:
    """The frames of an episode. After its end the last state that it had stands still."""
    length = len(episode.rewards)
    frames = np.minimum(steps, length - 1)
    paid = np.concatenate([[0.0], np.cumsum(episode.rewards)])
    reached = np.concatenate([[False], episode.success])
    return Panel(
        title=episode.title,
        positions=episode.physics[frames, 1 : 1 + shown.positions],
        place=shown.place(episode.physics[frames], episode.sensors[frames]),
        measure=measure[frames],
        returns=paid[np.minimum(steps, length)],
        reached=reached[np.minimum(steps, length)],
        over=(steps >= length) if episode.early else np.zeros(len(steps), dtype=bool),
    )
