"""The worlds' tensors on the device beside the simulator's own arrays, and their update in a step."""

from __future__ import annotations

from collections.abc import Mapping

import mujoco
import mujoco_warp
import torch
import warp
from torch import Tensor

from robometa.sim.locomotion.quantities import Moment
from robometa.sim.locomotion.reader import MAXIMUM, Reader
from robometa.sim.warp.resets import StartTable
from robometa.sim.warp.wires import WarpWires
from robometa.suites.objectives import Objective

Overflow = mujoco_warp.OverflowType
FULL = int(
    Overflow.NEFC | Overflow.NJMAX_NNZ | Overflow.BROADPHASE | Overflow.NARROWPHASE | Overflow.CCD | Overflow.NVMAX
)
"""Flags of a contact or a constraint that did not fit into its buffer."""
DIVERGED, DIVERGED_LATELY, FULL_LATELY = range(3)
"""Counters: steps that diverged in all, those since the last check, and steps with a full buffer since then."""


def shared(array: warp.array) -> Tensor:
    """A tensor of Warp's own memory; an empty array has none, and torch would put it on the current device."""
    if array.size:
        return warp.to_torch(array)
    device, dtype = warp.device_to_torch(array.device), warp.dtype_to_torch(array.dtype)
    return torch.empty(array.shape, dtype=dtype, device=device)


