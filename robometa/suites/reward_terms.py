"""Terms of rewards: plain functions of named quantities, on batched tensors, which objectives weigh and add.

`suites/objectives.py` explains quantities, parameters and coefficients. All tensors have the worlds first.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor

    Tensors = Mapping[str, Tensor]
    Numbers = Mapping[str, float]

EXTREME = 10.0
"""Speed in m/s, turning rate in rad/s and distance from the start in m that no honest episode is expected to exceed."""
STANDING = 0.1
"""Commanded speed below which a robot is asked to stand, m/s."""


def speed(quantity: Tensors) -> Tensor:
    """Forward velocity, m/s. `[world]`."""
    return quantity["forward_velocity"]


def speed_error(quantity: Tensors, parameter: Tensors) -> Tensor:
    """Distance of the forward velocity from the asked one, m/s. `[world]`."""
    return (speed(quantity) - parameter["velocity"][:, 0]).abs()


def effort(quantity: Tensors) -> Tensor:
    """Sum of the squared controls. `[world]`."""
    return quantity["control"].square().sum(-1)


def goal_distance(quantity: Tensors, parameter: Tensors, norm: float) -> Tensor:
    """Distance from the goal, m. `[world]`."""
    return (quantity["position"] - parameter["goal"]).norm(p=norm, dim=-1)


def _beyond(measured: Tensor, parameter: Tensors, command: str) -> Tensor:
    """Difference of a measured number from the asked one, or from 0 where no such command is given. `[world]`."""
    return measured - parameter[command][:, 0] if command in parameter else measured


def sideways_error(quantity: Tensors, parameter: Tensors) -> Tensor:
    """Velocity across the body's heading, to its left, less `lateral_velocity` if it is asked, m/s. `[world]`."""
    return _beyond(quantity["heading_velocity"][:, 1], parameter, "lateral_velocity")


def tracking_error(quantity: Tensors, parameter: Tensors) -> Tensor:
    """Distance of the velocity in the body's heading from the asked one, m/s. `[world]`."""
    ahead = quantity["heading_velocity"][:, 0] - parameter["velocity"][:, 0]
    if "lateral_velocity" not in parameter:
        return ahead.abs()
    return (ahead.square() + sideways_error(quantity, parameter).square()).sqrt()


def _asked_to_move(parameter: Tensors, like: Tensor) -> Tensor:
    """Marks the worlds whose command is no stand. `[world]`."""
    asked = [parameter[name][:, 0].abs() for name in ("velocity", "lateral_velocity", "yaw_rate") if name in parameter]
    return like.new_ones(len(like)) if not asked else (sum(asked[1:], asked[0]) > STANDING).to(like.dtype)


@dataclass(frozen=True)
class RewardTerm:
    """A number of every control step that a suite's file may weigh."""

    about: str
    value: Callable[[Tensors, Tensors, Numbers], Tensor]
    """(quantities, parameters, options) to `[world]`."""
    low: float
    high: float
    """Bounds of an honest step's value."""
    options: Mapping[str, float] = field(default_factory=dict)
    """Numbers that the value depends on, with defaults."""
    parameters: tuple[str, ...] = ()
    """Commands or hidden parameters that it needs."""
    senses: tuple[str, ...] = ()
    """Sensors that it needs, by the names in `SENSES`."""


def _track(error: Tensor, sigma: float) -> Tensor:
    return (-error.square() / sigma).exp()


