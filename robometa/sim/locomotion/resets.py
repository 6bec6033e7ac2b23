"""The noise of every episode's beginning, drawn for a block of episodes at once and handed out world by world."""

from __future__ import annotations

import numpy as np

from robometa.noise import Noise

BLOCK = 8
"""Episodes for which every world's noise is drawn at once: drawing it world by world costs more than the physics."""


class Starts:
    """Numbers for the beginnings of episodes, a function of noise, world and episode alone."""

    def __init__(self, noise: Noise, positions: int, velocities: int, normal: bool) -> None:
        """Draws nothing yet.

        Args:
            noise: Keys the numbers.
            positions: How many positions a world has.
            velocities: How many velocities it has.
            normal: Whether the velocities' numbers are standard normal; uniform in -1..1 otherwise.
        """
        self.noise, self.positions, self.velocities, self.normal = noise, positions, velocities, normal
        self._drawn: dict[int, tuple[np.ndarray, np.ndarray]] = {}

    def of(self, worlds: np.ndarray, episodes: np.ndarray, oldest: int) -> tuple[np.ndarray, np.ndarray]:
        """Numbers uniform in 0..1 for positions, and numbers for velocities. `[world, position]`, `[world, velocity]`.

        Args:
            worlds: Index of each world. `[world]`
            episodes: Index of the episode that begins in each world. `[world]`
            oldest: Earliest episode that any world may still need; older blocks are dropped.
        """
        positions, velocities = np.empty((len(worlds), self.positions)), np.empty((len(worlds), self.velocities))
        for block in set((episodes // BLOCK).tolist()):
            if block not in self._drawn:
                self._drawn = {key: value for key, value in self._drawn.items() if key >= oldest // BLOCK}
                self._drawn[block] = self.block(block)
            here = episodes // BLOCK == block
            place = worlds[here], episodes[here] % BLOCK
            positions[here], velocities[here] = self._drawn[block][0][place], self._drawn[block][1][place]
        return positions, velocities

    def block(self, block: int) -> tuple[np.ndarray, np.ndarray]:
        """Every world's numbers for a block of episodes. `[world, episode, position]`, `[world, episode, velocity]`."""
        positions = self.noise.fork("positions", block).uniform(BLOCK, self.positions)
        source = self.noise.fork("velocities", block)
        size = (BLOCK, self.velocities)
        velocities = source.normal(*size).double() if self.normal else 2 * source.uniform(*size) - 1
        return positions.flatten(0, 1).numpy(), velocities.flatten(0, 1).numpy()
