"""The engine of Meta-World's tasks: one simulation per world, stepped by a few threads, rewarded in batches."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from copy import copy
from typing import Any

import mujoco
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from robometa.data import Spaces
from robometa.errors import UserError
from robometa.noise import Noise
from robometa.parallel import processors
from robometa.sim.manipulation.fallback import Fallback
from robometa.sim.manipulation.group import Group, Model
from robometa.sim.manipulation.quantities import Quantities
from robometa.sim.manipulation.rewards import MANIPULATIONS
from robometa.sim.manipulation.upstream import CURRENT, STATE, state_of, template
from robometa.sim.protocol import Outcome, SimulatorState
from robometa.suites import Suite, Task

Array = NDArray[Any]

SEEN = 2 * CURRENT + 3
"""Numbers of an observation: now, the step before, the goal."""


class ManipulationEngine:
    """Steps `tasks` x `worlds` simulations of Meta-World's arm.

    Physics, observation and success are upstream's to the bit, rewards to 1e-9. Every world keeps a simulation of its
    own, whose solver starts from the step before, as upstream's does; a model is shared by the worlds of a task name
    that the same thread steps, and set to each world's task before it steps. An episode of a task always begins alike,
    so noise changes nothing here.
    """

    device = torch.device("cpu")

    def __init__(self, suite: Suite, tasks: int, worlds: int, threads: int | None = None) -> None:
        """Loads the models of the first tasks and starts the threads.

        Args:
            suite: One of Meta-World's.
            tasks: Tasks of a batch.
            worlds: Worlds of each task.
            threads: Threads that step them; all processors if None.
        Raises: UserError: If Meta-World is not installed, or another MuJoCo than the one its results belong to.
        """
        if tasks < 1 or worlds < 1:
            raise UserError(f"an engine needs at least one task and one world, not {tasks} and {worlds}")
        self.suite, self.tasks, self.worlds, self.horizon = suite, tasks, worlds, suite.horizon
        self.threads = processors() if threads is None else threads
        self.spaces = Spaces(SEEN, 4)
        self.divergences = 0
        if suite.benchmark is None:
            raise UserError(f"suite {suite.name} is not one of Meta-World's tasks")
        self._reward, self._goal_visible = suite.benchmark.reward, suite.benchmark.goal_visible
        self._groups: dict[str, Group] = {}
        self._models: dict[tuple[str, int], Model] = {}
        self._pool = ThreadPoolExecutor(self.threads) if self.threads > 1 else None
        count = tasks * worlds
        self._target = np.zeros((count, 3))
        self.seen = np.zeros((count, SEEN))
        """What the policy sees, in double precision. `[task * world, 39]`"""
        self.paid = np.zeros(count)
        """The last step's rewards, in double precision. `[task * world]`"""
        self._first = np.zeros((count, 3))
        self._steps = np.zeros(count, dtype=np.int64)
        self._episodes = np.zeros(count, dtype=np.int64)
        self._noise = Noise(0, (), tasks, worlds)
        self.assign([suite.train[index % len(suite.train)] for index in range(tasks)])

    def assign(self, tasks: Sequence[Task]) -> None:
        """Gives each task of the batch its goal and model; the worlds must then be reset."""
        if len(tasks) != self.tasks:
            raise UserError(f"this engine steps {self.tasks} tasks at once, not {len(tasks)}")
        self.assigned = tuple(tasks)
        names = np.repeat([task.objective for task in self.assigned], self.worlds)
        held = list(dict.fromkeys(names.tolist()))
        for name in held:
            worlds = np.flatnonzero(names == name)
            group = self._group(name)
            starts = [self._start(name, self.assigned[world // self.worlds]) for world in worlds]
            group.hold(starts, worlds)
        for name in [name for name in self._groups if name not in held]:
            self._groups[name].hold([], np.empty(0, dtype=np.int64))
        if sum(group.simulations for group in self._groups.values()) > 2 * self.tasks * self.worlds:
            for group in self._groups.values():
                group.drop_spares()
        self._held = [self._groups[name] for name in held]
        self._low, self._high = np.zeros_like(self.seen), np.zeros_like(self.seen)
        self._reach = np.zeros((2, *self._target.shape))
        self._scale = np.zeros((len(names), 1), dtype=np.float32)
        for group in self._held:
            self._low[group.worlds], self._high[group.worlds] = group.template.bounds(self._goal_visible)
            self._reach[0, group.worlds], self._reach[1, group.worlds] = group.template.low, group.template.high
            self._scale[group.worlds] = group.template.scale
            if self._goal_visible:
                self.seen[group.worlds, 2 * CURRENT :] = group.constants["goal"]
        self._share_out()

    def _group(self, name: str) -> Group:
        if name not in self._groups:
            fallback = self._reward != "v2" or name not in MANIPULATIONS
            found = template(name, self._reward)
            self._groups[name] = Fallback(found) if fallback else Group(found, MANIPULATIONS[name].contacts)
        return self._groups[name]

    def _start(self, name: str, task: Task) -> Any:
        remembers = MANIPULATIONS[name].remembers if self._reward == "v2" and name in MANIPULATIONS else {}
        return template(name, self._reward).start(dict(task.parameters)["goal"], dict(remembers))

    def _share_out(self) -> None:
        """Cuts the worlds into as many equal pieces as there are threads, each of whole groups where it can."""
        count = self.tasks * self.worlds
        bounds = [round(count * thread / self.threads) for thread in range(self.threads + 1)]
        self._pieces: list[list[tuple[Group, Model, int, int]]] = [[] for _ in range(self.threads)]
        place = 0
        for group in self._held:
            size = len(group.worlds)
            for thread, (low, high) in enumerate(zip(bounds[:-1], bounds[1:], strict=True)):
                first, last = max(low - place, 0), min(high - place, size)
                if first < last:
                    self._pieces[thread].append((group, self._model(group, thread), first, last))
            place += size

    def _model(self, group: Group, thread: int) -> Model:
        key = (group.template.name, thread)
        if key not in self._models:
            self._models[key] = Model(copy(group.template.model))
        return self._models[key]

    def reset(self, noise: Noise) -> Tensor:
        """Starts an episode in every world. `[task, world, obs]`"""
        self._noise = noise
        self._episodes[:] = 0
        self._restart(np.ones(len(self._steps), dtype=bool))
        return self._by_task(torch.from_numpy(self.seen).float())

    def step(self, action: Tensor) -> Outcome:
        """Steps every world by one action in -1..1, outside of which it is clipped. `[task, world, action]`"""
        wanted = action.reshape(-1, 4).float()
        sound = wanted.isfinite().all(dim=1).numpy()
        wanted = wanted.nan_to_num(0.0, 0.0, 0.0).clamp(-1.0, 1.0)
        before = self._times()
        acted = wanted.numpy()
        self._advance(acted)
        reward, success = self._judge(acted)
        elapsed = self._times() - before
        diverged = ~(sound & self._finite() & (np.abs(elapsed - self._control_steps()) < 1e-6))
        self._steps += 1
        terminated, truncated = diverged, (self._steps >= self.horizon) & ~diverged
        if diverged.any():
            self.divergences += int(diverged.sum())
            reward[diverged], success[diverged] = 0.0, False
            self.seen[diverged] = np.nan_to_num(self.seen[diverged], nan=0.0, posinf=0.0, neginf=0.0)
        next_obs = torch.from_numpy(self.seen).float()
        obs, ended = next_obs, terminated | truncated
        if ended.any():
            self._restart(ended)
            obs = torch.from_numpy(self.seen).float()
        self.paid = reward
        flags = (torch.from_numpy(flag.copy()) for flag in (terminated, truncated, success, diverged))
        return Outcome(
            self._by_task(obs),
            self._by_task(next_obs),
            self._by_task(torch.from_numpy(reward).float()),
            *(self._by_task(flag) for flag in flags),
        )

    def close(self) -> None:
        """Ends the threads; the engine is of no further use."""
        if self._pool is not None:
            self._pool.shutdown()

    def _by_task(self, values: Tensor) -> Tensor:
        """The same numbers with an axis for the tasks. `[task * world, ...]` to `[task, world, ...]`"""
        return values.reshape(self.tasks, self.worlds, *values.shape[1:])

    def _advance(self, action: Array) -> None:
        """One control step of every world. `[task * world, action]`, float32"""
        self._target = np.clip(self._target + action[:, :3] * self._scale, *self._reach)
        control = np.stack((action[:, 3], -action[:, 3]), axis=1)
        inputs = {group.template.name: (self._target[group.worlds], control[group.worlds]) for group in self._held}

        def run(piece: list[tuple[Group, Model, int, int]]) -> None:
            for group, model, first, last in piece:
                group.advance(model, first, last, *inputs[group.template.name])

        if self._pool is None:
            run(self._pieces[0])
        else:
            list(self._pool.map(run, self._pieces))

    def _judge(self, action: Array) -> tuple[Array, Array]:
        """Sees what the step led to, and returns its reward and success. `[task * world]`, `[task * world]`"""
        exact = action.astype(np.float64)
        reward, success = np.zeros(len(self._steps)), np.zeros(len(self._steps), dtype=bool)
        for group in self._held:
            worlds, current = group.worlds, group.observe()
            seen = np.concatenate((current, group.current, self._goal(group)), axis=1)
            group.current = current
            self.seen[worlds] = np.clip(seen, self._low[worlds], self._high[worlds])
        fresh = self._steps == 0
        self._first[fresh] = self.seen[fresh, 4:7]
        for group in self._held:
            worlds = group.worlds
            if isinstance(group, Fallback):
                reward[worlds], success[worlds] = group.judge(self.seen[worlds], action[worlds])
                continue
            quantity = Quantities(group, self.seen[worlds], exact[worlds], self._first[worlds])
            reward[worlds], success[worlds] = MANIPULATIONS[group.template.name].reward(quantity)
        return reward, success

    def _goal(self, group: Group) -> Array:
        goal = group.constants["goal"]
        return goal if self._goal_visible else np.zeros_like(goal)

    def _times(self) -> Array:
        times = np.empty(len(self._steps))
        for group in self._held:
            times[group.worlds] = group.time
        return times

    def _control_steps(self) -> Array:
        steps = np.empty(len(self._steps))
        for group in self._held:
            steps[group.worlds] = group.template.frame_skip * group.model.opt.timestep
        return steps

    def _finite(self) -> Array:
        """Which worlds have no place that is not a number. `[task * world]`, bool"""
        return np.asarray(np.isfinite(self.seen).all(axis=1))

    def _restart(self, which: Array) -> None:
        """Starts the next episode of these worlds. `[task * world]`, bool"""
        for group in self._held:
            for index in np.flatnonzero(which[group.worlds]):
                group.begin(int(index))
                world, start = group.worlds[index], group.starts[index]
                self._target[world] = start.target
                self.seen[world, :CURRENT] = self.seen[world, CURRENT : 2 * CURRENT] = group.current[index]
                self.seen[world, 2 * CURRENT :] = self._goal(group)[index]
        self._steps[which] = 0
        self._episodes[which] += 1

    def state(self) -> SimulatorState:
        """The simulator's full state, from which `restore` goes on exactly. Shorter states are padded with zeros."""
        longest = max(mujoco.mj_stateSize(group.model, STATE) for group in self._held)
        physics, current = np.zeros((len(self._steps), longest)), np.zeros((len(self._steps), CURRENT))
        for group in self._held:
            current[group.worlds] = group.current
            for index, world in enumerate(group.worlds):
                state = state_of(group.model, group.datas[index])
                physics[world, : len(state)] = state
        shape = (self.tasks, self.worlds)
        return SimulatorState(
            physics=physics.reshape(*shape, -1),
            sensors=np.concatenate((current, self.seen, self._first), axis=1).reshape(*shape, -1),
            steps=self._steps.reshape(shape).copy(),
            episodes=self._episodes.reshape(shape).copy(),
            obs=self._by_task(torch.from_numpy(self.seen).float()),
            noise=self._noise,
        )

    def restore(self, state: SimulatorState) -> None:
        """Puts every world into a state that `state` returned."""
        count = len(self._steps)
        physics, sensors = state.physics.reshape(count, -1), state.sensors.reshape(count, -1)
        for group in self._held:
            group.current = sensors[group.worlds, :CURRENT].copy()
            for index, world in enumerate(group.worlds):
                size = mujoco.mj_stateSize(group.model, STATE)
                mujoco.mj_setState(group.model, group.datas[index], physics[world, :size], STATE)
                group.time[index] = group.datas[index].time
                self._target[world] = group.datas[index].mocap_pos[0]
        self.seen[:], self._first[:] = sensors[:, CURRENT : CURRENT + SEEN], sensors[:, CURRENT + SEEN :]
        self._steps[:], self._episodes[:] = state.steps.flatten(), state.episodes.flatten()
        self._noise = state.noise
