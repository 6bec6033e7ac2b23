"""States at which episodes begin: a keyframe or the model as drawn, with noise that stays possible."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import mujoco
import numpy as np
from numpy.typing import NDArray

from robometa.sim.locomotion.actions import activations
from robometa.sim.locomotion.carriers import base_joints, children, joints_of, looped_joints
from robometa.sim.locomotion.ground import depths
from robometa.sim.locomotion.keyframes import keyframe_of
from robometa.suites.mujoco_numbers import BALL, FREE, HINGE, SLIDE
from robometa.suites.robots import Robot

Array = NDArray[np.float64]
BASE_NOISE = 0.02
"""Largest noise on a careful robot's base, where a suite does not say: it begins on its feet, m."""
TOUCHING = 1e-4
"""Depth in the ground at which a foot still rests on it, m."""
UPRIGHT = 0.7
"""Least part of a slide's axis that is up or down, for one that lifts a robot."""
STOPPED = 1e3
"""Damping per physics step, in inertias, above which a joint only holds still."""
LIFTS = 5
"""Tries to lift a robot out of uneven ground."""


class Beginnings:
    """Positions and velocities at which a robot's episodes begin.

    A careful robot's stay possible: no joint is outside its range, what would be in the ground is lifted, and joints of
    closed loops have no noise.
    """

    def __init__(self, model: mujoco.MjModel, robot: Robot) -> None:
        """Reads the keyframe and the noise.

        Raises:
            UserError: If the model has no such keyframe.
        """
        key = keyframe_of(model, robot)
        self._careful = robot.careful
        self.velocity_noise: Array = np.full(model.nv, robot.reset_velocity_noise)
        """Scale of the noise on each velocity. `[velocity]`"""
        self.qpos: Array = np.array(model.qpos0 if key is None else model.key_qpos[key])
        """Positions without noise. `[position]`"""
        self.qvel: Array = np.zeros(model.nv) if key is None else np.array(model.key_qvel[key])
        """Velocities without noise. `[velocity]`"""
        self.act: Array = activations(model, robot)
        """Activations. `[activation]`"""
        joints = robot.reset_noise if robot.reset_joint_noise is None else robot.reset_joint_noise
        base = robot.reset_base_noise
        if base is None:
            base = min(robot.reset_noise, BASE_NOISE) if robot.careful else robot.reset_noise
        self.noise: Array = np.full(model.nq, joints)
        """Half width of the noise on each position. `[position]`"""
        self.noise[base_columns(model, robot.body)] = base
        if robot.careful:  # noise would tear a closed loop apart, and a speed that damping stops at once is a blow
            self.noise[[column for joint in looped_joints(model) for column in _of(model, joint)]] = 0.0
            self.velocity_noise[model.dof_damping * model.opt.timestep > STOPPED * model.dof_M0] = 0.0
        self._data = mujoco.MjData(model)  # models of a robot differ in numbers only

    def positions(self, uniform: Array, models: Sequence[mujoco.MjModel]) -> Array:
        """Positions at the beginning of episodes. `[world, position]`.

        Args:
            uniform: Numbers uniform in 0..1. `[world, position]`
            models: Model of each world.
        """
        qpos = self.qpos + self.noise * (2 * uniform - 1)
        if self._careful:
            for world, model in enumerate(models):
                within_ranges(model, qpos[world])
                self._lift(model, qpos[world])
        return qpos

    def velocities(self, noise: Array) -> Array:
        """Velocities at the beginning of episodes, from noise that is uniform or normal. `[world, velocity]`."""
        moved = self.velocity_noise * noise
        return moved + self.qvel if self.qvel.any() else moved

    def offsets(self, uniform: Array, models: Sequence[mujoco.MjModel]) -> Array:
        """Differences of `positions` from those without noise. `[world, position]`."""
        return self.positions(uniform, models) - self.qpos if self._careful else self.noise * (2 * uniform - 1)

    def _lift(self, model: mujoco.MjModel, qpos: Array) -> None:
        """Lifts what is in the ground, as far as joints can. `[position]`."""
        for _ in range(LIFTS):
            self._data.qpos[:] = qpos
            deep = {root: depth for root, depth in depths(model, self._data).items() if depth > TOUCHING}
            if not [root for root, depth in deep.items() if raise_root(model, self._data, root, depth, qpos)]:
                break


