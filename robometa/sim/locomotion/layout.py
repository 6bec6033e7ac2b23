"""Columns of a robot's numbers in the simulator's state and sensor readings."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import mujoco
import numpy as np
from numpy.typing import NDArray

from robometa.errors import UserError
from robometa.sim.locomotion.carriers import axes, carriers, joints_of, path_to
from robometa.suites.mujoco_numbers import FREE, HINGE, SLIDE
from robometa.suites.robots import Robot

OURS = "robometa/"
"""Begin of the names of sensors that this package adds."""
BODY_SENSOR = OURS + "body"
"""Name of the readings of the body's place, where no column of the state holds it."""
SAMPLES, EXACT = 8, 1e-9
"""Random poses that a rule for the body's place is tried on, and the error that it may have, m."""
Array = NDArray[np.float64]


@dataclass(frozen=True)
class BodyMap:
    """The body's place as a linear function of positions: `offset + matrix @ state[columns]`."""

    columns: tuple[int, ...]
    matrix: tuple[tuple[float, ...], ...]
    """`[3, column]`"""
    offset: tuple[float, ...]
    """m, `[3]`"""

    @property
    def is_plain(self) -> bool:
        """Each of x, y and z is one column as it is, y and z perhaps nothing; a height may have an offset."""
        rows = np.array(self.matrix).reshape(3, -1)
        ones = ((np.abs(rows - 1) < EXACT).sum(axis=1) + (np.abs(rows) < EXACT).sum(axis=1)) == rows.shape[1]
        single = (np.abs(rows) > EXACT).sum(axis=1) <= 1
        ahead = (np.abs(rows[0]) > EXACT).any()
        return bool(ahead and ones.all() and single.all() and np.abs(self.offset[:2]).max() < EXACT)

    def column(self, axis: int) -> int | None:
        """Column of the state that moves the body along an axis, if there is one."""
        moved = [column for column, factor in zip(self.columns, self.matrix[axis], strict=True) if abs(factor) > EXACT]
        return moved[0] if moved else None


@dataclass(frozen=True)
class Layout:
    """Columns of a robot's numbers in the simulator's state (time, qpos, qvel, ...) and in its sensor readings."""

    position: tuple[int, ...]
    """Columns of the state with the base's x and y; empty if readings have them."""
    height: int | None
    """Column of the state that moves the body up and down."""
    height_offset: float
    """Height minus the value of that column, m."""
    pitch: int | None
    joints: tuple[int, ...]
    """Columns of the positions other than the base's x and y."""
    velocities: tuple[int, ...]
    limited: tuple[int, ...]
    """Columns that a state limit applies to: all positions and velocities except the base's x and y."""
    body_sensor: int | None
    """First of three readings of the body's place in the world, if no columns have it."""
    body_map: BodyMap | None
    """Rule for those readings; None if the simulator must compute them."""
    rises: bool
    """The body's height can change."""
    planar: bool
    """The body moves along x and z only."""
    sensors: tuple[int, ...]
    """Sensor readings that belong to the robot."""
    quantities: tuple[tuple[str, tuple[int, ...]], ...]
    """Indices of the sensor readings of each named quantity."""
    added: tuple[tuple[str, tuple[int, ...]], ...] = ()
    """Indices of the readings of sensors that `SENSES` added, by group and part, such as `base/turn`."""
    by_sensor: tuple[tuple[str, tuple[int, ...]], ...] = ()
    """Indices of the readings of the model's own sensors."""


def body_map(model: mujoco.MjModel, body: str) -> BodyMap | None:
    """The rule for a body's place in the world; None if it is no linear function of positions.

    It is found by moving each joint above the body, and tried on random poses.
    """
    index, data = model.body(body).id, mujoco.MjData(model)
    rest = _place(model, data, index, model.qpos0)
    columns, rows = [], []
    for address in _translations(model, index):
        moved = model.qpos0.copy()
        moved[address] += 1.0
        row = _place(model, data, index, moved) - rest
        if np.abs(row).max() > EXACT:
            columns.append(address)
            rows.append(np.where(np.abs(row - row.round()) < EXACT, row.round(), row))
    matrix = np.array(rows).reshape(-1, 3).T
    offset = rest - matrix @ model.qpos0[columns]
    offset[np.abs(offset) < EXACT] = 0.0
    for pose in _poses(model):
        if np.abs(offset + matrix @ pose[columns] - _place(model, data, index, pose)).max() > EXACT:
            return None
    return BodyMap(tuple(1 + column for column in columns), tuple(map(tuple, matrix.tolist())), tuple(offset.tolist()))


def _translations(model: mujoco.MjModel, body: int) -> Iterator[int]:
    """Addresses in qpos that may move a body in a straight line: slides, and the first three of a free joint."""
    while body > 0:
        for joint in range(model.body_jntadr[body], model.body_jntadr[body] + model.body_jntnum[body]):
            address = int(model.jnt_qposadr[joint])
            if model.jnt_type[joint] == SLIDE:
                yield address
            elif model.jnt_type[joint] == FREE:
                yield from range(address, address + 3)
        body = int(model.body_parentid[body])


