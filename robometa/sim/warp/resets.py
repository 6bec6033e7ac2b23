"""The beginnings of episodes on a device, drawn ahead on the processors so that nothing waits for a reset."""

from __future__ import annotations

from collections.abc import Sequence

import mujoco
import torch
from torch import Tensor

from robometa.noise import Noise
from robometa.sim.locomotion.beginnings import Beginnings
from robometa.sim.locomotion.numbers import Draws
from robometa.sim.locomotion.resets import BLOCK, Starts
from robometa.suites.robots import Robot

BLOCKS = 16
"""Initial capacity of the table, in blocks of episodes; each growth captures the step again."""


class StartTable:
    """Offsets from rest at each episode's beginning: the numbers of `Starts`, on a device.

    A world's episode is in column `episode % episodes`. The host tracks the worlds' episodes a few steps late, by
    asynchronous copies, and draws a block before any world can need it. It waits for a copy only if it is so far ahead
    of the device that a world might have used up the drawn numbers.
    """

    def __init__(
        self,
        robot: Robot,
        beginnings: Beginnings,
        sizes: tuple[int, int],
        worlds: int,
        device: torch.device,
        wires: tuple[int, int] = (0, 0),
    ) -> None:
        """Makes an empty table.

        Args:
            robot: Defines the noise of the initial velocities.
            beginnings: Initial positions.
            sizes: Numbers of its positions and velocities.
            worlds: Number of worlds of all tasks together.
            device: Device of the table.
            wires: Numbers of an episode and of a step that the wires between policy and robot need.
        """
        self._robot, self._sizes, self._worlds, self._device, self._wires = robot, sizes, worlds, device, wires
        self._width = sum(sizes) + wires[0]
        self._beginnings = beginnings
        self._models: Sequence[mujoco.MjModel] = ()
        self.table = torch.zeros(worlds, BLOCKS * BLOCK, self._width, device=device)
        """Offsets of positions and velocities from rest, and numbers of the wires.
        `[world, episode, position + velocity + number]`"""
        self.moved = False
        """A larger table replaced this one: captured graphs that hold its address are invalid."""
        on_gpu = device.type == "cuda"
        self._extent = torch.zeros(2, dtype=torch.int64, pin_memory=on_gpu)
        self._copied = torch.cuda.Event() if on_gpu else None
        self._copying = False

    def begin(self, noise: Noise, models: Sequence[mujoco.MjModel], oldest: int, newest: int) -> None:
        """Draws from this noise from now on.

        Args:
            noise: Keys the numbers.
            models: Model of each task; as many worlds follow each other for each. `[task]`
            oldest: The earliest episode, counted from 0, that any world may ask for.
            newest: The most episodes that any world has begun.
        """
        self._starts = Starts(noise, *self._sizes, normal=self._robot.reset_velocity_normal)
        self.draws = Draws(noise.fork("wires"), *self._wires)
        self._models = models
        self._oldest, self._newest, self._since, self._copying = oldest, newest, 0, False
        self._next_block = oldest // BLOCK
        self._draw_up_to(newest + BLOCK // 2)

    @property
    def noise(self) -> Noise:
        """Noise that keys the numbers."""
        return self._starts.noise

    def look(self, episodes: Tensor) -> None:
        """Follows the worlds' episodes and draws what the coming step may need; to be called before every step.

        Args:
            episodes: Episodes that each world has begun. `[world]`, int64
        """
        if not self._copying:
            self._extent.copy_(torch.stack(episodes.aminmax()), non_blocking=True)
            if self._copied is not None:
                self._copied.record(torch.cuda.current_stream(self._device))
            self._copying, self._since_copy = True, 0
        # At every step since it was known, a world may have begun an episode.
        must_wait = self._newest + self._since >= self._next_block * BLOCK
        if self._copied is not None and must_wait:
            self._copied.synchronize()
        if self._copied is None or self._copied.query():
            self._oldest, self._newest = self._extent.tolist()
            self._since, self._copying = self._since_copy, False
        self._draw_up_to(self._newest + self._since)
        self._since += 1
        self._since_copy += 1

    def _draw_up_to(self, episode: int) -> None:
        """Draws blocks until that episode, counted from 0, is in the table."""
        while self._next_block * BLOCK <= episode:
            if (self._next_block - self._oldest // BLOCK + 1) * BLOCK > self.table.shape[1]:
                self._grow()
            self._put(self._next_block)
            self._next_block += 1

    def _put(self, block: int) -> None:
        uniform, velocities = self._starts.block(block)  # [world, episode, number]
        each = self._worlds // len(self._models) * BLOCK
        models = [model for model in self._models for _ in range(each)]
        positions = self._beginnings.offsets(uniform.reshape(-1, self._sizes[0]), models)
        offsets = torch.cat(
            (
                torch.from_numpy(positions).reshape(uniform.shape),
                torch.from_numpy(velocities * self._beginnings.velocity_noise),
                *([torch.from_numpy(self.draws.of_episodes.block(block))] if self._wires[0] else []),
            ),
            dim=2,
        ).float()  # [world, episode, position + velocity]
        first = block * BLOCK % self.table.shape[1]
        if self._copied is not None:
            offsets = offsets.pin_memory()  # so that copying it does not wait for the device
        self.table[:, first : first + BLOCK] = offsets.to(self._device, non_blocking=True)

    def _grow(self) -> None:
        """A table of twice the size, with the same beginnings in it."""
        self.table = torch.zeros(self._worlds, 2 * self.table.shape[1], self._width, device=self._device)
        self.moved = True
        for block in range(self._oldest // BLOCK, self._next_block):
            self._put(block)