def base_columns(model: mujoco.MjModel, body: str) -> list[int]:
    """Addresses in qpos of every free joint, and of the joints of a base of slides, which no actuator drives."""
    free = [joint for joint in range(model.njnt) if model.jnt_type[joint] == FREE]
    joints = dict.fromkeys((*free, *base_joints(model, model.body(body).id)))
    return [column for joint in joints for column in _of(model, joint)]


def _of(model: mujoco.MjModel, joint: int) -> Iterator[int]:
    """Addresses in qpos of a joint."""
    first = int(model.jnt_qposadr[joint])
    size = {FREE: 7, BALL: 4}.get(int(model.jnt_type[joint]), 1)
    yield from range(first, first + size)


def within_ranges(model: mujoco.MjModel, qpos: Array) -> None:
    """Puts each joint into its range, and makes each turn a turn. `[position]`."""
    for joint in range(model.njnt):
        first, kind = int(model.jnt_qposadr[joint]), model.jnt_type[joint]
        if kind in (FREE, BALL):
            turn = qpos[first + 3 : first + 7] if kind == FREE else qpos[first : first + 4]
            turn /= max(float(np.linalg.norm(turn)), 1e-9)
        if not model.jnt_limited[joint]:
            continue
        if kind == BALL:
            _within_cone(qpos[first : first + 4], float(model.jnt_range[joint][1]))
        else:
            qpos[first] = np.clip(qpos[first], *model.jnt_range[joint])


def _within_cone(turn: Array, most: float) -> None:
    """Turns a ball joint back to the largest angle that it may have. `[4]`."""
    rotation = np.zeros(3)
    mujoco.mju_quat2Vel(rotation, turn, 1.0)
    angle = float(np.linalg.norm(rotation))
    if angle > most:
        mujoco.mju_axisAngle2Quat(turn, rotation / angle, most)


def raise_root(model: mujoco.MjModel, data: mujoco.MjData, root: int, height: float, qpos: Array) -> bool:
    """Raises a tree of bodies by a free joint, or by a slide that goes up and is the root's or the next in line.

    Args:
        model: The model.
        data: The same positions, of which the axes in the world are computed.
        root: The tree's root.
        height: Height to raise it by, m.
        qpos: Positions to change. `[position]`

    Returns:
        False if it has neither.
    """
    line = [root]
    while line:
        for joint in joints_of(model, line[0]):
            first, kind, up = int(model.jnt_qposadr[joint]), model.jnt_type[joint], float(data.xaxis[joint][2])
            if kind == FREE:
                qpos[first + 2] += height
                return True
            if kind == SLIDE and abs(up) > UPRIGHT:
                qpos[first] += height / up
                if model.jnt_limited[joint]:
                    qpos[first] = np.clip(qpos[first], *model.jnt_range[joint])
                return True
        line = carried if len(carried := children(model, line[0])) == 1 else []
    return False


def notes(model: mujoco.MjModel, robot: Robot) -> list[str]:
    """Remarks on where episodes begin, in words: depth in the ground, and joints outside their ranges."""
    beginnings, helped = Beginnings(model, robot), ", and begins"
    data = mujoco.MjData(model)
    data.qpos[:] = beginnings.qpos
    said = []
    deep = max(depths(model, data).values(), default=0.0)
    if deep > 10 * TOUCHING:
        said.append(f"{1000 * deep:.0f} mm in the ground{f'{helped} that much higher' if robot.careful else ''}")
    for joint in range(model.njnt):
        if not model.jnt_limited[joint] or model.jnt_type[joint] not in (SLIDE, HINGE):
            continue
        low, high = model.jnt_range[joint]
        reading = beginnings.qpos[model.jnt_qposadr[joint]]
        beyond = max(low - reading, reading - high)
        if beyond > 1e-3:
            words = f"joint {model.joint(joint).name or joint} outside its range by {beyond:.2g}"
            said.append(words + (f"{helped} at its end" if robot.careful else ""))
    if robot.careful and (looped := looped_joints(model)):
        said.append(f"without noise of {len(looped)} joint{'s' * (len(looped) > 1)} that an equality constraint ties")
    return said
