"""Names, units and ranges of Meta-World's observations and actions."""

from __future__ import annotations

from robometa.sim.signal import RobotSpaces, Signal
from robometa.suites.suite import Suite

HAND = ((-0.525, 0.525), (0.348, 1.025), (-0.0525, 0.7))
"""Range of the hand's place along x, y and z, m; upstream's `_HAND_SPACE`."""
PHYSICS_STEP = 0.0025
"""Duration of a physics step in upstream's models, s."""
AXES, TURN = ("x", "y", "z"), ("x", "y", "z", "w")


def robot_spaces(suite: Suite) -> RobotSpaces:
    """Describes a Meta-World suite's signals.

    An action pulls the hand by up to 1 cm along each axis, so that its numbers in cm are those in -1..1.
    """
    now = [Signal(f"hand/{axis}", "m", *reach) for axis, reach in zip(AXES, HAND, strict=True)]
    now.append(Signal("gripper/opening", "1", -1.0, 1.0))
    for thing in ("object", "second-object"):
        now += [Signal(f"{thing}/{axis}", "m") for axis in AXES]
        now += [Signal(f"{thing}/q{axis}", "1", -1.0, 1.0) for axis in TURN]
    before = [Signal(f"before/{one.name}", one.unit, one.low, one.high) for one in now]
    shown = "goal" in suite.robot.observe
    goal = [Signal(f"goal/{axis}", "m") if shown else Signal(f"goal/{axis}", "m", 0.0, 0.0) for axis in AXES]
    action = [Signal(f"hand/{axis}", "cm", -1.0, 1.0) for axis in AXES]
    action.append(Signal("gripper/effort", "1", -1.0, 1.0))
    rate = 1 / (suite.robot.frame_skip * PHYSICS_STEP)
    return RobotSpaces((*now, *before, *goal), tuple(action), rate)
