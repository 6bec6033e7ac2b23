"""The GPU engine: steps all tasks and worlds at once with MuJoCo Warp, and never waits for the device in a rollout."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import mujoco_warp
import numpy as np
import torch
import warp
from torch import Tensor

from robometa.compute.cuda_graphs import torch_graph
from robometa.errors import UserError
from robometa.noise import Noise
from robometa.sim.changing import Changing
from robometa.sim.engine import Divergence, Outcome, SimulatorState, TrialPlace
from robometa.sim.locomotion import models
from robometa.sim.locomotion.meaning import spaces_with_meaning
from robometa.sim.locomotion.reader import Reader
from robometa.sim.locomotion.wiring import needed
from robometa.sim.warp.graphs import warp_graph
from robometa.sim.warp.models import DeviceModel, capacity, supported
from robometa.sim.warp.usable import require_usable
from robometa.sim.warp.wires import GAINS, WarpWires
from robometa.sim.warp.worlds import DIVERGED, DIVERGED_LATELY, FULL_LATELY, Worlds
from robometa.suites.objective_file import objective_of
from robometa.suites.suite import Suite
from robometa.suites.task import Task

AFTER_SETTLING = 3
"""Index of the first stage of a step that only reads the worlds: sensors, if there are any, then observations."""


class WarpEngine(Changing):
    """Steps `tasks` x `worlds` simulations of a suite's robot on a GPU, or slowly on Warp's CPU device for tests.

    Robots, objectives, variations and noise are the CPU engine's; numbers are float32. On a GPU the physics of a
    control step are one captured graph, and what comes of it another; the host follows a few steps ahead. When a
    horizon of steps is over, and at every reset, it waits, and makes sure that the contacts had room.
    """

    def __init__(
        self,
        suite: Suite,
        tasks: int,
        worlds: int,
        *,
        device: str | torch.device = "cuda",
        contact_capacity: float = 1.0,
        graphs: bool = True,
    ) -> None:
        """Puts the robot on the device; the first engine of a kind on a machine compiles its kernels, which takes time.

        Args:
            suite: Whose robot and objective.
            tasks: Tasks of a batch.
            worlds: Worlds of each task.
            device: `cuda`, `cuda:1`, or `cpu`.
            contact_capacity: Multiplier on the contact buffer; 1 is almost always enough.
            graphs: Whether to capture a step in graphs, on a GPU.

        Raises:
            UserError: If the robot's model cannot be loaded, MuJoCo Warp cannot step it, or it sees no GPU.
        """
        if tasks < 1 or worlds < 1:
            raise UserError(f"an engine needs at least one task and one world, not {tasks} and {worlds}")
        self.suite, self.tasks, self.worlds, self.horizon = suite, tasks, worlds, suite.horizon
        self.threads, self.contact_capacity = 1, contact_capacity
        self.robot = suite.robot
        if self.robot.real is not None and self.robot.real.terrain is not None:
            raise UserError("terrain needs --engine cpu: MuJoCo Warp has one field of heights for all worlds")
        require_usable(device)
        self.device = torch.empty(0, device=device).device  # with its index
        self._warp_device = warp.device_from_torch(self.device)
        self._graphs = graphs and self.device.type == "cuda"
        self.on_divergence: Callable[[Divergence], None] | None = None
        """Callback after each horizon of steps, with the first world that diverged in it."""
        compiled, self.layout = models.compiled(self.robot)
        self._reader = Reader(self.robot, compiled, self.layout, torch.float32, self.device)
        self.control_step = self._reader.control_step
        wires = WarpWires(suite, compiled, self._reader, tasks * worlds) if needed(suite) else None
        self.spaces = spaces_with_meaning(self._reader, suite.train[0], wires)
        with warp.ScopedDevice(self._warp_device):
            self.model = supported(compiled, self.robot.name)
            gains = GAINS if wires is not None and wires.gains is not None else ()
            self._on_device = DeviceModel(self.model, tasks * worlds, gains)
            self.capacity = capacity(self.model, self._on_device.model, contact_capacity)
            self._data = mujoco_warp.make_data(
                self.model, tasks * worlds, nconmax=self.capacity.contacts, njmax=self.capacity.constraints
            )
        objective = objective_of(suite.train[0])
        self._worlds = Worlds(self.model, self._data, self._reader, objective, self.horizon, wires)
        self._worlds.weight = dict(suite.train[0].coefficients)
        self._parts: list[Callable[[], None]] = []
        self._since_check = 0
        self.assign([suite.train[index % len(suite.train)] for index in range(tasks)])

    @property
    def divergences(self) -> int:
        """Steps at which a world blew up, since the engine was made. Waits for the device."""
        return int(self._worlds.counts[DIVERGED])

    def assign(self, tasks: Sequence[Task]) -> None:
        """Gives each task of the batch its parameters and model; the worlds must then be reset.

        Raises:
            UserError: If MuJoCo Warp cannot vary what they vary.
        """
        self._take(tasks)
        if self._changes is not None:  # every field that changes later has a row per world from the beginning
            self._put_in_force(self._changes.after_one())
        self._put_in_force(self.assigned)

    def _put_in_force(self, tasks: tuple[Task, ...]) -> None:
        """Gives every world the parameters and the model of its task as it is now."""
        self.in_force = tasks
        self._models = [models.varied(task) for task in tasks]
        with warp.ScopedDevice(self._warp_device):
            if self._on_device.vary(self._models):
                self._parts = []
        if self._worlds.wires is not None:
            self._worlds.wires.use(self._models, self._on_device.model)
        parameter = self._worlds.parameter  # written in place: a captured graph holds the address
        objective = objective_of(self.suite.train[0])
        for name, values in self._reader.parameters(objective, tasks, self.worlds).items():
            parameter.setdefault(name, torch.empty_like(values)).copy_(values)
        hidden, command = dict(parameter), self.suite.command
        if self._worlds.wires is not None:
            for name, values in self._worlds.wires.commands.items():
                parameter[name] = values
                hidden.pop(name, None)
        self.worst_reward = self._reader.worst_reward(objective, hidden, self._worlds.weight, self.tasks, command)

    def reset(self, noise: Noise, place: TrialPlace | None = None) -> Tensor:
        """Starts an episode in every world; later resets draw from `noise` too. `[task, world, obs]`.

        Args:
            noise: Source of the beginnings of episodes.
            place: Place of the rollout that begins in its trial; None for a trial of its own.

        Raises:
            UserError: If in the steps before there was no room for a contact.
        """
        self.check()
        worlds = self._worlds
        self._begin_rollout(noise, place)
        worlds.starts.begin(noise, self._models, oldest=0, newest=1)  # the first is begun below
        self._clock = np.zeros(self.tasks * self.worlds, dtype=np.int64)
        if worlds.wires is not None:
            worlds.wires.clock.zero_()
        self._make()
        worlds.episodes.zero_()
        self._set_trial()
        worlds.ended.fill_(True)
        worlds.go_on_from(worlds.state)
        for part in self._parts[AFTER_SETTLING:]:
            part()
        return self._by_task(worlds.obs.clone())

    def step(self, action: Tensor) -> Outcome:
        """Steps every world by one action in -1..1, outside of which it is clipped. `[task, world, action]`.

        Raises:
            UserError: If it is a horizon's last step, and there was no room for a contact.
        """
        worlds = self._worlds
        worlds.starts.look(worlds.episodes)
        self._make()
        worlds.action.copy_(action.reshape(worlds.action.shape))
        if worlds.wires is not None:
            worlds.of_step.copy_(worlds.starts.draws.steps(self._clock).float(), non_blocking=True)
            self._clock += 1
        held = self._on_device.model  # captured parts hold its arrays
        for index, part in enumerate(self._parts):
            if index == AFTER_SETTLING:
                self._change()
            part()
        del held
        flags = worlds.flags.clone()
        outcome = Outcome(
            self._by_task(worlds.obs.clone()),
            self._by_task(worlds.next_obs.clone()),
            self._by_task(worlds.reward.clone()),
            *(self._by_task(flag) for flag in flags),
        )
        self._since_check += 1
        if self._since_check >= self.horizon:
            self.check()
        return outcome

    def _set_trial(self) -> None:
        """Gives each world the control steps of its trial so far."""
        if self._changes is not None:
            self._worlds.trial.copy_(torch.from_numpy(self._changes.clock).repeat_interleave(self.worlds))

    def check(self) -> None:
        """Waits for the device, reports a diverged world, and checks that every contact fitted its buffer.

        Raises:
            UserError: If one did not fit; discard the simulation since the last check.
        """
        self._since_check = 0
        counts = self._worlds.counts.tolist()
        self._worlds.counts[DIVERGED_LATELY:].zero_()
        if counts[DIVERGED_LATELY] and self.on_divergence is not None:
            self.on_divergence(self._first_that_blew_up())
        if counts[FULL_LATELY]:
            raise UserError(
                f"robot {self.robot.name} touched itself and its surroundings in more places than there is room for "
                f"({self.capacity.contacts} contacts, {self.capacity.constraints} constraints a world) in "
                f"{counts[FULL_LATELY]} steps: their physics are wrong. --contact-capacity "
                f"{2 * self.contact_capacity:g} gives it twice as much"
            )

    def close(self) -> None:
        """Nothing; the memory is given back with the engine."""

    def _by_task(self, values: Tensor) -> Tensor:
        """Splits the first axis by task. `[task * world, ...]` to `[task, world, ...]`."""
        return values.reshape(self.tasks, self.worlds, *values.shape[1:])

    def _make(self) -> None:
        """Lists the parts of a step, captured in graphs on a GPU, unless they are listed and good still."""
        worlds = self._worlds
        if self._parts and not worlds.starts.moved:
            return
        worlds.starts.moved = False
        if not self._graphs:
            self._parts = [worlds.tell, self._advance, worlds.settle, self._sense, worlds.look]
            return
        before = [tensor.clone() for tensor in worlds.kept()]
        self._parts = [
            torch_graph(worlds.tell, self.device),
            warp_graph(self._advance, self._warp_device),
            torch_graph(worlds.settle, self.device),
            *([warp_graph(self._sense, self._warp_device)] if self.model.nsensordata else []),
            torch_graph(worlds.look, self.device),
        ]
        for tensor, value in zip(worlds.kept(), before, strict=True):  # capturing has tried each part
            tensor.copy_(value)
        worlds.hand_over()

    def _advance(self) -> None:
        """The physics of one control step, without a warmstart from the one before."""
        with warp.ScopedDevice(self._warp_device):
            self._data.qacc_warmstart.zero_()
            for step in range(self.robot.frame_skip):
                if self._worlds.wires is not None:
                    warp.copy(self._data.ctrl, self._worlds.wires.controls[step])
                mujoco_warp.step(self._on_device.model, self._data)
            if self.layout.body_sensor is not None and self.layout.body_map is None:
                mujoco_warp.kinematics(self._on_device.model, self._data)  # the body's place is of the step's beginning

    def _sense(self) -> None:
        """Reads the sensors, if there are any, of the state that every world is in, with the actuators at rest."""
        # A physics step reads the sensors of the state that it starts from: an episode's first must be read apart.
        if self.model.nsensordata:
            with warp.ScopedDevice(self._warp_device):
                self._worlds.rest()
                mujoco_warp.forward(self._on_device.model, self._data)

    def _first_that_blew_up(self) -> Divergence:
        """The first world that blew up since the last look."""
        worlds = self._worlds
        sizes = (1, 1, 1, worlds.state.shape[1], self.model.nsensordata, self.model.nu, worlds.memory.shape[1])
        row, step, trial, physics, sensors, action, memory = worlds.blown_up.double().cpu().split(sizes)
        task, world = divmod(int(row), self.worlds)
        now = None if self._changes is None else self._changes.task_at(task, int(trial))
        return Divergence(self.assigned[task], world, int(step), physics, sensors, action.float(), memory, now)

    def state(self) -> SimulatorState:
        """The simulator's full state, from which `restore` continues exactly. Waits for the device."""
        worlds, shape = self._worlds, (self.tasks, self.worlds)
        return SimulatorState(
            physics=worlds.state.double().cpu().numpy().reshape(*shape, -1),
            sensors=worlds.sensed.double().cpu().numpy().reshape(*shape, -1),
            steps=worlds.steps.cpu().numpy().reshape(shape).copy(),
            episodes=worlds.episodes.cpu().numpy().reshape(shape).copy(),
            obs=self._by_task((worlds.wires or self._reader).observe(worlds.state, worlds.sensed)),
            noise=worlds.starts.noise,
            memory=None if worlds.wires is None else worlds.wires.kept().reshape(*shape, -1),
            **self._place_in_trial(),
        )

    def restore(self, state: SimulatorState) -> None:
        """Puts every world into a state that `state` returned."""
        worlds = self._worlds
        self._go_to(state)
        worlds.starts.begin(state.noise, self._models, int(state.episodes.min()), int(state.episodes.max()))
        self._make()
        worlds.state.copy_(torch.from_numpy(state.physics).reshape(worlds.state.shape))
        worlds.sensed.copy_(torch.from_numpy(state.sensors).reshape(worlds.sensed.shape))
        worlds.steps.copy_(torch.from_numpy(state.steps).flatten())
        worlds.episodes.copy_(torch.from_numpy(state.episodes).flatten())
        self._set_trial()
        worlds.hand_over()
        if worlds.wires is not None and state.memory is not None:
            worlds.wires.put_back(state.memory)
            self._clock = worlds.wires.clock.cpu().long().numpy()
