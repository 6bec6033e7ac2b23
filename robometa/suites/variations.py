"""Variations: changes to a robot's model, each a plain function on the arrays of a MuJoCo model."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from robometa.errors import Range, UserError

if TYPE_CHECKING:
    import mujoco
    import numpy as np

    from robometa.suites.robots import Robot, Sizes


@dataclass(frozen=True)
class Variation:
    """A change to a robot's model, given by some numbers."""

    about: str
    size: Callable[[Sizes], int]
    """Count of the numbers, from the sizes of the model."""
    apply: Callable[[mujoco.MjModel, np.ndarray, Robot], None]
    """Changes the model in place; the caller recomputes the constants that follow from mass or pose."""
    unit: str = ""
    """Unit of the numbers; empty for factors."""
    allowed: Range = Range("(-inf, inf)")  # noqa: RUF009
    """Values that a number may have."""

    @property
    def neutral(self) -> float:
        """The number that changes nothing: 1 for a factor, otherwise 0."""
        return 0.0 if self.unit else 1.0


def _body_mass(model: mujoco.MjModel, factor: np.ndarray, robot: Robot) -> None:
    # Inertia goes with mass, so that every body stays one that could exist.
    model.body_mass[1:] *= factor
    model.body_inertia[1:] *= factor[:, None]


def _geom_friction(model: mujoco.MjModel, factor: np.ndarray, robot: Robot) -> None:
    model.geom_friction[:] *= factor.reshape(model.geom_friction.shape)


def _joint_damping(model: mujoco.MjModel, factor: np.ndarray, robot: Robot) -> None:
    model.dof_damping[:] *= factor


def _gravity(model: mujoco.MjModel, factor: np.ndarray, robot: Robot) -> None:
    model.opt.gravity[:] *= factor


def _slope(model: mujoco.MjModel, angle: np.ndarray, robot: Robot) -> None:
    x, y, z = model.opt.gravity.copy()
    sine, cosine = math.sin(angle[0]), math.cos(angle[0])
    model.opt.gravity[:] = (cosine * x + sine * z, y, cosine * z - sine * x)


def _motor_strength(model: mujoco.MjModel, factor: np.ndarray, robot: Robot) -> None:
    model.actuator_gainprm[:] *= factor[:, None]
    model.actuator_biasprm[:] *= factor[:, None]


def _payload(model: mujoco.MjModel, mass: np.ndarray, robot: Robot) -> None:
    body = model.body(robot.body).id
    if model.body_mass[body] + mass[0] <= 0:
        raise UserError(
            f"payload must be more than {-model.body_mass[body]:g} kg, the mass of {robot.body} in {robot.mjcf.name}, "
            f"not {mass[0]:g}"
        )
    model.body_mass[body] += mass[0]


def _joint_offset(model: mujoco.MjModel, angle: np.ndarray, robot: Robot) -> None:
    if any(model.actuator_trntype):  # 0 is a joint
        raise UserError(f"joint_offset needs every actuator to drive a joint, in {robot.mjcf.name}")
    # qpos0 is the reading at which the joint stands as drawn: moving it leaves readings, limits and springs alone.
    model.qpos0[model.jnt_qposadr[model.actuator_trnid[:, 0]]] -= angle


VARIATIONS = {
    "body_mass": Variation(
        "factor on each body's mass and inertia, bodies in the model's order without the world",
        lambda sizes: sizes.bodies,
        _body_mass,
        allowed=Range("(0, inf)"),
    ),
    "geom_friction": Variation(
        "factor on each geom's sliding, torsional and rolling friction, geoms in the model's order",
        lambda sizes: 3 * sizes.geoms,
        _geom_friction,
        allowed=Range("[0, inf)"),
    ),
    "joint_damping": Variation(
        "factor on the damping of each degree of freedom",
        lambda sizes: sizes.velocities,
        _joint_damping,
        allowed=Range("[0, inf)"),
    ),
    "gravity": Variation("factor on gravity", lambda sizes: 1, _gravity),
    "slope": Variation("rad by which the floor rises ahead, as tilted gravity", lambda sizes: 1, _slope, "rad"),
    "motor_strength": Variation(
        "factor on what each actuator gives; 0 is a broken one", lambda sizes: sizes.actuators, _motor_strength
    ),
    "payload": Variation("kg added to the robot's body", lambda sizes: 1, _payload, "kg"),
    "joint_offset": Variation(
        "rad by which each driven joint stands off its reading", lambda sizes: sizes.actuators, _joint_offset, "rad"
    ),
}
