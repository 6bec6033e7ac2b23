"""Motion of a robot's body in several frames, from readings of its sensors."""

from __future__ import annotations

from collections.abc import Callable

import mujoco
import numpy as np
import torch
from torch import Tensor

from robometa.errors import UserError
from robometa.sim.locomotion.carriers import axes, carriers
from robometa.sim.locomotion.layout import Layout
from robometa.sim.locomotion.quantities import Others
from robometa.suites.mujoco_numbers import FREE, HINGE, SLIDE
from robometa.suites.observation import BODY, HEADING, WORLD


class Base:
    """Motion of the body of every world at one time.

    MuJoCo reads its sensors from the state at the start of a control step's last physics step.
    """

    def __init__(self, layout: Layout, sensed: Tensor) -> None:
        """Takes the readings.

        Args:
            layout: Columns of the readings.
            sensed: Readings. `[world, reading]`
        """
        self.place, self.turn, self._velocity, self._rates = (
            of_added(layout, f"base/{part}", sensed) for part in ("place", "turn", "velocity", "rates")
        )

    @property
    def height(self) -> Tensor:
        """Height of the body, m. `[world]`."""
        return self.place[:, 2]

    @property
    def up(self) -> Tensor:
        """The world's vertical in the body's frame. `[world, 3]`."""
        w, x, y, z = self.turn.unbind(dim=1)
        return torch.stack((2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)), dim=1)

    def velocity(self, frame: str) -> Tensor:
        """Velocity of the body, m/s. `[world, 3]`."""
        return self._in(frame, self._velocity)

    def rates(self, frame: str) -> Tensor:
        """Turning rates of the body, rad/s. `[world, 3]`."""
        return self._in(frame, self._rates)

    def _in(self, frame: str, vector: Tensor) -> Tensor:
        """A vector of the world's frame in another frame. `[world, 3]`."""
        if frame == WORLD:
            return vector
        return turned_back(self.turn if frame == BODY else heading(self.turn), vector)


def of_added(layout: Layout, name: str, sensed: Tensor) -> Tensor:
    """Readings of a group of sensors that were added, which follow each other. `[world, reading]`."""
    columns = dict(layout.added)[name]
    return sensed[:, columns[0] : columns[-1] + 1]


def sensed_quantities(layout: Layout, sensed: Tensor) -> Others:
    """Quantities of a step from the sensors that were added. `[world, ...]` each."""
    added = dict(layout.added)
    by_name: dict[str, Callable[[], Tensor]] = {}
    if "base/turn" in added:
        base = Base(layout, sensed)
        by_name |= {
            "heading_velocity": lambda: base.velocity(HEADING)[:, :2],
            "base_velocity": lambda: base.velocity(WORLD),
            "base_rates": lambda: base.rates(BODY),
            "base_height": lambda: base.height,
            "up": lambda: base.up,
        }
    if "forces/force" in added:
        by_name |= {
            "forces": lambda: of_added(layout, "forces/force", sensed),
            "actuator_velocities": lambda: of_added(layout, "forces/velocity", sensed),
        }
    return by_name


def turned_back(quaternion: Tensor, vector: Tensor) -> Tensor:
    """Turns vectors by the inverses of unit quaternions w, x, y, z. `[world, 4]`, `[world, 3]`."""
    scalar, axis = quaternion[:, :1], quaternion[:, 1:]
    cross = torch.linalg.cross(axis, vector)
    return vector - 2 * scalar * cross + 2 * torch.linalg.cross(axis, cross)


def heading(quaternion: Tensor) -> Tensor:
    """The part of unit quaternions that turns about the vertical. `[world, 4]`."""
    w, x, y, z = quaternion.unbind(dim=1)
    half = torch.atan2(2 * (w * z + x * y), 1 - 2 * (y * y + z * z)) / 2
    none = torch.zeros_like(half)
    return torch.stack((half.cos(), none, none, half.sin()), dim=1)


def pushed_columns(model: mujoco.MjModel, robot: str, body: str) -> tuple[int | None, ...]:
    """Columns of the state that a push changes: velocities along x and y, rates about x, y and z.

    They belong to the joints that carry the robot, by their axes as it is drawn; None where there is no such joint.

    Raises:
        UserError: If there is none along x and y.
    """
    columns: list[int | None] = [None] * 5
    directions = np.abs(axes(model))
    for joint in carriers(model, model.body(body).id):
        kind, column = int(model.jnt_type[joint]), 1 + model.nq + int(model.jnt_dofadr[joint])
        if kind == FREE:
            return tuple(column + place for place in (0, 1, 3, 4, 5))
        axis = int(directions[joint].argmax())
        if kind == SLIDE and axis < 2:
            columns[axis] = column
        elif kind == HINGE:
            columns[2 + axis] = column
    if columns[0] is None and columns[1] is None:
        raise UserError(f"robot {robot} cannot be pushed: no joint lets it move along x or y")
    return tuple(columns)
