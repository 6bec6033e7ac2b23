"""The CPU engine: steps all tasks and worlds at once with `mujoco.rollout` on a persistent pool of threads."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol

import mujoco
import numpy as np
import torch
from mujoco import rollout
from torch import Tensor

from robometa.data import Spaces
from robometa.errors import UserError
from robometa.noise import Noise
from robometa.sim import models
from robometa.sim.objectives import OBJECTIVES
from robometa.suites import Suite, Task

BEGINNING = 1.0
"""Simulated time at which an episode begins, s. MuJoCo resets a world that blows up to time 0: a clock that never
starts there always shows it."""
MAXIMUM = 1e10
"""Beyond this MuJoCo calls a state bad."""
PHYSICS = mujoco.mjtState.mjSTATE_FULLPHYSICS
CONTROL = int(mujoco.mjtState.mjSTATE_CTRL)


class Outcome(NamedTuple):
    """What a step of all worlds led to."""

    obs: Tensor
    """What to act on next: after a reset where an episode ended. `[task, world, obs]`"""
    next_obs: Tensor
    """What the action led to, before any reset. `[task, world, obs]`"""
    reward: Tensor
    """`[task, world]`, float32"""
    terminated: Tensor
    """`[task, world]`, bool"""
    truncated: Tensor
    """`[task, world]`, bool"""
    success: Tensor
    """`[task, world]`, bool"""
    diverged: Tensor
    """`[task, world]`, bool"""


class Engine(Protocol):
    """Steps all tasks and worlds at once."""

    spaces: Spaces
    horizon: int
    tasks: int
    worlds: int

    def assign(self, tasks: Sequence[Task]) -> None:
        """Gives each task of the batch its parameters and model."""

    def reset(self, noise: Noise) -> Tensor:
        """Starts an episode in every world; later resets draw from `noise` too. `[task, world, obs]`"""

    def step(self, action: Tensor) -> Outcome:
        """Steps every world by one action in -1..1. `[task, world, action]`"""

    def state(self) -> SimulatorState:
        """The simulator's full state, from which `restore` goes on exactly."""

    def restore(self, state: SimulatorState) -> None:
        """Puts every world into a state that `state` returned."""


@dataclass(frozen=True)
class SimulatorState:
    """The full state of every world."""

    physics: np.ndarray
    """MuJoCo's full physics state: time, positions, velocities, activations. `[task, world, state]`"""
    sensors: np.ndarray
    """Sensor readings. `[task, world, sensor]`"""
    steps: np.ndarray
    """Control steps since each world's episode began. `[task, world]`"""
    episodes: np.ndarray
    """Episodes that each world has begun since `reset`. `[task, world]`"""
    obs: Tensor
    """`[task, world, obs]`"""
    noise: Noise


