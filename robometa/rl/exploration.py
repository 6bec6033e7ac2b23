"""Exploration by noise that falls within a trial and over the training (Grigsby et al. 2024).

Source: https://arxiv.org/abs/2310.09971, figure 13.
"""

from __future__ import annotations

from typing import Protocol

import torch
from torch import Tensor

from robometa.data import Trial

LOGISTIC = 1.702
"""Slope at which the logistic function is within 0.01 of the normal distribution's: exports have no error function."""


class Options(Protocol):
    """Options of a learner that explores so."""

    @property
    def epsilon(self) -> float:
        """Standard deviation of the noise at the start of a trial, in the beginning of the training."""

    @property
    def epsilon_at_end(self) -> float:
        """Standard deviation at the end of a trial, on the same schedule."""

    @property
    def final_epsilon(self) -> float:
        """Standard deviation of the noise at the start of a trial, after `anneal` iterations."""

    @property
    def final_epsilon_at_end(self) -> float:
        """Standard deviation at the end of a trial, on the same schedule."""

    @property
    def anneal(self) -> int:
        """Iterations over which the noise falls."""


class Exploration:
    """Schedule of the noise; it counts iterations, and keeps the length of the trials that it has seen."""

    def __init__(self, options: Options) -> None:
        """A schedule at its beginning, which knows no trial yet."""
        self.options, self.updates, self.length = options, 0, 0

    def scale(self, time: Tensor, draw: Tensor) -> Tensor:
        """Standard deviation of the noise of each world.

        Args:
            time: Steps of the trial so far. `[...]`
            draw: Standard normal number of the trial; its rank, uniform in 0..1, is a factor. `[...]`
        """
        options, share = self.options, min(self.updates / self.options.anneal, 1.0)
        first = options.epsilon + share * (options.final_epsilon - options.epsilon)
        last = options.epsilon_at_end + share * (options.final_epsilon_at_end - options.epsilon_at_end)
        passed = (time / max(self.length, 1)).clamp(max=1.0) if self.length else torch.zeros_like(time)
        factor = torch.sigmoid(LOGISTIC * draw)
        return factor * (first + passed * (last - first))

    @staticmethod
    def action(mean: Tensor, log_std: Tensor, noise: Tensor, scale: Tensor) -> Tensor:
        """Actions of a squashed Gaussian policy that explores; those without noise are its mean actions.

        The policy's mean shrinks as exploration grows: noise on a saturated tanh would change nothing, so that critics
        would see no other actions than the policy's.

        Args:
            mean: Before the squashing. `[..., action]`
            log_std: `[..., action]`
            noise: Standard normal numbers, or 0. `[..., action]`
            scale: Standard deviation of exploration. `[..., 1]`
        """
        std = (log_std.exp().square() + scale.square()).sqrt()  # of the sum of two independent noises
        shrunk = mean * (1 - scale.clamp(max=1) * (noise != 0))
        return torch.tanh(shrunk + std * noise)

    def count(self, trial: Trial) -> None:
        """Counts an iteration."""
        self.updates += 1
        self.length = sum(rollout.reward.shape[2] for rollout in trial.rollouts)

    def state_dict(self) -> dict[str, Tensor]:
        """The counts."""
        return {"updates": torch.tensor(self.updates), "length": torch.tensor(self.length)}

    def load_state_dict(self, state: dict[str, Tensor]) -> None:
        """Restores the counts."""
        self.updates, self.length = int(state["updates"]), int(state["length"])
