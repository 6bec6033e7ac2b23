"""Objectives: reward and success as plain functions of named quantities and task parameters, on batched tensors.

A quantity is measured at a control step, a parameter is hidden by the task, and the suite's file fixes a coefficient.
All tensors have the worlds first; the functions use tensor methods only, so they run on any device.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import product
from typing import TYPE_CHECKING

from robometa.suites.reward_terms import EXTREME, effort, goal_distance, speed, speed_error

if TYPE_CHECKING:
    from torch import Tensor

    Tensors = Mapping[str, Tensor]
    Numbers = Mapping[str, float]

QUANTITIES = {
    "position": "the base's x and y after the step, m, [world, 2]",
    "velocity": "the body's change of place over the control step, m/s, [world, 2]",
    "forward_velocity": "the first number of velocity, m/s, [world]",
    "height": "the body's height after the step, m, [world]",
    "control": "the actuators' controls, in their own units, [world, actuator]",
}
"""Quantities of every robot (`height` only if its body can rise)."""

WORST_AT_BEST = -1.0
"""Least negative bound on a reward: divergence is worse than an honest episode even if that earns nothing."""
MINUS = "\N{MINUS SIGN}"


def in_place(values: Sequence[float]) -> str:
    """Writes a place as `(1.20, -0.50) m`, with a true minus sign."""
    return f"({', '.join(f'{value:.2f}' for value in values)}) m".replace("-", MINUS)


@dataclass(frozen=True)
class Display:
    """Description of an objective's target for a video."""

    words: Callable[[Sequence[float]], str]
    """Describes the target, from the numbers of `parameter`."""
    marker: str = "none"
    """`speed`: a gauge with a mark at the speed, m/s. `direction`: an arrow forward or backward. `heading`: an arrow on
    the floor, at an angle, rad. `goal`: a flag at an x and y, m. `none`: nothing."""
    parameter: str | None = None
    """The task parameter that is the target."""
    tolerance: str | None = None
    """Name of the coefficient with the largest distance to the target that is a success."""
    norm: str | None = None
    """Name of the coefficient with the norm of the distance to a goal."""
    measured: tuple[str, str] = ("speed", "m/s")
    """Label and unit of the number under the picture."""


@dataclass(frozen=True)
class Objective:
    """A reward and, where it has one, a success condition."""

    about: str
    reward: Callable[[Tensors, Tensors, Numbers], tuple[Tensor, Tensor | None]]
    """(quantities, parameters, coefficients) to reward `[world]` and success `[world]` or None."""
    parameters: Mapping[str, int]
    """The task parameters that it needs, and the count of numbers of each."""
    coefficients: Mapping[str, float]
    """Its coefficients, with defaults for those that a suite's file leaves out."""
    display: Display
    """Description of the target for a video."""
    has_success: bool = False
    """The reward function returns success too."""
    senses: tuple[str, ...] = ()
    """Sensors that it needs, by the names in `SENSES`."""
    worst: Callable[[Numbers, Tensor], Tensor] | None = None
    """(coefficients, controls of the largest effort `[task, actuator]`) to a lower bound on an honest step's reward
    `[task]`; None for one by the formula."""
    optional: Mapping[str, int] = field(default_factory=dict)
    """Task parameters that it uses if a task has them."""
    reads_place: bool = False
    """The reward depends on where the body is, not only on how it moves."""


def _forward(quantity: Tensors, parameter: Tensors, weight: Numbers) -> tuple[Tensor, Tensor | None]:
    reward = speed(quantity) + weight["alive_bonus"] - weight["control_cost"] * effort(quantity)
    return reward, None


def _velocity(quantity: Tensors, parameter: Tensors, weight: Numbers) -> tuple[Tensor, Tensor | None]:
    error = speed_error(quantity, parameter)
    reward = weight["alive_bonus"] - error - weight["control_cost"] * effort(quantity)
    return reward, error < weight["tolerance"]


def _direction(quantity: Tensors, parameter: Tensors, weight: Numbers) -> tuple[Tensor, Tensor | None]:
    ahead = parameter["direction"][:, 0] * speed(quantity)
    return ahead + weight["alive_bonus"] - weight["control_cost"] * effort(quantity), None


def _heading(quantity: Tensors, parameter: Tensors, weight: Numbers) -> tuple[Tensor, Tensor | None]:
    angle, velocity = parameter["angle"][:, 0], quantity["velocity"]
    ahead = velocity[:, 0] * angle.cos() + velocity[:, 1] * angle.sin()
    reward = weight["velocity_weight"] * ahead + weight["alive_bonus"] - weight["control_cost"] * effort(quantity)
    return reward, None


