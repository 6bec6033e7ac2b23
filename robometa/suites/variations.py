"""Variations: changes to a robot's model, each a plain function on the arrays of a MuJoCo model."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from robometa.errors import Range, UserError
from robometa.suites.mujoco_numbers import HINGE, JOINT_IN_PARENT, ON_TENDON, SLIDE

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
    shows: bool = False
    """It changes how the robot looks at the same joint positions."""

    @property
    def neutral(self) -> float:
        """The number that changes nothing: 1 for a factor, otherwise 0."""
        return 0.0 if self.unit else 1.0


def _body_mass(model: mujoco.MjModel, factor: np.ndarray, robot: Robot) -> None:
    # Inertia goes with mass, so that every body stays one that could exist.
    model.body_mass[1:] *= factor
    model.body_inertia[1:] *= factor[:, None]


def _geom_friction(model: mujoco.MjModel, factor: np.ndarray, robot: Robot) -> None:
    factors = factor.reshape(model.geom_friction.shape)
    for pair in range(model.npair):
        geoms = [int(model.pair_geom1[pair]), int(model.pair_geom2[pair])]
        before, ratios = model.geom_friction[geoms], factors[geoms]
        # As MuJoCo mixes two geoms' friction: the larger one's, or that of the higher priority.
        first, second = model.geom_priority[geoms]
        ahead = before[0] >= before[1] if first == second else [first > second] * 3
        ratio = [one if use else other for use, one, other in zip(ahead, *ratios, strict=True)]
        sliding, torsional, rolling = ratio
        model.pair_friction[pair] *= [sliding, sliding, torsional, rolling, rolling]
    model.geom_friction[:] *= factors


def _joint_damping(model: mujoco.MjModel, factor: np.ndarray, robot: Robot) -> None:
    model.dof_damping[:] *= factor


def _gravity(model: mujoco.MjModel, factor: np.ndarray, robot: Robot) -> None:
    model.opt.gravity[:] *= factor


def _slope(model: mujoco.MjModel, angle: np.ndarray, robot: Robot) -> None:
    x, y, z = model.opt.gravity.copy()
    sine, cosine = math.sin(angle[0]), math.cos(angle[0])
    model.opt.gravity[:] = (cosine * x + sine * z, y, cosine * z - sine * x)


def _motor_strength(model: mujoco.MjModel, factor: np.ndarray, robot: Robot) -> None:
    for actuator, strength in enumerate(factor):
        # A muscle's numbers are lengths and speeds too: its force stands third, or what it is computed from fourth.
        muscle = model.actuator_gaintype[actuator] == MUSCLE
        force = slice(None) if not muscle else 2 if model.actuator_gainprm[actuator, 2] >= 0 else 3
        model.actuator_gainprm[actuator, force] *= strength
        model.actuator_biasprm[actuator, force] *= strength
    # Where a limit holds the force, what the actuator can give is the limit.
    model.actuator_forcerange[:] = _scaled(model.actuator_forcerange, factor)
    strongest = dict[int, float]()
    for joint, strength in _strengths(model, factor):
        strongest[joint] = max(strongest.get(joint, 0.0), strength, key=abs)
    for joint, strength in strongest.items():
        model.jnt_actfrcrange[joint] = _scaled(model.jnt_actfrcrange[joint : joint + 1], [strength])[0]


MUSCLE = 2
"""MuJoCo's number for the gain of a muscle."""
COUPLED = 1
"""MuJoCo's number for a joint as a part of a tendon."""


def _scaled(ranges: np.ndarray, factors: Iterable[float]) -> list[list[float]]:
    """Ranges times factors; a negative factor turns a range over."""
    return [sorted(limit * factor for limit in limits) for limits, factor in zip(ranges.tolist(), factors, strict=True)]


def _strengths(model: mujoco.MjModel, factor: np.ndarray) -> Iterator[tuple[int, float]]:
    """Yields the joint and the strength of each actuator that drives one, itself or by a tendon that couples joints."""
    for actuator in range(model.nu):
        moved = int(model.actuator_trnid[actuator, 0])
        if model.actuator_trntype[actuator] <= JOINT_IN_PARENT:
            yield moved, float(factor[actuator])
        elif model.actuator_trntype[actuator] == ON_TENDON:
            for part in range(model.tendon_adr[moved], model.tendon_adr[moved] + model.tendon_num[moved]):
                if model.wrap_type[part] == COUPLED:
                    yield int(model.wrap_objid[part]), float(factor[actuator])


def driven_joints(model: mujoco.MjModel) -> list[int]:
    """Hinges and slides that actuators drive, each once, in the order of the actuators."""
    joints = [int(model.actuator_trnid[index, 0]) for index in range(model.nu) if _on_joint(model, index)]
    return list(dict.fromkeys(joints))


def _on_joint(model: mujoco.MjModel, actuator: int) -> bool:
    moved = model.actuator_trntype[actuator] <= JOINT_IN_PARENT
    return bool(moved and model.jnt_type[model.actuator_trnid[actuator, 0]] in (SLIDE, HINGE))


def _payload(model: mujoco.MjModel, mass: np.ndarray, robot: Robot) -> None:
    body = model.body(robot.body).id
    if model.body_mass[body] + mass[0] <= 0:
        raise UserError(
            f"payload must be more than {-model.body_mass[body]:g} kg, the mass of {robot.body} in {robot.mjcf.name}, "
            f"not {mass[0]:g}"
        )
    model.body_mass[body] += mass[0]


def _joint_offset(model: mujoco.MjModel, angle: np.ndarray, robot: Robot) -> None:
    if not all(_on_joint(model, actuator) for actuator in range(model.nu)):
        raise UserError(f"joint_offset needs every actuator to drive a hinge or a slide, in {robot.mjcf.name}")
    # qpos0 is the reading at which the joint stands as drawn: moving it leaves readings, limits and springs alone.
    model.qpos0[model.jnt_qposadr[driven_joints(model)]] -= angle


VARIATIONS = {
    "body_mass": Variation(
        "factor on each body's mass and inertia, bodies in the model's order without the world",
        lambda sizes: sizes.bodies,
        _body_mass,
        allowed=Range("(0, inf)"),
    ),
    "geom_friction": Variation(
        "factor on each geom's sliding, torsional and rolling friction and on its contact pairs', in the model's order",
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
        "factor on what each actuator gives, and on its limit; 0 is a broken one",
        lambda sizes: sizes.actuators,
        _motor_strength,
    ),
    "payload": Variation("kg added to the robot's body", lambda sizes: 1, _payload, "kg"),
    "joint_offset": Variation(
        "rad by which each driven joint stands off its reading, a joint of several actuators once",
        lambda sizes: sizes.driven,
        _joint_offset,
        "rad",
        shows=True,
    ),
}
