"""Converts actions to controls, and simulator states to observations and terminations."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import mujoco
import numpy as np
import torch
from torch import Tensor

from robometa.data import Spaces
from robometa.sim.locomotion.actions import controls_of
from robometa.sim.locomotion.beginnings import Beginnings
from robometa.sim.locomotion.layout import Layout
from robometa.sim.locomotion.quantities import Moment, Others, Quantities
from robometa.suites.command import Command
from robometa.suites.objectives import Objective, worst_reward
from robometa.suites.robots import Robot
from robometa.suites.task import Task

BEGINNING = 1.0
"""Simulated time at which an episode begins, s. MuJoCo resets a world that blows up to time 0: a clock that never
starts there always shows it."""
MAXIMUM = 1e10
"""Magnitude at which MuJoCo calls a state bad."""


class Reader:
    """Reads a robot's state and sensor readings, on any device and in any precision.

    A state is time, positions, velocities and activations, one row per world.
    """

    def __init__(
        self, robot: Robot, model: mujoco.MjModel, layout: Layout, dtype: torch.dtype, device: torch.device | str
    ) -> None:
        """Takes the robot's model as drawn.

        Args:
            robot: Defines the observation and the end of an episode.
            model: Compiled model of the robot.
            layout: Layout of its states and sensor readings.
            dtype: Type of states and readings.
            device: Device of states and readings.
        """
        self.robot, self.layout, self._dtype, self._device = robot, layout, dtype, device
        self.control_step = robot.frame_skip * model.opt.timestep
        self._tolerance = 0.5 * model.opt.timestep
        self.beginnings = Beginnings(model, robot)
        """States at which episodes begin."""
        self.rest = torch.zeros(mujoco.mj_stateSize(model, mujoco.mjtState.mjSTATE_FULLPHYSICS), dtype=torch.float64)
        begin = self.beginnings
        parts = [np.array([BEGINNING]), begin.qpos, begin.qvel, begin.act]
        self.rest[: 1 + model.nq + model.nv + model.na] = torch.from_numpy(np.concatenate(parts))
        self.rest = self.here(self.rest)
        """State at the beginning of an episode, without noise. `[state]`"""
        self.controls = controls_of(model, robot)
        """Controls that actions stand for."""
        self.control_middle = self.here(torch.from_numpy(self.controls.centre))
        self.control_half = self.here(torch.from_numpy(self.controls.scale))
        ends = [self.here(torch.from_numpy(end)) for end in (self.controls.low, self.controls.high)]
        self._control_ends = ends if self.controls.clips else None
        self.resting = self.here(torch.from_numpy(self.controls.centre * self.controls.resting))
        """Controls of a robot that rests; 0 where it does not say. `[actuator]`"""
        self._largest_control = self.control_middle.abs() + self.control_half
        if layout.body_map is not None:
            rule = layout.body_map
            tensors = (torch.tensor(part, dtype=torch.float64) for part in (rule.matrix, rule.offset))
            self._matrix, self._offset = (self.here(tensor.reshape(3, -1).T) for tensor in tensors)
        self._limited = torch.tensor(layout.limited, dtype=torch.int64, device=device)
        self.columns: list[int] = []
        """Columns of the state that the policy sees."""
        self.readings: list[int] = []
        """Sensor readings that it sees after them."""
        self._choose_observation(model)

    def here(self, values: Tensor) -> Tensor:
        """Values in the type and on the device of the states."""
        return values.to(self._dtype).to(self._device)

    def _choose_observation(self, model: mujoco.MjModel) -> None:
        """Lists the columns of state and sensor readings that the policy sees."""
        layout, observe = self.layout, self.robot.observe
        columns = [
            *(layout.joints if "joint_positions" in observe else ()),
            *(layout.velocities if "velocities" in observe else ()),
            *(layout.position if "position" in observe else ()),
        ]
        body = layout.body_sensor if "position" in observe else None
        readings = [
            *(() if body is None else (body, body + 1)),
            *(layout.sensors if "sensors" in observe else ()),
        ]
        self.columns, self.readings = columns, readings
        self._observed, self._observed_readings = _runs(columns), _runs(readings)
        clip = self.robot.velocity_clip
        self._clip = None
        if clip is not None:
            reach = [clip if column in layout.velocities else float("inf") for column in columns]
            self._clip = self.here(torch.tensor(reach + [float("inf")] * len(readings), dtype=torch.float64))
        self.spaces = Spaces(len(columns) + len(readings), model.nu)

    def control(self, action: Tensor) -> Tensor:
        """Converts actions to controls in the actuators' units, clipping outside -1..1. `[world, actuator]`."""
        control = self.control_middle + self.control_half * action.clamp(-1.0, 1.0)
        return control if self._control_ends is None else control.clamp(*self._control_ends)

    def observe(self, state: Tensor, sensed: Tensor) -> Tensor:
        """Observations. `[world, obs]`, float32."""
        states = [state[:, columns] for columns in self._observed]
        readings = [sensed[:, columns] for columns in self._observed_readings]
        obs = torch.cat(states + readings, dim=1)
        return (obs if self._clip is None else obs.clamp(-self._clip, self._clip)).float()

    def quantities(self, before: Moment, after: Moment, control: Tensor, others: Others | None = None) -> Quantities:
        """The named quantities of a control step between two moments, and others by name."""
        return Quantities(self.robot.name, self.layout, before, after, control, self.control_step, others)

    def ended(self, after: Tensor, sensed: Tensor) -> Tensor | None:
        """Marks the worlds whose episode the robot's rule ends; None if it has no rule. `[world]`, bool.

        Args:
            after: State after the step. `[world, state]`
            sensed: Sensor readings after the step. `[world, reading]`
        """
        robot, layout = self.robot, self.layout
        rules: list[Tensor] = []
        if robot.height is not None:
            height = Moment(after, sensed).height(layout)
            rules += [height < robot.height[0], height > robot.height[1]]
        if robot.pitch is not None and layout.pitch is not None:
            rules.append(after[:, layout.pitch].abs() > robot.pitch)
        if robot.state_limit is not None:
            rules.append((after[:, self._limited].abs() > robot.state_limit).any(dim=-1))
        return torch.stack(rules).any(dim=0) if rules else None

    def place(self, state: Tensor) -> Tensor | None:
        """The body's place in the world, where a rule computes it from the state; None otherwise. `[world, 3]`."""
        rule = self.layout.body_map
        return None if rule is None else state[:, list(rule.columns)] @ self._matrix + self._offset

    def put_back(self, before: Tensor) -> Tensor:
        """Repairs diverged worlds: their state before, with the model's initial values for NaN. `[world, state]`."""
        return torch.where(before.abs() < MAXIMUM, before, self.rest)

    def parameters(self, objective: Objective, tasks: Sequence[Task], worlds: int) -> dict[str, Tensor]:
        """The objective's task parameters of every world, by name. `[task * world, number]`."""
        by_name = {}
        hidden = dict(tasks[0].parameters)  # the others are commands
        for name in (name for name in (*objective.parameters, *objective.optional) if name in hidden):
            values = torch.tensor([dict(task.parameters)[name] for task in tasks], dtype=torch.float64)
            by_name[name] = self.here(values).repeat_interleave(worlds, dim=0)
        return by_name

    def worst_reward(
        self,
        objective: Objective,
        parameter: Mapping[str, Tensor],
        weight: Mapping[str, float],
        tasks: int,
        command: Command | None = None,
    ) -> Tensor:
        """Lower bound on an honest step's reward in each task. `[task]`, float32.

        Args:
            objective: Reward to bound.
            parameter: What `parameters` returned.
            weight: The objective's coefficients.
            tasks: Number of tasks.
            command: Visible commands, of which the lowest and the highest numbers are tried.
        """
        each = {name: values.reshape(tasks, -1, values.shape[-1])[:, 0] for name, values in parameter.items()}
        control = self._largest_control.expand(tasks, -1)
        bounds = []
        for end in ({},) if command is None else command.ends():
            asked = {name: control.new_tensor(numbers).expand(tasks, -1) for name, numbers in end.items()}
            bounds.append(worst_reward(objective, {**each, **asked}, weight, control).float())
        return torch.stack(bounds).amin(dim=0)


def _runs(columns: Sequence[int]) -> list[slice]:
    """Groups consecutive columns into slices, which are cheaper to gather."""
    runs: list[slice] = []
    for column in columns:
        if runs and runs[-1].stop == column:
            runs[-1] = slice(runs[-1].start, column + 1)
        else:
            runs.append(slice(column, column + 1))
    return runs
