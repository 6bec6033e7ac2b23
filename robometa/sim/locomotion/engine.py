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
from robometa.sim.locomotion.meaning import spaces_with_meaning
from robometa.sim.locomotion.pool import PHYSICS, Pool
from robometa.sim.locomotion.quantities import Moment
from robometa.sim.locomotion.reader import Reader
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
        self._reader = Reader(self.robot, self.model, self.layout, torch.float64, "cpu")
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
        """Makes the arrays that MuJoCo writes into; torch reads the same memory."""
        count, skip, model = self.tasks * self.worlds, self.robot.frame_skip, self.model
        size = mujoco.mj_stateSize(model, PHYSICS)
        self._before = np.zeros((count, size))
        self._path = np.zeros((count, skip, size))
        self._control = np.zeros((count, skip, model.nu))
        self._readings = np.zeros((count, skip, model.nsensordata))
        self._state = torch.from_numpy(self._before)
        self._sensed_before = torch.zeros(count, model.nsensordata, dtype=torch.float64)
        self._end_of_path = torch.from_numpy(self._path)[:, -1]
        self._last_readings = torch.from_numpy(self._readings)[:, -1]
        self._after, self._sensed = self._state.clone(), self._sensed_before.clone()
        self._controls = torch.from_numpy(self._control)
        self._steps, self._episodes = (torch.zeros(count, dtype=torch.int64) for _ in range(2))
        self._no = torch.zeros(count, dtype=torch.bool)

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
        self._episodes.zero_()
        if self._wires is not None:
            self._wires.clock.zero_()
        self._restart(np.arange(self.tasks * self.worlds))
        return self._by_task(self._observe(self._state, self._sensed_before))

    def step(self, action: Tensor) -> Outcome:
        """Steps every world by one action in -1..1, outside of which it is clipped. `[task, world, action]`."""
        action = action.reshape(-1, self.spaces.action)
        wires = self._wires
        memory = None if wires is None else wires.memory.clone()
        control = self._reader.control(action) if wires is None else wires.act(action)
        self._advance(control)
        control = control if wires is None else control[:, -1]
        diverged = self._reader.diverged(self._state, self._after, action)
        if diverged is not None:
            self._tell(diverged, action, memory)
            control = self._put_back(diverged, control)
        reward, success = self._objective.reward(
            self._reader.quantities(
                Moment(self._state, self._sensed_before),
                Moment(self._after, self._sensed),
                control,
                None if wires is None else wires.quantities(self._after, self._sensed),
            ),
            self._parameter,
            self._weight,
        )
        self._steps += 1
        if self._change() and self._wires is not None:
            self._wires.set_gains(np.arange(self.tasks * self.worlds))
        terminated = self._terminated()
        truncated = self._steps >= self.horizon
        if diverged is not None:
            self.divergences += int(diverged.sum())
            reward = reward.masked_fill(diverged, 0.0)
            success = None if success is None else success & ~diverged
            terminated = terminated | diverged
        truncated &= ~terminated
        measured = None if wires is None else wires.end(self._after, self._sensed)
        next_obs, state = measured or (self._observe(self._after, self._sensed), self._after)
        self._state.copy_(state)
        self._sensed_before.copy_(self._sensed)
        ended = terminated | truncated
        obs = next_obs
        if ended.any():
            self._restart(ended.nonzero()[:, 0].numpy())
            obs = self._observe(self._state, self._sensed_before)
        return Outcome(
            self._by_task(obs),
            self._by_task(next_obs),
            self._by_task(reward.float()),
            self._by_task(terminated),
            self._by_task(truncated),
            self._by_task(self._no if success is None else success),
            self._by_task(self._no if diverged is None else diverged),
        )

    def close(self) -> None:
        """Ends the pool's threads; the engine is of no further use."""
        self._pool.close()

    def _by_task(self, values: Tensor) -> Tensor:
        """Splits the first axis by task. `[task * world, ...]` to `[task, world, ...]`."""
        return values.reshape(self.tasks, self.worlds, *values.shape[1:])

    def _advance(self, control: Tensor) -> None:
        """One control step of every world. `[task * world, actuator]`, or `[task * world, physics step, actuator]`."""
        self._controls.copy_(control if control.dim() == 3 else control.unsqueeze(1))
        self._pool.run(self._models, self._before, self._control, self._path, self._readings)
        self._after.copy_(self._end_of_path)
        self._sensed.copy_(self._last_readings)
        self._place_body()

    def _place_body(self) -> None:
        """Reads the body's place after the step, where it is a reading: those of a step are of its beginning."""
        first = self.layout.body_sensor
        if first is None:
            return
        place = self._reader.place(self._after)
        if place is None:
            place = self._sense(np.arange(len(self._after)), self._after.numpy())[:, first : first + 3]
        self._sensed[:, first : first + 3] = place

    def _tell(self, diverged: Tensor, action: Tensor, memory: Tensor | None) -> None:
        """Calls `on_divergence` with the first world that diverged."""
        if self.on_divergence is None:
            return
        row = int(diverged.int().argmax())
        task, world = divmod(row, self.worlds)
        physics, sensors, chosen = (part[row].clone() for part in (self._state, self._sensed_before, action))
        step = int(self._steps[row])
        kept: dict[str, Any] = {} if memory is None else {"memory": memory[row].clone()}
        kept |= {} if self._changes is None else {"in_force": self.in_force[task]}
        self.on_divergence(Divergence(self.assigned[task], world, step, physics, sensors, chosen, **kept))

    def _put_back(self, diverged: Tensor, control: Tensor) -> Tensor:
        """Puts diverged worlds back into their last state, so that nothing downstream sees a NaN.

        Returns:
            The controls, zero where a world diverged. `[task * world, actuator]`
        """
        self._after[diverged] = self._reader.put_back(self._state[diverged])
        self._sensed[diverged] = self._sensed_before[diverged]
        return control.masked_fill(diverged.unsqueeze(-1), 0.0)

    def _terminated(self) -> Tensor:
        """Marks the worlds whose episode the robot's rule ends. `[task * world]`, bool."""
        ended = self._reader.ended(self._after, self._sensed, glance=True)
        return self._no if ended is None else ended

    def _observe(self, state: Tensor, sensed: Tensor) -> Tensor:
        """Observations. `[task * world, obs]`, float32."""
        return (self._reader if self._wires is None else self._wires).observe(state, sensed)

    def _restart(self, worlds: np.ndarray) -> None:
        """Starts the next episode of these worlds. `[world]`."""
        model, begin, episodes = self.model, self._reader.beginnings, self._episodes.numpy()
        positions, velocities = self._starts.of(worlds, episodes[worlds], oldest=int(episodes.min()))
        self._before[worlds] = self._reader.rest.numpy()
        self._before[worlds, 1 : 1 + model.nq] = begin.positions(positions, [self._models[world] for world in worlds])
        self._before[worlds, 1 + model.nq : 1 + model.nq + model.nv] = begin.velocities(velocities)
        if model.nsensordata:
            self._sensed_before[torch.from_numpy(worlds)] = self._sense(worlds, self._before[worlds])
        if self._wires is not None:
            self._wires.restart(worlds, episodes, self._state, self._sensed_before)
        episodes[worlds] += 1
        self._steps.numpy()[worlds] = 0

    def _begin_from(self, noise: Noise) -> None:
        """Lets episodes begin from this noise from now on."""
        self._starts = Starts(noise, self.model.nq, self.model.nv, normal=self.robot.reset_velocity_normal)
        if self._wires is not None:
            self._wires.begin_from(noise)

    def _sense(self, worlds: np.ndarray, states: np.ndarray) -> Tensor:
        """Reads the sensors of these worlds in some states, with the actuators at rest. `[world, reading]`."""
        return self._pool.sense([self._models[world] for world in worlds], states, self._reader.resting.numpy())

    def state(self) -> SimulatorState:
        """The simulator's full state, from which `restore` goes on exactly."""
        shape = (self.tasks, self.worlds)
        return SimulatorState(
            physics=self._before.reshape(*shape, -1).copy(),
            sensors=self._sensed_before.reshape(*shape, -1).numpy().copy(),
            steps=self._steps.reshape(shape).numpy().copy(),
            episodes=self._episodes.reshape(shape).numpy().copy(),
            obs=self._by_task(self._observe(self._state, self._sensed_before)),
            noise=self._starts.noise,
            memory=None if self._wires is None else self._wires.memory.reshape(*shape, -1).numpy().copy(),
            **self._place_in_trial(),
        )

    def restore(self, state: SimulatorState) -> None:
        """Puts every world into a state that `state` returned."""
        self._before[:] = state.physics.reshape(self._before.shape)
        self._sensed_before.copy_(torch.from_numpy(state.sensors).reshape(self._sensed_before.shape))
        self._steps.copy_(torch.from_numpy(state.steps).flatten())
        self._episodes.copy_(torch.from_numpy(state.episodes).flatten())
        self._begin_from(state.noise)
        self._go_to(state)
        if self._wires is not None and state.memory is not None:
            self._wires.restore(state.memory)
