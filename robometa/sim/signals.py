"""Names, units and ranges of what a policy observes and of its actions, to connect it to a robot."""

from __future__ import annotations

from collections.abc import Callable

from robometa.sim.joints import Joints
from robometa.sim.locomotion import joints as locomotion_joints
from robometa.sim.locomotion import signals as locomotion
from robometa.sim.metaworld import signals as metaworld
from robometa.sim.signal import RobotSpaces
from robometa.suites.suite import Suite

SIGNALS: dict[str, Callable[[Suite], RobotSpaces]] = {
    "locomotion": locomotion.robot_spaces,
    "metaworld": metaworld.robot_spaces,
}
"""Descriptions by family."""


def robot_spaces(suite: Suite) -> RobotSpaces:
    """Describes a suite's signals; the hidden parameters that an oracle observes are not among them."""
    return SIGNALS[suite.family.name](suite)


def _no_joints(_: Suite) -> Joints:
    return Joints()


JOINTS: dict[str, Callable[[Suite], Joints]] = {
    "locomotion": locomotion_joints.joints,
    "metaworld": _no_joints,  # its arm's hand is pulled, not its joints
}
"""Descriptions of joints by family."""


def joints(suite: Suite) -> Joints:
    """Describes the joints of a suite's robot."""
    return JOINTS[suite.family.name](suite)
