"""The CPU engine: steps all tasks and worlds at once with `mujoco.rollout` on a persistent pool of threads."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import mujoco
import numpy as np
import torch
from torch import Tensor

from robometa.compute.parallel import processors
from robometa.errors import UserError
from robometa.noise import Noise
from robometa.sim.changing import Changing
from robometa.sim.engine import Divergence, Outcome, SimulatorState, TrialPlace
from robometa.sim.locomotion import models
from robometa.sim.locomotion.host_reader import Array, HostReader
from robometa.sim.locomotion.meaning import spaces_with_meaning
from robometa.sim.locomotion.pool import PHYSICS, Pool
from robometa.sim.locomotion.quantities import Moment
from robometa.sim.locomotion.resets import Starts
from robometa.sim.locomotion.wires import CpuWires
from robometa.sim.locomotion.wiring import needed
from robometa.sim.quiet import quieten
from robometa.suites.objective_file import objective_of
from robometa.suites.suite import Suite
from robometa.suites.task import Task

MAX_WORLDS = 1_000_000
"""Limit on the worlds of an engine, because a run's description may exceed the machine's memory."""


class CpuEngine(Changing):
    """Steps `tasks` x `worlds` simulations of a suite's robot on a pool of threads.

    Every control step is a pure function of the state: no warmstart is carried over, so results do not depend on the
    number of threads, and a restored state goes on exactly. Sensors are read as MuJoCo computes them, from the state
    at the start of the last physics step.
    """

    device = torch.device("cpu")
    """Device of its tensors."""

    def __init__(self, suite: Suite, tasks: int, worlds: int, threads: int | None = None) -> None:
        """Compiles the robot and starts the pool.

        Args:
            suite: Whose robot and objective.
            tasks: Tasks of a batch.
            worlds: Worlds of each task.
            threads: Threads that step them; all processors if None.

        Raises:
            UserError: If the robot's model cannot be loaded.
        """
        if tasks < 1 or worlds < 1:
            raise UserError(f"an engine needs at least one task and one world, not {tasks} and {worlds}")
        if tasks * worlds > MAX_WORLDS:
            raise UserError(f"{tasks} tasks with {worlds} worlds each are more than {MAX_WORLDS:,} worlds at once")
        self.suite, self.tasks, self.worlds, self.horizon = suite, tasks, worlds, suite.horizon
        self.threads = processors() if threads is None else threads
        self.robot = suite.robot
        self.model, self.layout = models.compiled(self.robot)
        self._reader = HostReader(self.robot, self.model, self.layout)
        self._wires = CpuWires(suite, self.model, self._reader, tasks * worlds) if needed(suite) else None
        self._objective, self._weight = objective_of(suite.train[0]), dict(suite.train[0].coefficients)
        self.control_step = self._reader.control_step
        self.spaces = spaces_with_meaning(self._reader, suite.train[0], self._wires)
        self.divergences = 0
        self.on_divergence: Callable[[Divergence], None] | None = None
        """Called with the first world that diverges in a step."""
        quieten()
        self._pool = Pool(self.model, self.threads)
        self._allocate()
        self.assign([suite.train[index % len(suite.train)] for index in range(tasks)])

    def _allocate(self) -> None:
        """Makes the arrays of a step, each with a tensor on the same memory."""
        count, skip, model = self.tasks * self.worlds, self.robot.frame_skip, self.model
        size = mujoco.mj_stateSize(model, PHYSICS)
        self._path = np.zeros((count, skip, size))
        self._control = np.zeros((count, skip, model.nu))
        self._readings = np.zeros((count, skip, model.nsensordata))
        # State, readings and last controls before and after a step.
        self._before, self._later = np.zeros((2, count, size))
        self._felt, self._felt_later = np.zeros((2, count, model.nsensordata))
        self._last_control = np.zeros((count, model.nu))
        self._state, self._after = torch.from_numpy(self._before), torch.from_numpy(self._later)
        self._sensed_before, self._sensed = torch.from_numpy(self._felt), torch.from_numpy(self._felt_later)
        self._quantities = self._reader.quantities(
            Moment(self._state, self._sensed_before),
            Moment(self._after, self._sensed),
            torch.from_numpy(self._last_control),
        )
        self._steps, self._episodes = np.zeros((2, count), dtype=np.int64)
        self._no = torch.zeros(self.tasks, self.worlds, dtype=torch.bool)

    def assign(self, tasks: Sequence[Task]) -> None:
        """Gives each task of the batch its parameters and model; the worlds must then be reset."""
        self._take(tasks)
        self._put_in_force(self.assigned)

    def _put_in_force(self, tasks: tuple[Task, ...]) -> None:
        """Gives every world the parameters and the model of its task as it is now."""
        self.in_force = tasks
        self._models = [model for task in tasks for model in [models.varied(task)] * self.worlds]
        parameter = self._reader.parameters(self._objective, tasks, self.worlds)
        self.worst_reward = self._reader.worst_reward(
            self._objective, parameter, self._weight, self.tasks, self.suite.command
        )
        self._parameter: Mapping[str, Tensor] = parameter
        if self._wires is not None:
            self._models = self._wires.use(self._models, self.worlds)
            self._parameter = {**parameter, **self._wires.commands}

    def reset(self, noise: Noise, place: TrialPlace | None = None) -> Tensor:
        """Starts an episode in every world; later resets draw from `noise` too. `[task, world, obs]`.

        Args:
            noise: Source of the beginnings of episodes.
            place: Place of the rollout that begins in its trial; None for a trial of its own.
        """
        self._begin_rollout(noise, place)
        self._begin_from(noise)
        self._episodes[:] = 0
        if self._wires is not None:
            self._wires.clock.zero_()
        self._restart(np.arange(self.tasks * self.worlds))
        return self._observe()

    def step(self, action: Tensor) -> Outcome:
        """Steps every world by one action in -1..1, outside of which it is clipped. `[task, world, action]`."""
        action = action.reshape(-1, self.spaces.action)
        taken, wires = action.numpy(), self._wires
        memory = None if wires is None else wires.memory.clone()
        self._advance(taken)
        diverged = self._reader.diverged(self._before, self._later, taken)
        if diverged is not None:
            self._tell(diverged, action, memory)
            self._put_back(diverged)
        others = {} if wires is None else wires.quantities(self._after, self._sensed)
        reward, success = self._objective.reward(self._quantities.anew(others), self._parameter, self._weight)
        self._steps += 1
        if self._change() and wires is not None:
            wires.set_gains(np.arange(self.tasks * self.worlds))
        terminated, truncated = self._terminated(), self._steps >= self.horizon
        if diverged is not None:
            self.divergences += int(diverged.sum())
            broken = torch.from_numpy(diverged)
            reward = reward.masked_fill(broken, 0.0)
            success = None if success is None else success & ~broken
            terminated = diverged if terminated is None else terminated | diverged
        ended = truncated
        if terminated is not None:
            truncated = truncated & ~terminated
            ended = terminated | truncated
        next_obs = self._end_step()
        obs = next_obs
        if ended.any():
            self._restart(ended.nonzero()[0])
            obs = self._observe()
        return Outcome(
            obs,
            next_obs,
            reward.float().reshape(self._no.shape),
            self._by_task(terminated),
            self._by_task(truncated),
            self._no if success is None else success.reshape(self._no.shape),
            self._by_task(diverged),
        )

    def close(self) -> None:
        """Ends the pool's threads; the engine is of no further use."""
        self._pool.close()

    def _by_task(self, marks: Array | None) -> Tensor:
        """Splits marks by task; no marks are all False. `[task * world]` to `[task, world]`."""
        return self._no if marks is None else torch.from_numpy(marks.reshape(self.tasks, self.worlds))

    def _advance(self, action: Array) -> None:
        """One control step of every world under these actions. `[task * world, action]`."""
        if self._wires is None:
            self._reader.write_control(action, self._last_control)
            self._control[:] = self._last_control[:, np.newaxis]
        else:
            self._control[:] = self._wires.act(torch.from_numpy(action)).numpy()
            self._last_control[:] = self._control[:, -1]
        self._pool.run(self._models, self._before, self._control, self._path, self._readings)
        self._later[:] = self._path[:, -1]
        self._felt_later[:] = self._readings[:, -1]
        self._place_body()

    def _end_step(self) -> Tensor:
        """Makes the state after the step the one to go on from, and returns its observation. `[task, world, obs]`."""
        if self._wires is None:
            next_obs = torch.from_numpy(self._reader.observed(self._later, self._felt_later))
            self._before[:] = self._later
        else:
            next_obs, state = self._wires.end(self._after, self._sensed)
            self._state.copy_(state)
        self._felt[:] = self._felt_later
        return next_obs.reshape(self.tasks, self.worlds, -1)

    def _place_body(self) -> None:
        """Reads the body's place after the step, where it is a reading: those of a step are of its beginning."""
        first = self.layout.body_sensor
        if first is None:
            return
        place = self._reader.place(self._after)
        if place is None:
            place = torch.from_numpy(self._sense(np.arange(len(self._later)), self._later)[:, first : first + 3])
        self._sensed[:, first : first + 3] = place

    def _tell(self, diverged: Array, action: Tensor, memory: Tensor | None) -> None:
        """Calls `on_divergence` with the first world that diverged."""
        if self.on_divergence is None:
            return
        row = int(diverged.argmax())
        task, world = divmod(row, self.worlds)
        physics, sensors, chosen = (part[row].clone() for part in (self._state, self._sensed_before, action))
        step = int(self._steps[row])
        kept: dict[str, Any] = {} if memory is None else {"memory": memory[row].clone()}
        kept |= {} if self._changes is None else {"in_force": self.in_force[task]}
        self.on_divergence(Divergence(self.assigned[task], world, step, physics, sensors, chosen, **kept))

    def _put_back(self, diverged: Array) -> None:
        """Puts diverged worlds back into their last state, without control: nothing downstream sees a NaN."""
        self._later[diverged] = self._reader.put_back(torch.from_numpy(self._before[diverged])).numpy()
        self._felt_later[diverged] = self._felt[diverged]
        self._last_control[diverged] = 0.0

    def _terminated(self) -> Array | None:
        """Marks the worlds whose episode the robot's rule ends; None if it has no rule. `[task * world]`, bool."""
        return self._reader.ends(self._later, self._felt_later)

    def _observe(self) -> Tensor:
        """Observations of the worlds as they are. `[task, world, obs]`, float32."""
        obs = (self._reader if self._wires is None else self._wires).observe(self._state, self._sensed_before)
        return obs.reshape(self.tasks, self.worlds, -1)

    def _restart(self, worlds: np.ndarray) -> None:
        """Starts the next episode of these worlds. `[world]`."""
        model, begin, episodes = self.model, self._reader.beginnings, self._episodes
        positions, velocities = self._starts.of(worlds, episodes[worlds], oldest=int(episodes.min()))
        self._before[worlds] = self._reader.rest.numpy()
        self._before[worlds, 1 : 1 + model.nq] = begin.positions(positions, [self._models[world] for world in worlds])
        self._before[worlds, 1 + model.nq : 1 + model.nq + model.nv] = begin.velocities(velocities)
        if model.nsensordata:
            self._felt[worlds] = self._sense(worlds, self._before[worlds])
        if self._wires is not None:
            self._wires.restart(worlds, episodes, self._state, self._sensed_before)
        episodes[worlds] += 1
        self._steps[worlds] = 0

    def _begin_from(self, noise: Noise) -> None:
        """Lets episodes begin from this noise from now on."""
        self._starts = Starts(noise, self.model.nq, self.model.nv, normal=self.robot.reset_velocity_normal)
        if self._wires is not None:
            self._wires.begin_from(noise)

    def _sense(self, worlds: Array, states: Array) -> Array:
        """Reads the sensors of these worlds in some states, with the actuators at rest. `[world, reading]`."""
        return self._pool.sense([self._models[world] for world in worlds], states, self._reader.resting.numpy())

    def state(self) -> SimulatorState:
        """The simulator's full state, from which `restore` goes on exactly."""
        shape = (self.tasks, self.worlds)
        return SimulatorState(
            physics=self._before.reshape(*shape, -1).copy(),
            sensors=self._felt.reshape(*shape, -1).copy(),
            steps=self._steps.reshape(shape).copy(),
            episodes=self._episodes.reshape(shape).copy(),
            obs=self._observe(),
            noise=self._starts.noise,
            memory=None if self._wires is None else self._wires.memory.reshape(*shape, -1).numpy().copy(),
            **self._place_in_trial(),
        )

    def restore(self, state: SimulatorState) -> None:
        """Puts every world into a state that `state` returned."""
        self._before[:] = state.physics.reshape(self._before.shape)
        self._felt[:] = state.sensors.reshape(self._felt.shape)
        self._steps[:], self._episodes[:] = state.steps.flatten(), state.episodes.flatten()
        self._begin_from(state.noise)
        self._go_to(state)
        if self._wires is not None and state.memory is not None:
            self._wires.restore(state.memory)