def processors() -> int:
    """How many processors this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


class CpuEngine:
    """Steps `tasks` x `worlds` simulations of a suite's robot on a pool of threads.

    Every control step is a pure function of the state: no warmstart is carried over, so results do not depend on the
    number of threads, and a restored state goes on exactly.
    """

    def __init__(self, suite: Suite, tasks: int, worlds: int, threads: int | None = None) -> None:
        """Compiles the robot and starts the pool.

        Args:
            suite: Whose robot and objective.
            tasks: Tasks of a batch.
            worlds: Worlds of each task.
            threads: Threads that step them; all processors if None.
        Raises: UserError: If the robot's model cannot be loaded.
        """
        if tasks < 1 or worlds < 1:
            raise UserError(f"an engine needs at least one task and one world, not {tasks} and {worlds}")
        self.suite, self.tasks, self.worlds, self.horizon = suite, tasks, worlds, suite.horizon
        self.threads = processors() if threads is None else threads
        self.robot = suite.robot
        self.model, self.layout = models.compiled(self.robot)
        self.control_step = self.robot.frame_skip * self.model.opt.timestep
        self.divergences = 0
        _quieten()
        self._models_of: dict[Task, mujoco.MjModel] = {}
        self._datas = [mujoco.MjData(self.model) for _ in range(self.threads)]
        self._pool = rollout.Rollout(nthread=self.threads if self.threads > 1 else 0)
        self._objective = OBJECTIVES[suite.objective]
        self._weight = dict(suite.train[0].coefficients)
        self._allocate()
        self.assign([suite.train[index % len(suite.train)] for index in range(tasks)])

    def _allocate(self) -> None:
        count, skip, model, layout = self.tasks * self.worlds, self.robot.frame_skip, self.model, self.layout
        size = mujoco.mj_stateSize(model, PHYSICS)
        # MuJoCo writes into these arrays, and torch reads the same memory.
        self._before = np.zeros((count, size))
        self._path = np.zeros((count, skip, size))
        self._control = np.zeros((count, skip, model.nu))
        self._readings = np.zeros((count, skip, model.nsensordata))
        self._state = torch.from_numpy(self._before)
        self._after = torch.from_numpy(self._path)[:, -1]
        self._sensed = torch.from_numpy(self._readings)[:, -1]
        self._sensed_before = self._sensed.clone()
        self._controls = torch.from_numpy(self._control)
        limited = model.actuator_ctrllimited.astype(bool)
        low = np.where(limited, model.actuator_ctrlrange[:, 0], -1.0)
        high = np.where(limited, model.actuator_ctrlrange[:, 1], 1.0)
        self._control_middle = torch.from_numpy((high + low) / 2)
        self._control_half = torch.from_numpy((high - low) / 2)
        self._steps = torch.zeros(count, dtype=torch.int64)
        self._episodes = torch.zeros(count, dtype=torch.int64)
        observe = self.robot.observe
        columns = [
            *(layout.joints if "joint_positions" in observe else ()),
            *(layout.velocities if "velocities" in observe else ()),
            *(layout.position if "position" in observe else ()),
        ]
        self._observed = torch.tensor(columns, dtype=torch.int64)
        self._clipped = torch.tensor([column in layout.velocities for column in columns])
        self._seen_sensors = torch.tensor(layout.sensors if "sensors" in observe else (), dtype=torch.int64)
        self._seen_body = 2 if "position" in observe and layout.body_sensor is not None else 0
        self.spaces = Spaces(len(columns) + len(self._seen_sensors) + self._seen_body, model.nu)
        self._limited = torch.tensor(layout.limited, dtype=torch.int64)
        self._no = torch.zeros(count, dtype=torch.bool)

    def assign(self, tasks: Sequence[Task]) -> None:
        """Gives each task of the batch its parameters and model; the worlds must then be reset."""
        if len(tasks) != self.tasks:
            raise UserError(f"this engine steps {self.tasks} tasks at once, not {len(tasks)}")
        self.assigned = tuple(tasks)
        for task in self.assigned:
            if task not in self._models_of:
                self._models_of[task] = models.varied(task)
        self._models = [self._models_of[task] for task in self.assigned for _ in range(self.worlds)]
        self._parameter = {}
        for name in self._objective.parameters:
            values = torch.tensor([dict(task.parameters)[name] for task in self.assigned], dtype=torch.float64)
            self._parameter[name] = values.repeat_interleave(self.worlds, dim=0)  # [task * world, number]

    def reset(self, noise: Noise) -> Tensor:
        """Starts an episode in every world; later resets draw from `noise` too. `[task, world, obs]`"""
        self._noise = noise
        self._episodes[:] = 1
        self._steps[:] = 0
        # One draw for all worlds: positions and velocities uniform, the latter made normal where the robot says so.
        model = self.model
        draws = noise.fork("positions").uniform(model.nq)
        source = noise.fork("velocities")
        speeds = (
            source.normal(model.nv).double() if self.robot.reset_velocity_normal else 2 * source.uniform(model.nv) - 1
        )
        count = self.tasks * self.worlds
        self._place(slice(None), draws.reshape(count, -1).numpy(), speeds.reshape(count, -1).numpy())
        return self._observe(self._state, self._sensed_before).unflatten(0, (self.tasks, self.worlds))

    def _place(self, worlds: slice | np.ndarray, draws: np.ndarray, speeds: np.ndarray) -> None:
        """Puts worlds at the start of an episode, given uniform numbers in 0..1 and velocity noise. `[world, ...]`"""
        model, robot = self.model, self.robot
        positions = model.qpos0 + robot.reset_noise * (2 * draws - 1)
        velocities = robot.reset_velocity_noise * speeds
        rest = np.zeros((len(positions), self._before.shape[1] - 1 - model.nq - model.nv))
        start = np.full((len(positions), 1), BEGINNING)
        self._before[worlds] = np.concatenate((start, positions, velocities, rest), axis=1)
        if model.nsensordata:
            data = self._datas[0]
            for world in np.arange(len(self._before))[worlds]:
                mujoco.mj_setState(model, data, self._before[world], PHYSICS)
                data.ctrl[:] = 0
                mujoco.mj_forward(self._models[world], data)
                self._sensed_before[world] = torch.from_numpy(data.sensordata.copy())

    def step(self, action: Tensor) -> Outcome:
        """Steps every world by one action in -1..1, outside of which it is clipped. `[task, world, action]`"""
        action = action.reshape(-1, self.spaces.action)
        control = self._control_middle + self._control_half * action.clamp(-1.0, 1.0)
        self._controls.copy_(control.unsqueeze(1).expand_as(self._controls))
        self._pool.rollout(
            self._models,
            self._datas,
            self._before,
            self._control,
            control_spec=CONTROL,
            skip_checks=True,
            nstep=self.robot.frame_skip,
            state=self._path,
            sensordata=self._readings,
        )
        self._steps += 1
        diverged = self._diverged(action)
        if diverged is not None:
            # What blew up is put back where it was, so that nothing downstream sees a number that is not one.
            self._after[diverged] = self._state[diverged]
            self._sensed[diverged] = self._sensed_before[diverged]
            control = torch.where(diverged.unsqueeze(-1), torch.zeros_like(control), control)
        reward, success = self._objective.reward(_Quantities(self, control), self._parameter, self._weight)
        terminated = self._terminated()
        truncated = self._steps >= self.horizon
        if diverged is not None:
            self.divergences += int(diverged.sum())
            reward = torch.where(diverged, torch.zeros_like(reward), reward)
            success = None if success is None else success & ~diverged
            terminated = terminated | diverged
        truncated &= ~terminated
        next_obs = self._observe(self._after, self._sensed)
        self._state.copy_(self._after)
        self._sensed_before.copy_(self._sensed)
        ended = terminated | truncated
        obs = next_obs
        if ended.any():
            self._restart(ended)
            obs = self._observe(self._state, self._sensed_before)
        shape = (self.tasks, self.worlds)
        return Outcome(
            obs.unflatten(0, shape),
            next_obs.unflatten(0, shape),
            reward.float().unflatten(0, shape),
            terminated.unflatten(0, shape),
            truncated.unflatten(0, shape),
            (self._no if success is None else success).unflatten(0, shape),
            (self._no if diverged is None else diverged).unflatten(0, shape),
        )

    def _diverged(self, action: Tensor) -> Tensor | None:
        """Which worlds blew up in this step, or None. `[task * world]`, bool"""
        fine = (self._after.abs() < MAXIMUM).all() & (action.abs() < MAXIMUM).all()  # NaN compares false
        expected = self._state[:, 0] + self.control_step
        late = (self._after[:, 0] - expected).abs() > 0.5 * self.model.opt.timestep
        if fine and not late.any():
            return None
        bad_state = ~(self._after.abs() < MAXIMUM).all(dim=-1)
        return late | bad_state | ~(action.abs() < MAXIMUM).all(dim=-1)

    def _terminated(self) -> Tensor:
        robot, layout, after = self.robot, self.layout, self._after
        ended = self._no
        if robot.height is not None and layout.height is not None:
            height = after[:, layout.height] + layout.height_offset
            ended = ended | (height < robot.height[0]) | (height > robot.height[1])
        if robot.pitch is not None and layout.pitch is not None:
            ended = ended | (after[:, layout.pitch].abs() > robot.pitch)
        if robot.state_limit is not None:
            ended = ended | (after[:, self._limited].abs() > robot.state_limit).any(dim=-1)
        return ended

    def _observe(self, state: Tensor, sensed: Tensor) -> Tensor:
        """What the policy sees. `[task * world, obs]`, float32"""
        obs = state[:, self._observed]
        if self.robot.velocity_clip is not None:
            clip = self.robot.velocity_clip
            obs = torch.where(self._clipped, obs.clamp(-clip, clip), obs)
        if self._seen_body and self.layout.body_sensor is not None:
            obs = torch.cat((obs, sensed[:, self.layout.body_sensor : self.layout.body_sensor + 2]), dim=1)
        if len(self._seen_sensors):
            obs = torch.cat((obs, sensed[:, self._seen_sensors]), dim=1)
        return obs.float()

    def _restart(self, ended: Tensor) -> None:
        """Starts the next episode of the worlds whose last one ended."""
        worlds = ended.nonzero()[:, 0].numpy()
        model = self.model
        draws, speeds = np.empty((len(worlds), model.nq)), np.empty((len(worlds), model.nv))
        for row, index in enumerate(worlds):
            source = self._noise.generator(index // self.worlds, index % self.worlds, int(self._episodes[index]))
            draws[row] = source.random(model.nq)
            normal = self.robot.reset_velocity_normal
            speeds[row] = source.standard_normal(model.nv) if normal else source.uniform(-1.0, 1.0, model.nv)
        self._place(worlds, draws, speeds)
        self._episodes += ended
        self._steps[ended] = 0

    def state(self) -> SimulatorState:
        """The simulator's full state, from which `restore` goes on exactly."""
        shape = (self.tasks, self.worlds)
        return SimulatorState(
            physics=self._before.reshape(*shape, -1).copy(),
            sensors=self._sensed_before.reshape(*shape, -1).numpy().copy(),
            steps=self._steps.reshape(shape).numpy().copy(),
            episodes=self._episodes.reshape(shape).numpy().copy(),
            obs=self._observe(self._state, self._sensed_before).unflatten(0, shape),
            noise=self._noise,
        )

    def restore(self, state: SimulatorState) -> None:
        """Puts every world into a state that `state` returned."""
        self._before[:] = state.physics.reshape(self._before.shape)
        self._sensed_before.copy_(torch.from_numpy(state.sensors).reshape(self._sensed_before.shape))
        self._steps.copy_(torch.from_numpy(state.steps).flatten())
        self._episodes.copy_(torch.from_numpy(state.episodes).flatten())
        self._noise = state.noise


