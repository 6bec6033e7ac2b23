"""DPT, decision-pretrained transformer: Lee et al. 2023, https://arxiv.org/abs/2306.14892.

Read `_sequences`: transitions of a trial in any order are the context, and the expert's action at any step of it is
what the policy has to predict. The training is `rl/imitation_learner.py`, which algorithm distillation shares.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor
from torch.nn import functional

from robometa.compute.cuda_graphs import uploaded
from robometa.data import Rollout, Spaces, Step
from robometa.nn.transformer import Transformer
from robometa.noise import Noise
from robometa.rl import imitation_learner
from robometa.rl.imitation_learner import ImitationLearner


@dataclass(frozen=True)
class Config(imitation_learner.Options):
    """Options of DPT."""


PRESETS = {"transformer": Config(), "gru": Config(memory="gru")}
"""Presets with a transformer and with a GRU."""
NO_SLOPE = -30.0
"""Log slope of the attention with which no transition is nearer than another."""


class Dpt(ImitationLearner):
    """Learns to predict an expert's action from any transitions of the task; acts on the transitions of its trial."""

    configuration: ClassVar[type] = Config

    def __init__(self, config: Config, spaces: Spaces, seed: int, device: torch.device | str = "cpu") -> None:
        """An untrained network, its weights drawn from `seed`."""
        self.row = spaces.observation + spaces.action + 2
        super().__init__(config, spaces, self.row + spaces.observation, spaces.observation, seed, device)
        if isinstance(self.network.memory, Transformer):
            for block in self.network.memory.blocks:
                slope = block.get_parameter("log_slope")
                slope.requires_grad_(False).fill_(NO_SLOPE)

    def begin(self, tasks: int, worlds: int, noise: Noise) -> Tensor:
        """No observation and no transition yet. `[task, world, 1 + obs + state]`."""
        size = 1 + self.spaces.observation + self.network.memory.state_size
        return torch.zeros(tasks, worlds, size, device=self.device)

    @torch.no_grad()
    def act(self, adaptation: Tensor, step: Step, noise: Tensor) -> tuple[Tensor, Tensor]:
        """Actions, and the context with the last transition. `[task, world, action]`, `[task, world, ...]`."""
        begun, before, state = adaptation.tensor_split((1, 1 + self.spaces.observation), dim=-1)
        row = self._row(step)
        token = torch.cat((before, row), dim=-1).flatten(0, 1)
        after = self.network.memory.step(token, state.flatten(0, 1)).unflatten(0, state.shape[:2])
        state = torch.where(begun > 0.5, after, state)  # a trial's first step ends no transition
        obs = row[..., : self.spaces.observation]
        mean, log_std = self.network.gaussian(state[..., : self.network.memory.size], obs)
        return mean + log_std.exp() * noise, torch.cat((torch.ones_like(begun), obs, state), dim=-1)

    def _sequences(self, rollout: Rollout, experts: Tensor, generator: torch.Generator) -> tuple[Tensor, ...]:
        rows, size = self._rows(rollout), self.spaces.observation
        trials, time = rows.shape[:2]
        transitions = torch.cat((rows[:, :-1, :size], rows[:, 1:]), dim=-1)  # [trial, time - 1, token]
        order = torch.rand(trials, time - 1, generator=generator).argsort(dim=1)
        queried = torch.randint(time, (trials, time), generator=generator)
        order, queried = uploaded(order, self.device), uploaded(queried, self.device)
        trial = torch.arange(trials, device=self.device).unsqueeze(1)
        wanted = experts.flatten(0, 1)[trial, queried]
        weight = (~rollout.diverged).flatten(0, 1)[trial, queried].float()
        return transitions[trial, order], rows[trial, queried, :size], wanted, wanted, weight

    def _outputs(self, inputs: Tensor, query: Tensor) -> tuple[Tensor, Tensor]:
        # Before each prediction there are as many transitions as predictions.
        remembered = functional.pad(self.network.memory(inputs), (0, 0, 1, 0))
        return self.network.gaussian(remembered, query)
