"""A robot's observation as a suite completes it: the sensors to add, and the command. Standard library only."""

from __future__ import annotations

from dataclasses import replace

from robometa.suites.command import Command
from robometa.suites.objectives import Objective
from robometa.suites.observation import FORMER, KINDS, Term
from robometa.suites.robots import Robot

COMMAND = Term("command")


def with_senses(
    robot: Robot, paid: Objective | None, command: Command | None, where: str, mistakes: list[str]
) -> Robot:
    """Returns the robot with the sensors that its observation and its objective need, and with the command to see.

    Args:
        robot: Robot as the suite's file describes it.
        paid: Objective, if it is known.
        command: Visible commands, if there are any.
        where: File, for mistakes.
        mistakes: List to add mistakes to.
    """
    kinds = [term.kind for term in robot.terms]
    if "command" in kinds and command is None:
        mistakes.append(f"observe has the term command, but there is no [command] in {where}")
    if command is not None and kinds and "command" not in kinds:
        mistakes.append(f"observe has no term command, but [command] of {where} must be visible")
    if command is not None and not kinds:
        robot = replace(robot, terms=(Term(FORMER), COMMAND))
    senses = {KINDS[kind].senses for kind in kinds if KINDS[kind].senses}
    senses |= set() if paid is None else set(paid.senses)
    if "feet" in senses and not robot.feet:
        mistakes.append(f'foot contacts need feet = ["NAME", ...], geoms or bodies of the model, in [robot] of {where}')
    return replace(robot, senses=tuple(sorted(senses)))
