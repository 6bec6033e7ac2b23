"""Locomotion suites: one robot, one objective, tasks that differ in numbers. Standard library only."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

from robometa.suites.family import Family
from robometa.suites.objective_file import objective_of
from robometa.suites.observation import FORMER
from robometa.suites.robots import Robot
from robometa.suites.task import Task
from robometa.suites.variations import VARIATIONS

MAX_TASKS_LISTED = 12
"""Tasks of a split that a listing shows one by one."""
PARTS_IN_WORDS = {
    "joint_positions": "positions of the joints, of a floating base its orientation, and height (no robot measures it)",
    "velocities": "velocities of the joints, and of a floating base (no robot measures the linear one)",
    "position": "the base's x and y (no robot measures them)",
    "sensors": "sensors",
}
"""Descriptions of the parts of an observation."""


@dataclass(frozen=True)
class Locomotion(Family):
    """A robot that moves about, with an objective of `suites/objectives.py`."""

    name: ClassVar[str] = "locomotion"
    title: ClassVar[str] = "locomotion"

    def has_success(self, task: Task) -> bool:
        """Returns True if the objective has a success condition."""
        return objective_of(task).has_success

    def rows(self, task: Task) -> Iterator[tuple[str, str]]:
        """Yields the objective, its coefficients, the observation, the hidden parameters and the termination."""
        hidden = [f"{name} ({_meaning(name, task)})" for name, _ in task.parameters]
        yield "objective", f"{task.objective}: {objective_of(task).about}"
        yield "coefficients", ", ".join(f"{name} {value:g}" for name, value in task.coefficients)
        yield "horizon", f"{task.horizon} control steps"
        yield "policy sees", ", ".join(_seen(task.robot))
        if task.robot.real is not None:
            yield "sim to real", task.robot.real.words()
        yield "hidden", "; ".join(hidden) or "nothing"
        yield "episode ends", ", or ".join([*_terminations(task.robot), f"after {task.horizon} steps"])

    def listing(self, tasks: tuple[Task, ...]) -> tuple[str, list[str]]:
        """Lists the hidden parameters of the first tasks."""
        lines = [f"{index:3d}  {task.describe()}" for index, task in enumerate(tasks[:MAX_TASKS_LISTED])]
        if len(tasks) > MAX_TASKS_LISTED:
            lines.append(f"... and {len(tasks) - MAX_TASKS_LISTED} more")
        return f"{len(tasks)} {'task' if len(tasks) == 1 else 'tasks'}", lines


LOCOMOTION = Locomotion()


def _seen(robot: Robot) -> Iterator[str]:
    """Parts or terms of the observation."""
    for term in robot.terms:
        if term.kind != FORMER:
            yield term.words()
            continue
        yield from (PARTS_IN_WORDS[part] for part in robot.observe)
    if not robot.terms:
        yield from (PARTS_IN_WORDS[part] for part in robot.observe)


def _meaning(parameter: str, task: Task) -> str:
    """The meaning of a hidden parameter."""
    if parameter in VARIATIONS:
        return VARIATIONS[parameter].about
    return f"parameter of the objective {task.objective}"


def _terminations(robot: Robot) -> Iterator[str]:
    """The conditions that end an episode early."""
    if robot.height is not None:
        yield f"height outside {robot.height[0]:g}..{robot.height[1]:g} m"
    if robot.pitch is not None:
        yield f"pitch beyond {robot.pitch:g} rad"
    if robot.state_limit is not None:
        yield f"state beyond {robot.state_limit:g}"
