"""The uneven ground of a suite's tasks: a seed for each. Standard library only."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import replace
from itertools import count
from typing import Any

from robometa.suites.robots import Robot
from robometa.suites.sim_to_real import SimToReal


def ground_of(robot: Robot, key: str) -> int:
    """Seed of the uneven ground of the task that a key stands for; 0 for a robot on even ground."""
    if robot.real is None or robot.real.terrain is None:
        return 0
    return int.from_bytes(hashlib.sha256(key.encode()).digest()[:7])


def on_ground(robot: Robot, real: SimToReal | None) -> Robot:
    """The robot with its differences to the real one; on uneven ground it begins on top of it."""
    robot = replace(robot, real=real)
    if real is None or real.terrain is None:
        return robot
    sizes = None if robot.sizes is None else replace(robot.sizes, geoms=robot.sizes.geoms + 1)
    return replace(robot, careful=True, sizes=sizes)


def grounds_of(robot: Robot, table: Mapping[str, Any], seed: int) -> Iterator[int]:
    """Seeds of the grounds of a split's tasks, without end.

    Args:
        robot: Robot on the ground.
        table: The split's table.
        seed: The split's seed if the table has none.
    """
    return (ground_of(robot, f"{table.get('seed', seed)}/ground/{index}") for index in count())