def _goal(quantity: Tensors, parameter: Tensors, weight: Numbers) -> tuple[Tensor, Tensor | None]:
    distance = goal_distance(quantity, parameter, weight["norm"])
    return -distance - weight["control_cost"] * effort(quantity), distance < weight["radius"]


def _sparse_goal(quantity: Tensors, parameter: Tensors, weight: Numbers) -> tuple[Tensor, Tensor | None]:
    distance = goal_distance(quantity, parameter, weight["norm"])
    inside = distance < weight["radius"]
    return (1 - distance) * inside, inside


GOAL_DISPLAY = Display(
    lambda goal: f"goal at {in_place(goal)}",
    marker="goal",
    parameter="goal",
    tolerance="radius",
    norm="norm",
    measured=("to the goal", "m"),
)

OBJECTIVES = {
    "forward": Objective(
        "run forward: velocity + alive_bonus - control_cost |control|^2",
        _forward,
        parameters={},
        coefficients={"control_cost": 0.0, "alive_bonus": 0.0},
        display=Display(lambda nothing: "run forward"),
    ),
    "velocity": Objective(
        "run at a hidden speed: alive_bonus - |v - v*| - control_cost |control|^2; success within tolerance, m/s",
        _velocity,
        parameters={"velocity": 1},
        coefficients={"control_cost": 0.0, "alive_bonus": 0.0, "tolerance": 0.2},
        display=Display(
            lambda velocity: f"target speed {velocity[0]:.2f} m/s",
            marker="speed",
            parameter="velocity",
            tolerance="tolerance",
        ),
        has_success=True,
    ),
    "direction": Objective(
        "run forward or backward: direction v + alive_bonus - control_cost |control|^2",
        _direction,
        parameters={"direction": 1},
        coefficients={"control_cost": 0.0, "alive_bonus": 0.0},
        display=Display(
            lambda direction: "run forward" if direction[0] > 0 else "run backward",
            marker="direction",
            parameter="direction",
        ),
    ),
    "heading": Objective(
        "run at a hidden angle in the plane: velocity_weight v.(cos, sin) + alive_bonus - control_cost |control|^2",
        _heading,
        parameters={"angle": 1},
        coefficients={"control_cost": 0.0, "alive_bonus": 0.0, "velocity_weight": 1.0},
        display=Display(
            lambda angle: f"run towards {math.degrees(angle[0]) % 360:.0f}\N{DEGREE SIGN}",
            marker="heading",
            parameter="angle",
            measured=("towards target", "m/s"),
        ),
    ),
    "goal": Objective(
        "go to a hidden place: -|position - goal| - control_cost |control|^2, in any norm; success within radius, m",
        _goal,
        parameters={"goal": 2},
        coefficients={"control_cost": 0.0, "norm": 2.0, "radius": 0.2},
        display=GOAL_DISPLAY,
        has_success=True,
        reads_place=True,
    ),
    "sparse-goal": Objective(
        "go to a hidden place, paid 1 - |position - goal| within radius, m, and nothing outside",
        _sparse_goal,
        parameters={"goal": 2},
        coefficients={"norm": 2.0, "radius": 0.2},
        display=GOAL_DISPLAY,
        has_success=True,
        reads_place=True,
    ),
}


def worst_reward(objective: Objective, parameter: Tensors, weight: Numbers, control: Tensor) -> Tensor:
    """Lower bound on the reward of an honest step, by the objective's own formula.

    Every reward is concave in place and velocity, so that its minimum within -`EXTREME`..`EXTREME` is at a corner.

    Args:
        objective: Reward to bound.
        parameter: The tasks' parameters. `[task, number]`
        weight: Coefficients.
        control: Controls of the largest effort. `[task, actuator]`

    Returns:
        At most `WORST_AT_BEST`. `[task]`
    """
    worst = control.new_full((len(control),), WORST_AT_BEST)
    if objective.worst is not None:
        return worst.minimum(objective.worst(weight, control))
    for corner in product((-EXTREME, EXTREME), repeat=2):
        place = control.new_tensor(corner).expand(len(control), 2)
        quantity = {"position": place, "velocity": place, "forward_velocity": place[:, 0], "control": control}
        worst = worst.minimum(objective.reward(quantity, parameter, weight)[0])
    return worst