class Worlds:
    """Tensors of every world, updated in place at every step without the host; some are Warp's own memory.

    A step is `tell`, the simulator's physics, `settle`, the simulator's sensors if it has any, and `look`.
    """

    def __init__(
        self,
        model: mujoco.MjModel,
        data: mujoco_warp.Data,
        reader: Reader,
        objective: Objective,
        horizon: int,
        wires: WarpWires | None = None,
    ) -> None:
        """Takes hold of the simulator's numbers.

        Args:
            model: The robot's.
            data: The simulator's numbers on the device.
            reader: Reads them.
            objective: Pays for them.
            horizon: Control steps of an episode.
            wires: Wires between policy and robot, if the suite needs them.
        """
        self.wires = wires
        self._reader, self._objective, self._horizon = reader, objective, horizon
        self._nq, self._nv, self._senses = model.nq, model.nv, model.nsensordata > 0
        self._time, self._qpos, self._qvel, self._act = (
            shared(array) for array in (data.time, data.qpos, data.qvel, data.act)
        )
        self._ctrl, self._readings, self._qacc, self._overflow = (
            shared(array) for array in (data.ctrl, data.sensordata, data.qacc, data.overflow)
        )
        count, device = data.nworld, self._qpos.device
        body = model.body(reader.robot.body).id
        self._body_place = shared(data.xpos)[:, body]
        self.state = reader.rest.repeat(count, 1)
        self.sensed = torch.zeros(count, model.nsensordata, device=device)
        self.action = torch.zeros(count, model.nu, device=device)
        size = reader.spaces.observation if wires is None else wires.observation
        self.obs = torch.zeros(count, size, device=device)
        self.next_obs, self.reward = torch.zeros_like(self.obs), torch.zeros(count, device=device)
        self.flags = torch.zeros(4, count, dtype=torch.bool, device=device)
        """Terminated, truncated, success, diverged. `[4, world]`"""
        self.steps, self.episodes, self.trial = (torch.zeros(count, dtype=torch.int64, device=device) for _ in range(3))
        """Control steps of the episode, episodes begun, and control steps of the trial. `[world]` each"""
        self.ended = torch.zeros(count, dtype=torch.bool, device=device)
        self.counts = torch.zeros(3, dtype=torch.int64, device=device)
        self.memory = torch.zeros(count, 0 if wires is None else wires.memory.shape[1], device=device)
        """Memory of the wires before the step. `[world, number]`"""
        size = 3 + self.state.shape[1] + self.sensed.shape[1] + model.nu + self.memory.shape[1]
        self.blown_up = torch.zeros(size, device=device)
        """First diverged world since the last check: world, steps of its episode and trial, state, readings, action,
        memory."""
        self.parameter: dict[str, Tensor] = {}
        self.weight: Mapping[str, float] = {}
        drawn = (0, 0) if wires is None else (wires.episode.size, wires.step.size)
        self.starts = StartTable(reader.robot, reader.beginnings, (model.nq, model.nv), count, device, drawn)
        self.of_step, self.of_episode = (torch.zeros(count, size, device=device) for size in reversed(drawn))
        """Numbers of the wires, of this step and of the episode that begins. `[world, number]` each"""

    def kept(self) -> list[Tensor]:
        """Everything that lasts from step to step."""
        kept = [self.state, self.sensed, self.steps, self.episodes, self.trial, self.ended, self.counts, self.blown_up]
        return kept if self.wires is None else [*kept, self.wires.memory]

    def tell(self) -> None:
        """Passes the actions to the simulator as controls."""
        if self.wires is None:
            self._ctrl.copy_(self._reader.control(self.action))
        else:
            self.memory.copy_(self.wires.memory)
            self.wires.tell(self.action)

    def rest(self) -> None:
        """Passes the controls of a robot at rest to the simulator."""
        self._ctrl.copy_(self._reader.resting.expand_as(self._ctrl))

    def settle(self) -> None:
        """Computes reward, termination, and the state that the next step starts from."""
        before, sensed_before = self.state, self.sensed
        after = torch.cat((self._time.unsqueeze(1), self._qpos, self._qvel, self._act), dim=1)
        # The state before too: the simulator makes a quaternion that is no number into one.
        numbers = (before, after, self._qacc, self.action)
        fine = torch.stack([(part.abs() < MAXIMUM).all(dim=1) for part in numbers]).all(dim=0)
        diverged, broken = ~fine, ~fine.unsqueeze(1)
        after = torch.where(broken, self._reader.put_back(before), after)
        sensed = torch.where(broken, sensed_before, self._with_place(after))
        control = self._ctrl.masked_fill(broken, 0.0)
        wires = self.wires
        others = None if wires is None else wires.quantities(after, sensed)
        quantities = self._reader.quantities(Moment(before, sensed_before), Moment(after, sensed), control, others)
        reward, success = self._objective.reward(quantities, self.parameter, self.weight)
        self._count(diverged)
        self.reward.copy_(reward.masked_fill(diverged, 0.0))
        self.steps += 1
        self.trial += 1
        ended = self._reader.ended(after, sensed)
        terminated = diverged if ended is None else ended | diverged
        truncated = (self.steps >= self._horizon) & ~terminated
        succeeded = torch.zeros_like(fine) if success is None else success & fine
        self.flags.copy_(torch.stack((terminated, truncated, succeeded, diverged)))
        if wires is None:
            self.next_obs.copy_(self._reader.observe(after, sensed))
        else:
            self.next_obs.copy_(wires.finish(after, sensed, self.of_step))
            after = wires.push(after, self.of_step)
        self.sensed.copy_(sensed)
        self.ended.copy_(terminated | truncated)
        self.go_on_from(after)

    def _with_place(self, after: Tensor) -> Tensor:
        """Sensor readings with the body's place after the step, where it is a reading. `[world, reading]`."""
        first = self._reader.layout.body_sensor
        if first is None:
            return self._readings
        place = self._reader.place(after)
        readings = self._readings.clone()
        readings[:, first : first + 3] = self._body_place if place is None else place
        return readings

    def go_on_from(self, after: Tensor) -> None:
        """Goes on from these states, or begins the next episode where one has ended. `[world, state]`."""
        self.state.copy_(torch.where(self.ended.unsqueeze(1), self._beginnings(), after))
        self.episodes += self.ended
        self.steps *= ~self.ended
        self.hand_over()

    def hand_over(self) -> None:
        """Hands the states to the simulator."""
        parts = self.state.split((1, self._nq, self._nv, self._act.shape[1]), dim=1)
        for target, part in zip((self._time.unsqueeze(1), self._qpos, self._qvel, self._act), parts, strict=True):
            target.copy_(part)

    def look(self) -> None:
        """Computes the next observation; at an episode's beginning with the sensors read there."""
        if self._senses:
            self.sensed.copy_(torch.where(self.ended.unsqueeze(1), self._readings, self.sensed))
        if self.wires is None:
            self.obs.copy_(self._reader.observe(self.state, self.sensed))
        else:
            self.obs.copy_(self.wires.begin(self.ended, self.state, self.sensed, self.of_episode))
            self.wires.set_gains()

    def _beginnings(self) -> Tensor:
        """First state of each world's next episode. `[world, state]`."""
        table, rest = self.starts.table, self._reader.rest
        place = (self.episodes % table.shape[1]).reshape(-1, 1, 1).expand(-1, 1, table.shape[2])
        offset = table.gather(1, place)[:, 0]  # [world, position + velocity + number]
        moved = self._nq + self._nv
        self.of_episode.copy_(offset[:, moved:])
        offset = offset[:, :moved]
        return rest + torch.nn.functional.pad(offset, (1, self._act.shape[1]))

    def _count(self, diverged: Tensor) -> None:
        """Counts what blew up and what had no room, and remembers the first that blew up."""
        full = ((self._overflow & FULL) != 0) & ~diverged
        self._overflow.zero_()
        row = diverged.int().argmax().reshape(1)
        parts = (
            row,
            self.steps[row],
            self.trial[row],
            self.state[row],
            self.sensed[row],
            self.action[row],
            self.memory[row],
        )
        first = diverged.any() & (self.counts[DIVERGED_LATELY] == 0)
        numbers = torch.cat([part.reshape(-1).float() for part in parts])
        self.blown_up.copy_(torch.where(first, numbers, self.blown_up))
        several = diverged.sum()
        self.counts += torch.stack((several, several, full.sum()))
