"""Values of an observation's terms, before bias, noise, clip, scale, delay and history."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import mujoco
import torch
from torch import Tensor

from robometa.errors import UserError
from robometa.sim.locomotion.base import Base, of_added, turned_back
from robometa.sim.locomotion.carriers import base_joints, joints_of
from robometa.sim.locomotion.layout import Layout
from robometa.suites.observation import FORMER, Term
from robometa.suites.robots import Robot

TOUCHING = 1.0
"""Force on a foot that counts as contact, N."""


@dataclass(frozen=True)
class Seen:
    """Numbers of every world that terms are computed from. The worlds are the first axis."""

    state: Tensor
    sensed: Tensor
    gravity: Tensor
    """Direction of gravity in the world's frame. `[world, 3]`"""
    last_action: Tensor
    command: Tensor


class Values:
    """Computes the values of a robot's terms side by side."""

    def __init__(
        self,
        robot: Robot,
        model: mujoco.MjModel,
        layout: Layout,
        rest: Tensor,
        former: Callable[[Tensor, Tensor], Tensor],
    ) -> None:
        """Prepares the terms.

        Args:
            robot: Robot with the terms.
            model: Compiled model of the robot.
            layout: Layout of its states and readings.
            rest: State at the beginning of an episode, without noise. `[state]`
            former: Observation of the former parts, from state and readings.

        Raises:
            UserError: If the robot has no joints besides those that carry its body.
        """
        self._robot, self._layout, self._rest, self._former = robot, layout, rest, former
        self.joints = scalar_joints(model, robot)
        """Hinges and slides besides those that carry the body, by index."""
        if not self.joints and any(term.kind.startswith("joint_") for term in robot.terms):
            raise UserError(f"robot {robot.name} has no joints besides those that carry its body, for joint_positions")
        self._positions = self._places([1 + int(model.jnt_qposadr[joint]) for joint in self.joints])
        self._velocities = self._places([1 + model.nq + int(model.jnt_dofadr[joint]) for joint in self.joints])
        self._sensors = {name: self._places(columns) for name, columns in layout.by_sensor}
        self._every_sensor = self._places(layout.sensors)
        self._has_base = "base" in robot.senses

    def _places(self, columns: Sequence[int]) -> Tensor:
        """Columns on the device of the states: a captured graph copies nothing to it."""
        return torch.tensor(list(columns), dtype=torch.int64, device=self._rest.device)

    def sizes(self, actions: int, commands: int, former: int) -> list[int]:
        """Count of the numbers of each term, from those of an action, a command and the former observation."""
        joints, layout = len(self.joints), self._layout
        by_kind = {
            **dict.fromkeys(("base_angular_velocity", "base_linear_velocity", "projected_gravity"), 3),
            **{"base_orientation": 4, "base_height": 1, "base_position": 2},
            **{"joint_positions": joints, "joint_velocities": joints, "last_action": actions, "command": commands},
            **{"sensors": len(layout.sensors), "foot_contacts": len(self._robot.feet), FORMER: former},
        }
        terms = self._robot.terms
        return [len(self._sensors[term.sensor]) if term.kind == "sensor" else by_kind[term.kind] for term in terms]

    def __call__(self, seen: Seen) -> Tensor:
        """Values of all terms. `[world, number]`."""
        base = Base(self._layout, seen.sensed) if self._has_base else None
        return torch.cat([self._value(term, seen, base) for term in self._robot.terms], dim=1)

    def offsets(self, state: Tensor) -> Tensor:
        """Joint positions relative to the pose in which episodes begin. `[world, joint]`."""
        return state[:, self._positions] - self._rest[self._positions]

    def _value(self, term: Term, seen: Seen, base: Base | None) -> Tensor:
        """Values of a term. `[world, number]`."""
        kind = term.kind
        if kind == FORMER:
            return self._former(seen.state, seen.sensed).to(seen.state.dtype)
        if kind == "joint_positions":
            return self.offsets(seen.state) if term.relative else seen.state[:, self._positions]
        if kind == "joint_velocities":
            return seen.state[:, self._velocities]
        if kind == "sensors":
            return seen.sensed[:, self._every_sensor]
        if kind == "sensor":
            return seen.sensed[:, self._sensors[term.sensor]]
        if kind == "foot_contacts":
            return (of_added(self._layout, "feet", seen.sensed) > TOUCHING).to(seen.state.dtype)
        if kind in ("last_action", "command"):
            return seen.last_action if kind == "last_action" else seen.command
        assert base is not None
        return OF_BASE[kind](base, term, seen)


OF_BASE: Mapping[str, Callable[[Base, Term, Seen], Tensor]] = {
    "base_angular_velocity": lambda base, term, seen: base.rates(term.frame),
    "base_linear_velocity": lambda base, term, seen: base.velocity(term.frame),
    "projected_gravity": lambda base, term, seen: turned_back(base.turn, seen.gravity),
    "base_orientation": lambda base, term, seen: base.turn,
    "base_height": lambda base, term, seen: base.place[:, 2:],
    "base_position": lambda base, term, seen: base.place[:, :2],
}
"""Values of the terms about the body."""


def scalar_joints(model: mujoco.MjModel, robot: Robot) -> list[int]:
    """Indices of the hinges and slides besides those that carry the robot's body on the world."""
    body = model.body(robot.body).id
    carrying = {*base_joints(model, body), *(joints_of(model, body) if model.body_parentid[body] == 0 else ())}
    scalar = (int(mujoco.mjtJoint.mjJNT_HINGE), int(mujoco.mjtJoint.mjJNT_SLIDE))
    return [joint for joint in range(model.njnt) if int(model.jnt_type[joint]) in scalar and joint not in carrying]
