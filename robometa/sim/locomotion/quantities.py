"""The named quantities of a control step, read from the simulator's numbers before and after it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cached_property
from typing import NamedTuple

import torch
from torch import Tensor

from robometa.errors import UserError
from robometa.sim.locomotion.layout import Layout

Others = Mapping[str, Callable[[], Tensor]]
"""Further quantities by name, each computed when it is asked for."""


class Moment(NamedTuple):
    """State and sensor readings of every world at one time."""

    state: Tensor
    """Time, positions, velocities, activations. `[world, state]`, float64"""
    sensed: Tensor
    """Sensor readings. `[world, reading]`, float64"""

    def x(self, layout: Layout) -> Tensor:
        """The body's x, m. `[world]`."""
        return self.state[:, layout.position[0]] if layout.body_sensor is None else self.sensed[:, layout.body_sensor]

    def height(self, layout: Layout) -> Tensor:
        """The body's height, m. `[world]`."""
        if layout.height is not None:
            return self.state[:, layout.height] + layout.height_offset
        return self.sensed[:, (layout.body_sensor or 0) + 2]

    def place(self, layout: Layout) -> Tensor:
        """The base's x and y, m; y is 0 for a robot that cannot move along it. `[world, 2]`."""
        if layout.body_sensor is not None:
            return self.sensed[:, layout.body_sensor : layout.body_sensor + 2]
        x = self.x(layout)
        y = self.state[:, layout.position[1]] if len(layout.position) > 1 else torch.zeros_like(x)
        return torch.stack((x, y), dim=1)


class Quantities(dict[str, Tensor]):
    """Named quantities of a step, each computed on first use by an objective."""

    def __init__(
        self,
        robot: str,
        layout: Layout,
        before: Moment,
        after: Moment,
        control: Tensor,
        duration: float,
        others: Others | None = None,
    ) -> None:
        """Takes the numbers that the quantities are computed from.

        Args:
            robot: The robot's name, for errors.
            layout: Columns of its numbers.
            before: Every world before the step.
            after: Every world after it.
            control: Controls in the actuators' own units. `[world, actuator]`
            duration: Duration of the step, s.
            others: Further quantities.
        """
        super().__init__()
        self.others: Others = others or {}
        self.robot, self.layout, self.before, self.after, self.duration = robot, layout, before, after, duration
        self._given = {"control": control}
        for name, columns in layout.quantities:
            readings = after.sensed[:, columns[0] : columns[-1] + 1]  # a sensor's readings follow each other
            self._given[name] = readings[:, 0] if name in ("forward_velocity", "height") else readings[:, :2]
        self.update(self._given)

    def anew(self, others: Others) -> Quantities:
        """Forgets what it computed, for the next step, whose numbers are in the same memory; returns itself."""
        self.clear()
        self.update(self._given)
        self.others = others
        return self

    @cached_property
    def _along_x(self) -> tuple[Tensor, Tensor]:
        """The body's x before and after the step, m. `[world]` each."""
        return self.before.x(self.layout), self.after.x(self.layout)

    def __missing__(self, name: str) -> Tensor:
        """Computes a quantity on first use.

        Raises:
            UserError: If the robot does not have it.
        """
        if name in self.others:
            value = self.others[name]()
        elif name == "forward_velocity":
            if "velocity" in self:
                value = self["velocity"][:, 0]
            else:
                before, after = self._along_x
                value = (after - before) / self.duration
        elif name == "velocity":
            value = (self.after.place(self.layout) - self.before.place(self.layout)) / self.duration
        elif name == "position":
            value = self.after.place(self.layout)
        elif name == "height" and self.layout.rises:
            value = self.after.height(self.layout)
        else:
            raise UserError(f"robot {self.robot} has no quantity {name!r}")
        self[name] = value
        return value
