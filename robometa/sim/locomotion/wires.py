"""The wires of the CPU engine: draws their numbers, and gives every world's model its gains."""

from __future__ import annotations

import copy

import mujoco
import numpy as np
import torch
from torch import Tensor

from robometa.noise import Noise
from robometa.sim.locomotion.numbers import Draws
from robometa.sim.locomotion.wiring import Wiring


class CpuWires(Wiring):
    """Wires of every world on the CPU."""

    def use(self, models: list[mujoco.MjModel], worlds: int) -> list[mujoco.MjModel]:
        """Takes the model of every world, and returns those to step: copies where their gains have errors."""
        self.assign(models[::worlds])
        self._nominal = models
        self._models = models if self.gains is None else [copy.copy(model) for model in models]
        return self._models

    def begin_from(self, noise: Noise) -> None:
        """Draws from this noise from now on."""
        self._draws = Draws(noise.fork("wires"), self.episode.size, self.step.size)

    def restart(self, worlds: np.ndarray, episodes: np.ndarray, state: Tensor, sensed: Tensor) -> None:
        """Begins episodes.

        Args:
            worlds: Index of each world whose episode begins. `[some]`
            episodes: Episode of every world, from 0. `[world]`
            state: States of all worlds. `[world, state]`
            sensed: Readings. `[world, reading]`
        """
        which = torch.zeros(len(state), dtype=torch.bool)
        which[torch.from_numpy(worlds)] = True
        self.begin(which, state, sensed, self._draws.episodes(worlds, episodes))
        self.set_gains(worlds)

    def end(self, after: Tensor, sensed: Tensor) -> tuple[Tensor, Tensor]:
        """Ends a step, and returns the observations and the states to go on from. `[world, obs]`, `[world, state]`."""
        numbers = self._draws.steps(self.clock.long().numpy())
        return self.finish(after, sensed, numbers), self.push(after, numbers)

    def restore(self, memory: np.ndarray) -> None:
        """Puts every world's memory back. `[task, world, number]`."""
        self.memory.copy_(torch.from_numpy(memory).reshape(self.memory.shape))
        self.set_gains(np.arange(len(self.memory)))

    def set_gains(self, worlds: np.ndarray) -> None:
        """Gives the actuators of these worlds the gains of their episode. `[some]`."""
        gains = self.gains
        if gains is not None:
            for world in worlds:
                factor = gains[world].unsqueeze(1).numpy()
                self._models[world].actuator_gainprm[:] = self._nominal[world].actuator_gainprm * factor
                self._models[world].actuator_biasprm[:] = self._nominal[world].actuator_biasprm * factor
