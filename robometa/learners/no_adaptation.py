"""One policy for all tasks, trained with PPO: Schulman et al. 2017, https://arxiv.org/abs/1707.06347.

Read `OnePolicy` in `rl/ppo_on_episodes.py`: `experience` computes advantages, `ppo.update` takes the gradient steps.
There is no adaptation.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, ClassVar

import torch

from robometa.data import Spaces
from robometa.errors import Search
from robometa.rl import ppo
from robometa.rl.ppo_on_episodes import OnePolicy


@dataclass(frozen=True)
class Config(ppo.Options):
    """Options of the policy without adaptation."""

    tasks: Annotated[int, "[1, inf)", Search(16, 128, log=True)] = 64
    """Tasks of an iteration."""
    worlds: Annotated[int, "[1, inf)"] = 4
    """Worlds of each task."""
    shots: Annotated[int, "[0, inf)"] = 0
    """Adaptations within a training trial, which change nothing."""
    minibatches: Annotated[int, "[1, inf)", Search(4, 32, log=True)] = 16
    """Gradient steps of a pass, each on its share of the experience."""
    learning_rate: Annotated[float, "(0, inf)", Search(1e-4, 3e-3, log=True)] = 1e-3
    """Learning rate of Adam."""
    drawn_tasks: Annotated[int, "[0, inf)"] = 0
    """Tasks to train on, drawn from the suite's distributions if it has any; 0 uses the listed tasks. The oracle
    has 1000: with as many, the two differ in being told alone."""
    hidden: Annotated[tuple[int, ...], "[1, inf)", Search(16, 256, log=True, depth=(1, 3))] = (128, 128)
    """Widths of the hidden layers of policy and value, tanh."""


class NoAdaptation(OnePolicy):
    """Learns the policy that is best for the mean over tasks, without identifying the task."""

    configuration: ClassVar[type] = Config

    def __init__(self, config: Config, spaces: Spaces, seed: int, device: torch.device | str = "cpu") -> None:
        """Untrained networks, their weights drawn from `seed`."""
        super().__init__(config, config.hidden, spaces, seed, device)
