"""Transitions of a rollout, and the last ones of each world."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from robometa.data import Rollout, Step


class LastTransitions(NamedTuple):
    """Each world's last transitions, to refit a model to."""

    window: Tensor
    """Transitions, the latest last. `[task, world, past, transition]`"""
    filled: Tensor
    """Number of transitions so far, at most the window. `[task, world]`"""
    last_obs: Tensor
    """Observation of the previous step. `[task, world, obs]`"""

    @classmethod
    def none(cls, worlds: tuple[int, int], past: int, obs: int, width: int, device: torch.device) -> LastTransitions:
        """Empty window of `past` transitions of `width` numbers; `worlds` is (tasks, worlds)."""
        sizes = (past, width), (), (obs,)
        return cls(*(torch.zeros(*worlds, *size, device=device) for size in sizes))

    def after(self, step: Step) -> LastTransitions:
        """Appends the latest transition, except after an episode's end, where the observation comes from a reset."""
        action, reward = step.last_action.clamp(-1, 1), step.last_reward.unsqueeze(-1)
        # The transition from the step before into this one. [task, world, transition]
        latest = torch.cat((self.last_obs, action, step.obs - self.last_obs, reward), dim=-1)
        moved = torch.cat((self.window[:, :, 1:], latest.unsqueeze(2)), dim=2)
        window = torch.where(step.last_done[..., None, None], self.window, moved)
        filled = (self.filled + ~step.last_done).clamp(max=window.shape[2])
        return LastTransitions(window, filled, self.last_obs)

    def weight(self) -> Tensor:
        """1 for the filled places of the window, 0 for others. `[task, world, past]`."""
        past = self.window.shape[2]
        place = torch.arange(past, device=self.filled.device)
        return (place >= past - self.filled.unsqueeze(-1)).to(self.filled.dtype)


def transitions_of(rollout: Rollout) -> Tensor:
    """Obs, action, change of obs, and reward of every step. `[task, world, time, transition]`."""
    change = rollout.next_obs - rollout.obs
    return torch.cat((rollout.obs, rollout.action.clamp(-1, 1), change, rollout.reward.unsqueeze(-1)), dim=-1)
