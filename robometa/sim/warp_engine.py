"""The GPU engine: steps all tasks and worlds at once with MuJoCo Warp, and never waits for the device in a rollout."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import mujoco
import mujoco_warp
import torch
import warp
from torch import Tensor

from robometa.errors import UserError
from robometa.noise import Noise
from robometa.sim import models
from robometa.sim.objectives import OBJECTIVES
from robometa.sim.protocol import Outcome, SimulatorState
from robometa.sim.quantities import Moment
from robometa.sim.reader import MAXIMUM, Reader
from robometa.sim.revealing import Revealing
from robometa.sim.warp_graphs import torch_graph, warp_graph
from robometa.sim.warp_models import DeviceModel, capacity, supported
from robometa.sim.warp_starts import StartTable
from robometa.suites import Suite, Task

Overflow = mujoco_warp.OverflowType
FULL = Overflow.NEFC | Overflow.NJMAX_NNZ | Overflow.BROADPHASE | Overflow.NARROWPHASE | Overflow.CCD | Overflow.NVMAX
"""What says that there was no room for a contact or a constraint."""


class WarpEngine:
    """Steps `tasks` x `worlds` simulations of a suite's robot on a GPU, or slowly on Warp's CPU device for tests.

    Robots, objectives, variations and noise are the CPU engine's; numbers are float32. On a GPU the physics of a control
    step are one captured graph, and what comes of it another; the host only follows, a few steps ahead. Whether the
    contacts had room is looked at when a horizon of steps is over, and at every reset.
    """

    def __init__(
        self,
        suite: Suite,
        tasks: int,
        worlds: int,
        *,
        device: str | torch.device = "cuda",
        room: float = 1.0,
        graphs: bool = True,
    ) -> None:
        """Puts the robot on the device; the first engine of a kind on a machine compiles its kernels, which takes time.

        Args:
            suite: Whose robot and objective.
            tasks: Tasks of a batch.
            worlds: Worlds of each task.
            device: `cuda`, `cuda:1`, or `cpu`.
            room: For how many times as many contacts as nearly always suffice there shall be memory.
            graphs: Whether to capture a step in graphs, on a GPU.
        Raises: UserError: If the robot's model cannot be loaded, or MuJoCo Warp cannot step it.
        """
        if tasks < 1 or worlds < 1:
            raise UserError(f"an engine needs at least one task and one world, not {tasks} and {worlds}")
        self.suite, self.tasks, self.worlds, self.horizon = suite, tasks, worlds, suite.horizon
        self.threads, self.room = 1, room
        self.device = torch.empty(0, device=device).device  # with its index
        self.robot = suite.robot
        warp.init()
        self._warp_device = warp.device_from_torch(self.device)
        self._graphs = graphs and self.device.type == "cuda"
        compiled, self.layout = models.compiled(self.robot)
        self._reader = Reader(self.robot, compiled, self.layout, torch.float32, self.device)
        self.spaces, self.control_step = self._reader.spaces, self._reader.control_step
        self._models_of: dict[Task, mujoco.MjModel] = {}
        self._objective = OBJECTIVES[suite.objective]
        self._weight = dict(suite.train[0].coefficients)
        with warp.ScopedDevice(self._warp_device):
            self.model = supported(compiled, self.robot.name)
            self._on_device = DeviceModel(self.model, tasks * worlds)
            self.capacity = capacity(self.model, self._on_device.model, room)
            self._data = mujoco_warp.make_data(
                self.model, tasks * worlds, nconmax=self.capacity.contacts, njmax=self.capacity.constraints
            )
        self._allocate()
        self.assign([suite.train[index % len(suite.train)] for index in range(tasks)])

    def _allocate(self) -> None:
        """Makes the tensors that live as long as the engine; some are Warp's own memory."""
        count, model, data, device = self.tasks * self.worlds, self.model, self._data, self.device
        self._time, self._qpos, self._qvel, self._act, self._ctrl, self._readings, self._qacc, self._overflow = (
            warp.to_torch(array)
            for array in (
                data.time, data.qpos, data.qvel, data.act, data.ctrl, data.sensordata, data.qacc, data.overflow
            )
        )  # fmt: skip
        self._state = self._reader.rest.repeat(count, 1)
        self._sensed_before = torch.zeros(count, model.nsensordata, device=device)
        self._action = torch.zeros(count, model.nu, device=device)
        self._next_obs, self._obs = (torch.zeros(count, self._reader.spaces.observation, device=device) for _ in "no")
        self._reward = torch.zeros(count, device=device)
        self._flags = torch.zeros(4, count, dtype=torch.bool, device=device)
        self._steps, self._episodes = (torch.zeros(count, dtype=torch.int64, device=device) for _ in "se")
        self._ended = torch.zeros(count, dtype=torch.bool, device=device)
        self._counts = torch.zeros(2, dtype=torch.int64, device=device)  # diverged steps; steps without room
        self._starts = StartTable(self.robot, (model.nq, model.nv), count, device)
        self._parameter: dict[str, Tensor] = {}
        self._since_check = 0
        # A step of the simulator reads the sensors of the state that it starts from; so must the start of an episode.
        self._must_sense = model.nsensordata > 0
        self._made: list[Callable[[], None]] = []

    @property
    def divergences(self) -> int:
        """Steps at which a world blew up, since the engine was made. Waits for the device."""
        return int(self._counts[0])

    def assign(self, tasks: Sequence[Task]) -> None:
        """Gives each task of the batch its parameters and model; the worlds must then be reset.

        Raises: UserError: If MuJoCo Warp cannot vary what they vary.
        """
        if len(tasks) != self.tasks:
            raise UserError(f"this engine steps {self.tasks} tasks at once, not {len(tasks)}")
        self.assigned = tuple(tasks)
        for task in self.assigned:
            if task not in self._models_of:
                self._models_of[task] = models.varied(task)
        with warp.ScopedDevice(self._warp_device):
            if self._on_device.vary([self._models_of[task] for task in self.assigned]):
                self._made = []
        for name, values in self._reader.parameters(self._objective, self.assigned, self.worlds).items():
            self._parameter.setdefault(name, torch.empty_like(values)).copy_(values)

    def reset(self, noise: Noise) -> Tensor:
        """Starts an episode in every world; later resets draw from `noise` too. `[task, world, obs]`

        Raises: UserError: If in the steps before there was no room for a contact.
        """
        self.check()
        self._starts.begin(noise, oldest=0, newest=0)
        self._make()
        self._episodes.zero_()
        self._ended.fill_(True)
        self._state.copy_(self._begun())
        self._count_episodes()
        self._write_state()
        self._sense()
        self._look()
        return self._by_task(self._obs.clone())

    def step(self, action: Tensor) -> Outcome:
        """Steps every world by one action in -1..1, outside of which it is clipped. `[task, world, action]`"""
        self._starts.look(self._episodes)
        if self._starts.moved:
            self._made = []
        if not self._made:
            self._make()
        self._action.copy_(action.reshape(self._action.shape))
        for part in self._made:
            part()
        flags = self._flags.clone()
        self._since_check += 1
        if self._since_check >= self.horizon:
            self.check()
        return Outcome(
            self._by_task(self._obs.clone()),
            self._by_task(self._next_obs.clone()),
            self._by_task(self._reward.clone()),
            *(self._by_task(flag) for flag in flags),
        )

    def check(self) -> None:
        """Waits for the device, and makes sure that there was room for every contact since the last time.

        Raises: UserError: If there was not: what was simulated since is not to be used.
        """
        self._since_check = 0
        missing = int(self._counts[1])
        if missing:
            self._counts[1] = 0
            raise UserError(
                f"robot {self.robot.name} touched itself and its surroundings in more places than there is room for "
                f"({self.capacity.contacts} contacts, {self.capacity.constraints} constraints a world) in {missing} "
                f"steps: their physics are wrong. --room {2 * self.room:g} gives it twice as much"
            )

    def close(self) -> None:
        """Nothing; the memory is given back with the engine."""

    def _by_task(self, values: Tensor) -> Tensor:
        """The same numbers with an axis for the tasks. `[task * world, ...]` to `[task, world, ...]`"""
        return values.reshape(self.tasks, self.worlds, *values.shape[1:])

    def _make(self) -> None:
        """Lists the parts of a step: captured in graphs on a GPU, as they are elsewhere."""
        if self._made:
            return
        self._starts.moved = False
        parts: list[Callable[[], None]] = [self._act_and_advance, self._settle, self._look]
        if self._must_sense:
            parts.insert(2, self._sense)
        if not self._graphs:
            self._made = parts
            return
        kept = [self._state, self._sensed_before, self._steps, self._episodes, self._counts]
        before = [tensor.clone() for tensor in kept]
        self._made = [
            torch_graph(self._tell_controls, self.device),
            warp_graph(self._advance, self._warp_device),
            torch_graph(self._settle, self.device),
            *([warp_graph(self._sense_now, self._warp_device)] if self._must_sense else []),
            torch_graph(self._look, self.device),
        ]
        for tensor, value in zip(kept, before, strict=True):  # capturing has tried each part for once
            tensor.copy_(value)
        self._write_state()

    def _act_and_advance(self) -> None:
        self._tell_controls()
        self._advance()

    def _tell_controls(self) -> None:
        self._ctrl.copy_(self._reader.control(self._action))

    def _advance(self) -> None:
        """The physics of one control step, without a warmstart from the one before."""
        with warp.ScopedDevice(self._warp_device):
            self._data.qacc_warmstart.zero_()
            for _ in range(self.robot.frame_skip):
                mujoco_warp.step(self._on_device.model, self._data)

    def _settle(self) -> None:
        """What the step led to: reward, ends of episodes, and the state from which the next one goes on."""
        before, sensed_before = self._state, self._sensed_before
        after = torch.cat((self._time.unsqueeze(1), self._qpos, self._qvel, self._act), dim=1)
        fine = (
            (after.abs() < MAXIMUM).all(dim=1)
            & (self._qacc.abs() < MAXIMUM).all(dim=1)
            & (self._action.abs() < MAXIMUM).all(dim=1)
        )
        diverged, broken = ~fine, ~fine.unsqueeze(1)
        after = torch.where(broken, self._reader.put_back(before), after)
        sensed = torch.where(broken, sensed_before, self._readings)
        control = self._ctrl.masked_fill(broken, 0.0)
        quantities = self._reader.quantities(Moment(before, sensed_before), Moment(after, sensed), control)
        reward, success = self._objective.reward(quantities, self._parameter, self._weight)
        self._reward.copy_(reward.masked_fill(diverged, 0.0))
        self._steps += 1
        ended = self._reader.ended(after, glance=False)
        terminated = diverged if ended is None else ended | diverged
        truncated = (self._steps >= self.horizon) & fine & ~terminated
        succeeded = torch.zeros_like(fine) if success is None else success & fine
        self._flags.copy_(torch.stack((terminated, truncated, succeeded, diverged)))
        full = ((self._overflow & int(FULL)) != 0) & fine
        self._counts += torch.stack((diverged.sum(), full.sum()))
        self._overflow.zero_()
        self._next_obs.copy_(self._reader.observe(after, sensed))
        self._ended.copy_(terminated | truncated)
        self._state.copy_(torch.where(self._ended.unsqueeze(1), self._begun(), after))
        self._sensed_before.copy_(sensed)
        self._count_episodes()
        self._write_state()

    def _begun(self) -> Tensor:
        """Where each world's next episode begins. `[task * world, state]`"""
        table, rest = self._starts.table, self._reader.rest
        place = (self._episodes % table.shape[1]).reshape(-1, 1, 1).expand(-1, 1, table.shape[2])
        offset = table.gather(1, place)[:, 0]
        rest_of_state = rest.shape[0] - 1 - offset.shape[1]
        return rest + torch.nn.functional.pad(offset, (1, rest_of_state))

    def _count_episodes(self) -> None:
        self._episodes += self._ended
        self._steps *= ~self._ended

    def _write_state(self) -> None:
        """Hands the state to the simulator."""
        nq, nv = self.model.nq, self.model.nv
        parts = self._state.split((1, nq, nv, self._state.shape[1] - 1 - nq - nv), dim=1)
        for target, part in zip((self._time.unsqueeze(1), self._qpos, self._qvel, self._act), parts, strict=True):
            target.copy_(part)

    def _sense(self) -> None:
        if self._must_sense:
            self._sense_now()

    def _sense_now(self) -> None:
        """The sensors of the state that every world is in, with the actuators at zero."""
        with warp.ScopedDevice(self._warp_device):
            self._data.ctrl.zero_()
            mujoco_warp.forward(self._on_device.model, self._data)

    def _look(self) -> None:
        """What the policy sees next; sensors are read anew where an episode begins."""
        if self._must_sense:
            self._sensed_before.copy_(torch.where(self._ended.unsqueeze(1), self._readings, self._sensed_before))
        self._obs.copy_(self._reader.observe(self._state, self._sensed_before))

    def state(self) -> SimulatorState:
        """The simulator's full state, from which `restore` goes on exactly. Waits for the device."""
        shape = (self.tasks, self.worlds)
        return SimulatorState(
            physics=self._state.double().cpu().numpy().reshape(*shape, -1),
            sensors=self._sensed_before.double().cpu().numpy().reshape(*shape, -1),
            steps=self._steps.cpu().numpy().reshape(shape),
            episodes=self._episodes.cpu().numpy().reshape(shape),
            obs=self._by_task(self._reader.observe(self._state, self._sensed_before)),
            noise=self._starts.noise,
        )

    def restore(self, state: SimulatorState) -> None:
        """Puts every world into a state that `state` returned."""
        self._state.copy_(torch.from_numpy(state.physics).reshape(self._state.shape))
        self._sensed_before.copy_(torch.from_numpy(state.sensors).reshape(self._sensed_before.shape))
        self._steps.copy_(torch.from_numpy(state.steps).flatten())
        self._episodes.copy_(torch.from_numpy(state.episodes).flatten())
        self._starts.begin(state.noise, int(state.episodes.min()), int(state.episodes.max()))
        self._write_state()


class RevealingWarpEngine(Revealing, WarpEngine):
    """Steps the same simulations; each observation ends with the hidden numbers of its task."""
