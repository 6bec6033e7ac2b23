"""AD, algorithm distillation: Laskin et al. 2022, https://arxiv.org/abs/2210.14215.

Read `_sequences`: a policy with a memory continues learning histories, in which later episodes are better than earlier
ones. The histories are made by noise that shrinks (Zisman et al. 2024, https://arxiv.org/abs/2312.12275). The training
is `rl/imitation_learner.py`, which DPT shares.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from robometa.data import Rollout, Spaces, Step
from robometa.noise import Noise
from robometa.rl import imitation_learner
from robometa.rl.imitation_learner import ImitationLearner


@dataclass(frozen=True)
class Config(imitation_learner.Options):
    """Options of algorithm distillation."""


PRESETS = {"transformer": Config(), "gru": Config(memory="gru")}
"""Presets with a transformer and with a GRU."""


class Ad(ImitationLearner):
    """Learns to continue learning histories; the adaptation is its memory, which persists through a trial."""

    configuration: ClassVar[type] = Config

    def __init__(self, config: Config, spaces: Spaces, seed: int, device: torch.device | str = "cpu") -> None:
        """An untrained network, its weights drawn from `seed`."""
        super().__init__(config, spaces, spaces.observation + spaces.action + 2, 0, seed, device)

    def begin(self, tasks: int, worlds: int, noise: Noise) -> Tensor:
        """An empty memory for each world. `[task, world, state]`."""
        return torch.zeros(tasks, worlds, self.network.memory.state_size, device=self.device)

    @torch.no_grad()
    def act(self, adaptation: Tensor, step: Step, noise: Tensor) -> tuple[Tensor, Tensor]:
        """Actions, and the memory after the step. `[task, world, action]`, `[task, world, state]`."""
        row = self._row(step)
        state = self.network.memory.step(row.flatten(0, 1), adaptation.flatten(0, 1)).unflatten(0, row.shape[:2])
        remembered = state[..., : self.network.memory.size]
        mean, log_std = self.network.gaussian(remembered, remembered[..., :0])
        return mean + log_std.exp() * noise, state

    def _sequences(self, rollout: Rollout, experts: Tensor, generator: torch.Generator) -> tuple[Tensor, ...]:
        rows, taken = self._rows(rollout), rollout.action.clamp(-1.0, 1.0).flatten(0, 1)
        weight = (~rollout.diverged).flatten(0, 1).float()
        return rows, rows[..., :0], taken, experts.flatten(0, 1), weight

    def _outputs(self, inputs: Tensor, query: Tensor) -> tuple[Tensor, Tensor]:
        return self.network.gaussian(self.network.memory(inputs), query)
