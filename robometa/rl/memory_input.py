"""Input of a memory at a step, which all learners with a memory share."""

from __future__ import annotations

import torch
from torch import Tensor

from robometa.data import Step
from robometa.nn.normalizer import Normalizer


def memory_input(step: Step, observations: Normalizer, rewards: Normalizer) -> Tensor:
    """Normalised observation, and the previous action, reward and end. `[..., obs + action + 2]`."""
    obs, reward = observations(step.obs), rewards(step.last_reward.unsqueeze(-1))
    return torch.cat((obs, step.last_action, reward, step.last_done.unsqueeze(-1).float()), dim=-1)
