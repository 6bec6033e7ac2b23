"""Meaning of a robot's observation: what a model of its dynamics may leave out, and a reward that needs no model."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from robometa.data import Meaning, Spaces
from robometa.sim.locomotion.reader import Reader
from robometa.sim.locomotion.wiring import Wiring
from robometa.suites.objectives import OBJECTIVES
from robometa.suites.task import Task


@dataclass(frozen=True)
class KnownReward:
    """An objective's own reward, from observations that have the body's place."""

    objective: str
    weight: Mapping[str, float]
    """Coefficients of the objective."""
    place: tuple[int, ...]
    """Places of the observation with the body's x, and its y if it can move along it."""
    duration: float
    """Duration of a control step, s."""
    middle: Tensor
    """Controls of the action 0. `[action]`"""
    half: Tensor
    """Difference in controls from the action 0 to 1. `[action]`"""

    def __call__(self, obs: Tensor, action: Tensor, next_obs: Tensor) -> Tensor:
        """Rewards of steps. `[n, obs]`, `[n, action]`, `[n, obs] -> [n]`."""
        device = obs.device
        where = torch.stack([next_obs[:, index] for index in self.place], dim=1)
        moved = where - torch.stack([obs[:, index] for index in self.place], dim=1)
        if len(self.place) == 1:  # a robot that cannot move along y
            where, moved = (torch.nn.functional.pad(part, (0, 1)) for part in (where, moved))
        velocity = moved / self.duration
        control = self.middle.to(device) + self.half.to(device) * action.clamp(-1, 1)
        quantity = {"position": where, "velocity": velocity, "forward_velocity": velocity[:, 0], "control": control}
        return OBJECTIVES[self.objective].reward(quantity, {}, self.weight)[0]


def spaces_with_meaning(reader: Reader, task: Task, wires: Wiring | None) -> Spaces:
    """Adds what is known of a robot's observation under an objective to the sizes of its spaces.

    The reward is known where the task hides none of its parameters, and the body's place is in the observation.

    Args:
        reader: Reads the robot's observations.
        task: A task, whose objective and kinds of hidden parameters are those of all.
        wires: Wires to the robot, of whose observation nothing is known; None if states are observed as they are.
    """
    if wires is not None:
        return replace(reader.spaces, observation=wires.observation)
    known, place, reward = OBJECTIVES[task.objective], _place(reader), None
    hides_some = bool(known.parameters) or any(name in known.optional for name, _ in task.parameters)
    if place and not hides_some and not reader.layout.quantities and not reader.controls.clips:
        middle, half = (part.float().cpu() for part in (reader.control_middle, reader.control_half))
        weight = dict(task.coefficients)
        reward = KnownReward(task.objective, weight, place, reader.control_step, middle, half)
    pitch = reader.columns.index(reader.layout.pitch) if reader.layout.pitch in reader.columns else None
    return replace(reader.spaces, meaning=Meaning(() if known.reads_place else place, pitch, reward))


def _place(reader: Reader) -> tuple[int, ...]:
    """Places of the observation with the body's x, and its y if it can move along it; empty if they are unseen."""
    columns, sensor = reader.columns, reader.layout.body_sensor
    if sensor is not None and sensor in reader.readings:
        first = len(columns) + reader.readings.index(sensor)
        return first, first + 1
    return tuple(columns.index(column) for column in reader.layout.position if column in columns)