SQUARE = EXTREME * EXTREME
TERMS: Mapping[str, RewardTerm] = {
    "alive": RewardTerm("1 at every step", lambda q, p, o: speed(q) * 0 + 1, 0.0, 1.0),
    "forward": RewardTerm("forward velocity, m/s", lambda q, p, o: speed(q), -EXTREME, EXTREME),
    "speed_error": RewardTerm(
        "|v - velocity| along the world's x, m/s",
        lambda q, p, o: speed_error(q, p),
        0.0,
        2 * EXTREME,
        parameters=("velocity",),
    ),
    "track_velocity": RewardTerm(
        "exp(-|v - velocity|^2 / sigma) in the body's heading, with lateral_velocity if it is asked",
        lambda q, p, o: _track(tracking_error(q, p), o["sigma"]),
        0.0,
        1.0,
        options={"sigma": 0.25, "tolerance": 0.2},
        parameters=("velocity",),
        senses=("base",),
    ),
    "tracking_error": RewardTerm(
        "|v - velocity| in the body's heading, with lateral_velocity if it is asked, m/s",
        lambda q, p, o: tracking_error(q, p),
        0.0,
        3 * EXTREME,
        parameters=("velocity",),
        senses=("base",),
    ),
    "sideways": RewardTerm(
        "squared velocity across the body's heading, less lateral_velocity if it is asked",
        lambda q, p, o: sideways_error(q, p).square(),
        0.0,
        4 * SQUARE,
        senses=("base",),
    ),
    "turning": RewardTerm(
        "squared turning rate about the body's z, less yaw_rate if it is asked",
        lambda q, p, o: _beyond(q["base_rates"][:, 2], p, "yaw_rate").square(),
        0.0,
        4 * SQUARE,
        senses=("base",),
    ),
    "track_yaw_rate": RewardTerm(
        "exp(-(turning rate - yaw_rate)^2 / sigma)",
        lambda q, p, o: _track(q["base_rates"][:, 2] - p["yaw_rate"][:, 0], o["sigma"]),
        0.0,
        1.0,
        options={"sigma": 0.25},
        parameters=("yaw_rate",),
        senses=("base",),
    ),
    "goal_distance": RewardTerm(
        "|position - goal|, m",
        lambda q, p, o: goal_distance(q, p, o["norm"]),
        0.0,
        4 * EXTREME,
        options={"norm": 2.0},
        parameters=("goal",),
    ),
    "upright": RewardTerm(
        "cosine of the body's tilt: 1 upright, -1 upside down",
        lambda q, p, o: q["up"][:, 2],
        -1.0,
        1.0,
        senses=("base",),
    ),
    "tilt": RewardTerm(
        "squared sine of the body's tilt", lambda q, p, o: q["up"][:, :2].square().sum(-1), 0.0, 1.0, senses=("base",)
    ),
    "height_error": RewardTerm(
        "(height - target)^2, m^2",
        lambda q, p, o: (q["base_height"] - (p["height"][:, 0] if "height" in p else o["target"])).square(),
        0.0,
        SQUARE,
        options={"target": 0.3},
        senses=("base",),
    ),
    "vertical_velocity": RewardTerm(
        "squared vertical velocity", lambda q, p, o: q["base_velocity"][:, 2].square(), 0.0, SQUARE, senses=("base",)
    ),
    "rolling": RewardTerm(
        "squared rates of roll and pitch",
        lambda q, p, o: q["base_rates"][:, :2].square().sum(-1),
        0.0,
        2 * SQUARE,
        senses=("base",),
    ),
    "effort": RewardTerm("sum of squared controls", lambda q, p, o: effort(q), 0.0, float("inf")),
    "torque": RewardTerm(
        "sum of squared actuator forces",
        lambda q, p, o: q["forces"].square().sum(-1),
        0.0,
        float("inf"),
        senses=("forces",),
    ),
    "energy": RewardTerm(
        "mechanical power of all actuators without regaining any, W",
        lambda q, p, o: (q["forces"] * q["actuator_velocities"]).abs().sum(-1),
        0.0,
        float("inf"),
        senses=("forces",),
    ),
    "smoothness": RewardTerm(
        "squared change of the action", lambda q, p, o: (q["action"] - q["last_action"]).square().sum(-1), 0.0, 4.0
    ),
    "pose": RewardTerm(
        "squared distance of the joints from the pose in which episodes begin",
        lambda q, p, o: q["joint_offsets"].square().sum(-1),
        0.0,
        SQUARE,
    ),
    "feet_air_time": RewardTerm(
        "time that a foot spent in the air less target, s, when it lands; 0 where the command is to stand",
        lambda q, p, o: ((q["air_time"] - o["target"]) * q["landed"]).sum(-1) * _asked_to_move(p, q["air_time"]),
        -1.0,
        EXTREME,
        options={"target": 0.5},
        senses=("feet",),
    ),
}
"""Terms by name; a penalty has a negative weight."""
