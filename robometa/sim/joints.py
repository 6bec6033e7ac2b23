"""Joints of a robot, as its controller needs them."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Joints:
    """Names, default positions and gains; actuators are in the order of the actions."""

    names: tuple[str, ...] = ()
    """Hinges and slides, in the model's order."""
    default: tuple[float, ...] = ()
    """Their default positions, rad or m."""
    actuated: tuple[str, ...] = ()
    """Joint of each actuator; empty if it moves something else."""
    stiffness: tuple[float, ...] = ()
    """Position gain of each actuator; 0 for a motor."""
    damping: tuple[float, ...] = ()
    """Velocity gain of each actuator; 0 for a motor."""
    rest: tuple[float, ...] = ()
    """Control of each actuator that asks for nothing: a servo's default position, no force of a motor."""