def _poses(model: mujoco.MjModel) -> Iterator[Array]:
    """Random poses, the same every time."""
    source = np.random.default_rng(0)
    for _ in range(SAMPLES):
        yield model.qpos0 + source.normal(size=model.nq)  # MuJoCo normalises what turns


def _place(model: mujoco.MjModel, data: mujoco.MjData, body: int, pose: Array) -> Array:
    data.qpos[:] = pose
    mujoco.mj_kinematics(model, data)
    return np.array(data.xpos[body])


def _heights(model: mujoco.MjModel, body: str) -> list[float]:
    index, data = model.body(body).id, mujoco.MjData(model)
    return [float(_place(model, data, index, pose)[2]) for pose in _poses(model)]


def layout_of(model: mujoco.MjModel, robot: Robot, rule: BodyMap | None) -> Layout:
    """Lays out a robot's numbers.

    Args:
        model: The robot's model with its sensors.
        robot: The robot.
        rule: What `body_map` gives.

    Raises:
        UserError: If the robot ends episodes by what it does not have.
    """
    plain = rule is not None and rule.is_plain
    qvel = 1 + model.nq
    plane = [] if rule is None else [rule.column(axis) for axis in (0, 1)]
    height = rule.column(2) if rule is not None and plain else None
    # What moves the body across the plane is no part of the joints' positions, whatever its direction.
    across = set() if rule is None else _across(rule)
    joints = [1 + index for index in range(model.nq) if 1 + index not in across]
    velocities = range(qvel, qvel + model.nv)
    every = _readings(model)
    readings = dict(every)
    own = [(name, columns) for name, columns in every if not name.startswith(OURS)]
    pitch = _pitch(model, robot)
    rises = max(heights := _heights(model, robot.body)) - min(heights) > EXACT
    if robot.height is not None and not rises:
        raise UserError(f"robot {robot.name}: a height range needs a body that can rise and fall, in {robot.mjcf.name}")
    if robot.pitch is not None and pitch is None:
        raise UserError(f"robot {robot.name}: a pitch limit needs a body with a hinge about y, in {robot.mjcf.name}")
    return Layout(
        position=tuple(column for column in plane if column is not None) if plain else (),
        height=height,
        height_offset=0.0 if height is None or rule is None else rule.offset[2],
        pitch=pitch,
        joints=tuple(joints),
        velocities=tuple(velocities),
        limited=(*joints, *velocities),
        body_sensor=None if plain else readings[BODY_SENSOR][0],
        body_map=None if plain else rule,
        rises=rises,
        planar=rule is not None and all(abs(factor) < EXACT for factor in rule.matrix[1]) and any(rule.matrix[0]),
        sensors=tuple(column for _, columns in own for column in columns),
        quantities=tuple((quantity, readings[sensor]) for quantity, sensor in robot.quantities),
        added=tuple(_added(every).items()),
        by_sensor=tuple(own),
    )


def _readings(model: mujoco.MjModel) -> list[tuple[str, tuple[int, ...]]]:
    """Name and reading columns of every sensor; several may have no name."""
    places = zip(model.sensor_adr.tolist(), model.sensor_dim.tolist(), strict=True)
    return [
        (model.sensor(index).name, tuple(range(address, address + size)))
        for index, (address, size) in enumerate(places)
    ]


def _added(every: list[tuple[str, tuple[int, ...]]]) -> dict[str, tuple[int, ...]]:
    """Columns of the readings of sensors that `SENSES` added, by group and part."""
    added: dict[str, tuple[int, ...]] = {}
    for name, columns in every:
        if name.startswith(OURS) and name != BODY_SENSOR:
            group, part = name.removeprefix(OURS).split("/")[:2]
            key = "feet" if group == "feet" else f"{group}/{part}"
            added[key] = (*added.get(key, ()), *columns)
    return added


def _across(rule: BodyMap) -> set[int]:
    """Columns that move the body along x or y."""
    return {
        column
        for place, column in enumerate(rule.columns)
        if abs(rule.matrix[0][place]) > EXACT or abs(rule.matrix[1][place]) > EXACT
    }


def _pitch(model: mujoco.MjModel, robot: Robot) -> int | None:
    """Column of the hinge about y among the joints that carry the body, if no others are above it."""
    body = model.body(robot.body).id
    joints = carriers(model, body)
    above = [joint for one in path_to(model, body) for joint in joints_of(model, one)]
    if joints != above:
        return None
    about_y = (model.jnt_type == HINGE) & (np.abs(axes(model)[:, 1]) > 0.999)
    return next((1 + int(model.jnt_qposadr[joint]) for joint in joints if about_y[joint]), None)
