"""From recorded episodes to a film: which states are frames, what is measured, what the target is in words."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from robometa.sim import models, scene
from robometa.sim.film import Array, Film, Panel, Target
from robometa.sim.models import Layout
from robometa.sim.quantities import Moment, Quantities
from robometa.suites import Suite, Task

RATE = 30.0
"""Frames per second to come near to, where control steps are that short."""
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
    model, layout = models.compiled(task.robot)
    control_step = float(task.robot.frame_skip * model.opt.timestep)
    stride = max(1, round(1 / (RATE * control_step)))
    last = max(len(episode.rewards) for episode in episodes)
    steps = np.append(np.arange(0, last, stride), last)
    target = _target(suite, task)
    measures = [_measure(task, target, layout, episode, control_step) for episode in episodes]
    rate = 1 / (stride * control_step)
    name, unit = MEASURES[target.kind]
    return Film(
        suite=suite.name,
        task=f"{where}: {in_words(task)}",
        learner=learner,
        measure=name,
        unit=unit,
        body=task.robot.body,
        planar=len(layout.position) == 1,
        own_look=scene.own_look(task),
        target=target,
        span=_span(target, measures),
        width=size[0],
        height=size[1],
        rate=rate,
        hold=round(HOLD * rate),
        duration=suite.horizon * control_step,
        gif=gif,
        times=steps * control_step,
        panels=tuple(
            _panel(episode, measure, steps, model.nq, layout)
            for episode, measure in zip(episodes, measures, strict=True)
        ),
    )


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


def _measure(task: Task, target: Target, layout: Layout, episode: Episode, control_step: float) -> Array:
    """The number that the target is about, before each step. `[time]`"""
    physics, sensors = torch.from_numpy(episode.physics), torch.from_numpy(episode.sensors)
    if target.kind == "goal":
        away = Moment(physics, sensors).place(layout).numpy() - np.array(target.values)
        return np.asarray(np.linalg.norm(away, ord=target.norm, axis=1))
    before, after = Moment(physics[:-1], sensors[:-1]), Moment(physics[1:], sensors[1:])
    quantity = Quantities(task.robot.name, layout, before, after, torch.zeros(0), control_step)
    if target.kind == "heading":
        angle = target.values[0]
        speed = quantity["velocity"].numpy() @ np.array([math.cos(angle), math.sin(angle)])
    else:
        speed = quantity["forward_velocity"].numpy()
    return _recent_mean(speed, max(1, round(WINDOW / control_step)))


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


def _panel(episode: Episode, measure: Array, steps: Array, positions: int, layout: Layout) -> Panel:
    """The frames of an episode. After its end the last state that it had stands still."""
    length = len(episode.rewards)
    shown = np.minimum(steps, length - 1)
    paid = np.concatenate([[0.0], np.cumsum(episode.rewards)])
    reached = np.concatenate([[False], episode.success])
    moment = Moment(torch.from_numpy(episode.physics[shown]), torch.from_numpy(episode.sensors[shown]))
    return Panel(
        title=episode.title,
        positions=episode.physics[shown, 1 : 1 + positions],
        place=moment.place(layout).numpy().copy(),
        measure=measure[shown],
        returns=paid[np.minimum(steps, length)],
        reached=reached[np.minimum(steps, length)],
        over=(steps >= length) if episode.early else np.zeros(len(steps), dtype=bool),
    )