class _Quantities(dict[str, Tensor]):
    """The named quantities of a step, each computed when an objective asks for it."""

    def __init__(self, engine: CpuEngine, control: Tensor) -> None:
        super().__init__(control=control)
        self.engine = engine
        for name, columns in engine.layout.quantities:
            readings = engine._sensed[:, list(columns)]
            self[name] = readings[:, 0] if name in ("forward_velocity", "height") else readings[:, :2]

    def __missing__(self, name: str) -> Tensor:
        engine = self.engine
        if name == "forward_velocity":
            if "velocity" in self:
                value = self["velocity"][:, 0]
            else:
                before, after = (self._place(*pair, columns=1) for pair in self._moments())
                value = ((after - before) / engine.control_step)[:, 0]
        elif name == "velocity":
            before, after = (self._place(*pair, columns=2) for pair in self._moments())
            value = (after - before) / engine.control_step
        elif name == "position":
            value = self._place(engine._after, engine._sensed, columns=2)
        elif name == "height" and engine.layout.height is not None:
            value = engine._after[:, engine.layout.height] + engine.layout.height_offset
        else:
            raise UserError(f"robot {engine.robot.name} has no quantity {name!r}")
        self[name] = value
        return value

    def _moments(self) -> tuple[tuple[Tensor, Tensor], tuple[Tensor, Tensor]]:
        engine = self.engine
        return (engine._state, engine._sensed_before), (engine._after, engine._sensed)

    def _place(self, state: Tensor, sensed: Tensor, columns: int) -> Tensor:
        """The body's place in the plane, its y zero where it cannot move there. `[task * world, columns]`"""
        layout = self.engine.layout
        if layout.body_sensor is not None:
            return sensed[:, layout.body_sensor : layout.body_sensor + columns]
        place = state[:, layout.position[0] : layout.position[0] + 1]
        if columns == 2:
            second = state[:, layout.position[1]] if len(layout.position) > 1 else torch.zeros_like(place[:, 0])
            place = torch.stack((place[:, 0], second), dim=1)
        return place


def _quieten() -> None:
    """Keeps MuJoCo from writing warnings of diverged worlds into a file: the engine counts and reports them."""
    mujoco.set_mju_user_warning(lambda message: None)
