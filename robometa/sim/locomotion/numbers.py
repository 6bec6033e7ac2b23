"""Random numbers by world and place, such as its episode or its step: functions of the noise alone."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from robometa.noise import Noise

BLOCK = 8
"""Places for which every world's numbers are drawn at once."""
SMALLEST = 1e-12
"""Distance from 0 and 1 of the uniform numbers that become normal ones."""


class Numbers:
    """Numbers uniform in 0..1 for every world and place."""

    def __init__(self, noise: Noise, size: int) -> None:
        """Draws nothing yet.

        Args:
            noise: Keys the numbers.
            size: How many a world has at a place.
        """
        self._noise, self._size = noise, size
        self._drawn: dict[int, np.ndarray] = {}

    def of(self, worlds: np.ndarray, places: np.ndarray, oldest: int) -> np.ndarray:
        """Numbers of some worlds, each at its place. `[world, number]`.

        Args:
            worlds: Index of each world. `[world]`
            places: Its place. `[world]`
            oldest: Earliest place that any world may still need; older blocks are dropped.
        """
        numbers = np.empty((len(worlds), self._size))
        if not self._size:
            return numbers
        blocks = places // BLOCK
        for block in np.unique(blocks).tolist():
            if block not in self._drawn:
                self._drawn = {key: value for key, value in self._drawn.items() if key >= oldest // BLOCK}
                self._drawn[block] = self.block(block)
            here = blocks == block
            numbers[here] = self._drawn[block][worlds[here], places[here] % BLOCK]
        return numbers

    def block(self, block: int) -> np.ndarray:
        """Every world's numbers for a block of places. `[world, place, number]`."""
        drawn: np.ndarray = self._noise.fork(block).uniform(BLOCK, self._size).flatten(0, 1).numpy()
        return drawn


def normal(uniform: Tensor) -> Tensor:
    """Standard normal numbers from uniform ones."""
    return torch.special.ndtri(uniform.clamp(SMALLEST, 1 - SMALLEST))


class Draws:
    """Numbers of the episodes and of the steps of every world."""

    def __init__(self, noise: Noise, episode: int, step: int) -> None:
        """Draws nothing yet.

        Args:
            noise: Keys the numbers.
            episode: Numbers of an episode.
            step: Numbers of a step.
        """
        self.of_episodes = Numbers(noise.fork("episode"), episode)
        self._of_steps, self._episode = Numbers(noise.fork("step"), step), episode

    def episodes(self, worlds: np.ndarray, episodes: np.ndarray) -> Tensor:
        """Numbers of the episodes that begin in some worlds, zeros for the others. `[world, number]`, float64.

        Args:
            worlds: Index of each world whose episode begins. `[some]`
            episodes: Episode of every world, from 0. `[world]`
        """
        numbers = np.zeros((len(episodes), self._episode))
        numbers[worlds] = self.of_episodes.of(worlds, episodes[worlds], int(episodes.min()))
        return torch.from_numpy(numbers)

    def steps(self, clock: np.ndarray) -> Tensor:
        """Numbers of every world's step. `[world, number]`, float64.

        Args:
            clock: Steps that each world has made. `[world]`, int64
        """
        return torch.from_numpy(self._of_steps.of(np.arange(len(clock)), clock, int(clock.min())))
