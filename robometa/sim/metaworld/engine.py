"""The engine of Meta-World's tasks: one simulation per world, stepped by a few threads, rewarded in batches."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import mujoco
import numpy as np
import torch
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation
from torch import Tensor

from robometa.compute.parallel import processors
from robometa.data import Spaces
from robometa.errors import UserError
from robometa.noise import Noise
from robometa.sim.engine import Divergence, Outcome, SimulatorState, TrialPlace
from robometa.sim.metaworld.group import Group
from robometa.sim.metaworld.groups import Groups
from robometa.sim.metaworld.quantities import Quantities
from robometa.sim.metaworld.rewards import MANIPULATIONS
from robometa.sim.metaworld.upstream import CURRENT, STATE, check, state_of
from robometa.sim.metaworld.upstream_rewards import Fallback
from robometa.sim.quiet import quieten
from robometa.suites.metaworld import MetaWorld
from robometa.suites.suite import Suite
from robometa.suites.task import Task

Array = NDArray[Any]

SEEN = 2 * CURRENT + 3
"""Numbers of an observation: now, the step before, the goal."""
WORST_REWARD = -10.0
"""Lower bound on rewards: version 2's are 0 to 10, version 1's are above minus the arm's reach."""


class ManipulationEngine:
    """Steps `tasks` x `worlds` simulations of Meta-World's arm.

    Physics, observation and success are upstream's to the bit, rewards to 1e-9. Every world keeps a simulation of its
    own, whose solver starts from the step before, as upstream's does; a model is shared by the worlds of a task name in
    the same chunk, and set to each world's task before it steps. An episode of a task always begins alike,
    so noise changes nothing here.
    """

    device = torch.device("cpu")

    def __init__(self, suite: Suite, tasks: int, worlds: int, threads: int | None = None) -> None:
        """Starts the threads; the first tasks are the suite's, until others are assigned.

        Args:
            suite: One of Meta-World's.
            tasks: Tasks of a batch.
            worlds: Worlds of each task.
            threads: Threads that step them; all processors if None.

        Raises:
            UserError: If Meta-World is not installed, or another MuJoCo than the one its results belong to.
        """
        if tasks < 1 or worlds < 1:
            raise UserError(f"an engine needs at least one task and one world, not {tasks} and {worlds}")
        self.suite, self.tasks, self.worlds, self.horizon = suite, tasks, worlds, suite.horizon
        self.threads = processors() if threads is None else threads
        self.spaces = Spaces(SEEN, 4)
        self.worst_reward = torch.full((tasks,), WORST_REWARD)
        self.divergences = 0
        self.on_divergence: Callable[[Divergence], None] | None = None
        """Called with the first world that diverges in a step."""
        family = suite.family
        if not isinstance(family, MetaWorld):
            raise UserError(f"suite {suite.name} is not one of Meta-World's tasks")
        check()
        quieten()
        self._goal_visible = family.goal_visible
        self._pool = ThreadPoolExecutor(self.threads) if self.threads > 1 else None
        self._groups = Groups(family.reward, self._pool)
        count = tasks * worlds
        self._target = np.zeros((count, 3))
        self.seen = np.zeros((count, SEEN))
        """Observations in double precision. `[task * world, 39]`"""
        self.rewards = np.zeros(count)
        """The last step's rewards, in double precision. `[task * world]`"""
        self._reached = np.zeros(count, dtype=bool)
        self._first = np.zeros((count, 3))
        self._current, self._goal = np.zeros((count, CURRENT)), np.zeros((count, 3))
        self._steps = np.zeros(count, dtype=np.int64)
        self._episodes = np.zeros(count, dtype=np.int64)
        self._noise = Noise(0, (), tasks, worlds)
        self.in_force: tuple[Task, ...] = ()
        self.assigned: tuple[Task, ...] = ()  # models are loaded when it is known which

    def assign(self, tasks: Sequence[Task]) -> None:
        """Gives each task of the batch its goal and model; the worlds must then be reset."""
        if len(tasks) != self.tasks:
            raise UserError(f"this engine steps {self.tasks} tasks at once, not {len(tasks)}")
        self.assigned = self.in_force = tuple(tasks)
        self._held = self._groups.hold(self.assigned, self.worlds)
        self._low, self._high = np.zeros_like(self.seen), np.zeros_like(self.seen)
        self._reach = np.zeros((2, *self._target.shape))
        self._scale = np.zeros((len(self._steps), 1), dtype=np.float32)
        self._control_step = np.zeros(len(self._steps))
        for group in self._held:
            template = group.template
            self._low[group.worlds], self._high[group.worlds] = template.bounds(self._goal_visible)
            self._reach[0, group.worlds], self._reach[1, group.worlds] = template.low, template.high
            self._scale[group.worlds] = template.scale
            self._goal[group.worlds] = group.constants["goal"] if self._goal_visible else 0.0
            self._control_step[group.worlds] = template.frame_skip * template.model.opt.timestep

    def reset(self, noise: Noise, place: TrialPlace | None = None) -> Tensor:
        """Starts an episode in every world, wherever in a trial. `[task, world, obs]`."""
        if not self.assigned:
            self.assign([self.suite.train[index % len(self.suite.train)] for index in range(self.tasks)])
        self._noise = noise
        self._episodes[:] = 0
        self._restart(np.ones(len(self._steps), dtype=bool))
        return self._by_task(torch.from_numpy(self.seen).float())

    def step(self, action: Tensor) -> Outcome:
        """Steps every world by one action in -1..1, outside of which it is clipped. `[task, world, action]`."""
        wanted = action.reshape(-1, 4).float().numpy()
        sound = np.isfinite(wanted).all(axis=1)
        before = self._times()
        if self.on_divergence is not None:
            self._remember()
        self._advance(np.clip(np.where(sound[:, None], wanted, 0.0), -1.0, 1.0, dtype=np.float32))
        elapsed = self._times() - before
        diverged = ~(sound & self._finite() & (np.abs(elapsed - self._control_step) < 1e-6))
        if diverged.any() and self.on_divergence is not None:
            self.on_divergence(self._first_of(diverged, action))
        self._steps += 1
        terminated, truncated = diverged, (self._steps >= self.horizon) & ~diverged
        if diverged.any():
            self.divergences += int(diverged.sum())
            self.rewards[diverged], self._reached[diverged] = 0.0, False
            self.seen[diverged] = np.nan_to_num(self.seen[diverged], nan=0.0, posinf=0.0, neginf=0.0)
        next_obs = torch.from_numpy(self.seen).float()
        obs, ended = next_obs, terminated | truncated
        if ended.any():
            self._restart(ended)
            obs = torch.from_numpy(self.seen).float()
        flags = (torch.from_numpy(flag.copy()) for flag in (terminated, truncated, self._reached, diverged))
        return Outcome(
            self._by_task(obs),
            self._by_task(next_obs),
            self._by_task(torch.from_numpy(self.rewards).float()),
            *(self._by_task(flag) for flag in flags),
        )

    def close(self) -> None:
        """Ends the threads; the engine is of no further use."""
        if self._pool is not None:
            self._pool.shutdown()

    def _by_task(self, values: Tensor) -> Tensor:
        """Splits the first axis by task. `[task * world, ...]` to `[task, world, ...]`."""
        return values.reshape(self.tasks, self.worlds, *values.shape[1:])

    def simulation(self, world: int) -> tuple[mujoco.MjModel, mujoco.MjData, int]:
        """Model, set to its task, and simulation of one of the worlds, for a slow look, and its physics steps."""
        group, index = self._place(world)
        return (*group.simulation(index), group.template.frame_skip)

    def _place(self, world: int) -> tuple[Group, int]:
        """The group of a world, and its index there."""
        return next((group, int(index)) for group in self._held for index in np.flatnonzero(group.worlds == world))

    def _remember(self) -> None:
        """Keeps what the next step begins from."""
        for group in self._held:
            group.remember()
        self._before = self._sensors()

    def _sensors(self) -> Array:
        """Observations now and at the beginning, which no simulation holds. `[task * world, 60]`."""
        return np.concatenate((self._current, self.seen, self._first), axis=1)

    def _first_of(self, diverged: Array, action: Tensor) -> Divergence:
        """The first world that blew up in this step. `[task * world]`, `[task, world, action]`."""
        row = int(diverged.argmax())
        group, index = self._place(row)
        task, world = divmod(row, self.worlds)
        physics, sensors = (torch.from_numpy(part.copy()) for part in (group.before[index], self._before[row]))
        return Divergence(
            self.assigned[task], world, int(self._steps[row]), physics, sensors, action[task, world].clone()
        )

    def _advance(self, action: Array) -> None:
        """One control step of every world, and what it led to. `[task * world, action]`, float32."""
        self.ask(action)
        self._advance_all()
        for group in self._held:
            group.gather()
        self._look()
        for group in self._held:
            self._judge(group, action[group.worlds])

    def ask(self, action: Array) -> None:
        """Sets every world to do an action in -1..1. `[task * world, action]`, float32."""
        self._target = np.clip(self._target + action[:, :3] * self._scale, *self._reach)
        control = np.stack((action[:, 3], -action[:, 3]), axis=1)
        for group in self._held:
            group.ask(self._target[group.worlds], control[group.worlds])

    def _advance_all(self) -> None:
        """Lets the threads, this one among them, take group after group."""
        waiting = iter(self._held)

        def work() -> None:
            for group in waiting:
                group.advance()

        others = [] if self._pool is None else [self._pool.submit(work) for _ in range(self.threads - 1)]
        work()
        for other in others:
            other.result()

    def _look(self) -> None:
        """Sees what the step led to."""
        current = np.empty_like(self._current)
        matrices = [group.matrices() for group in self._held]
        sizes = [0 if matrix is None else len(matrix) for matrix in matrices]
        some = [matrix for matrix in matrices if matrix is not None]
        # MuJoCo makes them of unit quaternions: to look whether they are orthogonal would take most of the time.
        turned = Rotation.from_matrix(np.concatenate(some), assume_valid=True).as_quat() if some else np.empty((0, 4))
        for group, size, last in zip(self._held, sizes, np.cumsum(sizes), strict=True):
            current[group.worlds] = group.observe(turned[last - size : last])
        seen = np.concatenate((current, self._current, self._goal), axis=1)
        np.clip(seen, self._low, self._high, out=self.seen)
        self._current = current
        fresh = self._steps == 0
        self._first[fresh] = self.seen[fresh, 4:7]

    def _judge(self, group: Group, action: Array) -> None:
        """Notes reward and success of a step of a group. `[world, action]`."""
        worlds = group.worlds
        if isinstance(group, Fallback):
            self.rewards[worlds], self._reached[worlds] = group.judge(self.seen[worlds], action)
        else:
            quantity = Quantities(group, self.seen[worlds], action.astype(np.float64), self._first[worlds])
            self.rewards[worlds], self._reached[worlds] = MANIPULATIONS[group.template.name].reward(quantity)

    def _times(self) -> Array:
        times = np.empty(len(self._steps))
        for group in self._held:
            times[group.worlds] = group.time
        return times

    def _finite(self) -> Array:
        """Marks the worlds with finite positions only. `[task * world]`, bool."""
        return np.asarray(np.isfinite(self.seen).all(axis=1))

    def _restart(self, which: Array) -> None:
        """Starts the next episode of these worlds. `[task * world]`, bool."""
        for group in self._held:
            for index in np.flatnonzero(which[group.worlds]):
                group.begin(int(index))
                world, start = group.worlds[index], group.starts[index]
                self._target[world] = start.target
                self._current[world] = start.current
        self.seen[which] = np.concatenate((self._current, self._current, self._goal), axis=1)[which]
        self._steps[which] = 0
        self._episodes[which] += 1

    def state(self) -> SimulatorState:
        """The simulator's full state, from which `restore` continues exactly. Shorter states are padded with zeros."""
        longest = max(mujoco.mj_stateSize(group.model, STATE) for group in self._held)
        physics = np.zeros((len(self._steps), longest))
        for group in self._held:
            for index, world in enumerate(group.worlds):
                state = state_of(group.model, group.datas[index])
                physics[world, : len(state)] = state
        shape = (self.tasks, self.worlds)
        return SimulatorState(
            physics=physics.reshape(*shape, -1),
            sensors=self._sensors().reshape(*shape, -1),
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
            for index, world in enumerate(group.worlds):
                size = mujoco.mj_stateSize(group.model, STATE)
                mujoco.mj_setState(group.model, group.datas[index], physics[world, :size], STATE)
                group.time[index] = group.datas[index].time
                self._target[world] = group.datas[index].mocap_pos[0]
        self._current[:] = sensors[:, :CURRENT]
        self.seen[:], self._first[:] = sensors[:, CURRENT : CURRENT + SEEN], sensors[:, CURRENT + SEEN :]
        self._steps[:], self._episodes[:] = state.steps.flatten(), state.episodes.flatten()
        self._noise = state.noise
