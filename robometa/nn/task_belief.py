"""Gaussian beliefs over a latent task variable: products of evidence, and memories that learn by predicting a task."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from robometa.data import Spaces
from robometa.nn.networks import Perceptron, normal_kl
from robometa.nn.recurrent import Memory


def product_of_gaussians(factors: Tensor, counts: Tensor | None = None) -> tuple[Tensor, Tensor]:
    """Precision and precision-weighted mean of a product of independent Gaussian factors. `[..., latent]` each

    Args:
        factors: Mean and raw variance of each; softplus makes the raw variance positive. `[..., n, 2 * latent]`
        counts: The factors that count; all if None. `[..., n]`, bool
    """
    mean, raw = factors.chunk(2, dim=-1)
    precision = 1 / functional.softplus(raw).clamp(min=1e-7)
    if counts is not None:
        precision = precision * counts.unsqueeze(-1)
    # A product of Gaussians is Gaussian: precisions add up, and so do means times precisions.
    return precision.sum(dim=-2), (precision * mean).sum(dim=-2)


class SampledBelief(NamedTuple):
    """A Gaussian belief over a latent task variable, whose prior is standard normal, and a sample of it."""

    precision: Tensor
    """Sum of the factors' precisions; zero before any evidence. `[..., latent]`"""
    weighted_mean: Tensor
    """Sum of the factors' means times precisions. `[..., latent]`"""
    sample: Tensor
    """The latent variable that the policy acts on. `[..., latent]`"""

    @classmethod
    def prior(cls, draws: Tensor) -> SampledBelief:
        """The belief before any evidence; the standard normal draws are its sample. `[..., latent]`"""
        return cls(torch.zeros_like(draws), torch.zeros_like(draws), draws)

    def multiplied(self, precision: Tensor, weighted_mean: Tensor, draws: Tensor) -> SampledBelief:
        """The belief after more evidence, which the prior is not part of, and a sample of it. `[..., latent]` each"""
        precision, weighted_mean = self.precision + precision, self.weighted_mean + weighted_mean
        sample = weighted_mean / precision + draws * precision.rsqrt()
        # Where there is no evidence the belief is the prior.
        return SampledBelief(precision, weighted_mean, torch.where(precision > 0, sample, draws))


class Moves(NamedTuple):
    """Steps of trials as the decoders see them, normalised."""

    obs: Tensor
    """Before each action. `[trial, step, obs]`"""
    action: Tensor
    """`[trial, step, action]`"""
    reward: Tensor
    """What it was paid. `[trial, step, 1]`"""
    next_obs: Tensor
    """What it led to, before any reset. `[trial, step, obs]`"""


class Encoder(nn.Module):
    """The belief along a trial, read from a memory of it."""

    def __init__(self, inputs: int, size: int, latent: int, generator: torch.Generator) -> None:
        """Untrained: a gated recurrent unit of `size` numbers, and a layer from it to `latent` means and variances."""
        super().__init__()
        self.memory = Memory("gru", inputs, size, generator)
        self.head = Perceptron((size, 2 * latent), generator)

    def step(self, inputs: Tensor, memory: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """The memory after one more input, and mean and log variance of the belief. `[n, inputs], [n, memory]`"""
        memory = self.memory.step(inputs, memory)
        mean, log_variance = self.head(memory).chunk(2, dim=-1)
        return memory, mean, log_variance

    def forward(self, inputs: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and log variance of the beliefs along trials. `[n, time, inputs] -> [n, time, latent]` each"""
        mean, log_variance = self.head(self.memory(inputs)).chunk(2, dim=-1)
        return mean, log_variance


class Decoders(nn.Module):
    """What a task pays for a step and, if asked for, what an action leads to on it, given its latent variable."""

    def __init__(
        self, spaces: Spaces, latent: int, hidden: Sequence[int], states: bool, generator: torch.Generator
    ) -> None:
        """Untrained; `states` asks for what an action leads to."""
        super().__init__()
        obs, action = spaces.observation, spaces.action
        self.reward = Perceptron((latent + 2 * obs + action, *hidden, 1), generator)
        self.next_obs = Perceptron((latent + obs + action, *hidden, obs), generator) if states else None

    def forward(self, latent: Tensor, moves: Moves) -> Tensor:
        """Squared errors of rewards and of next observations, mean over trials, latent variables and steps. `[2]`

        Args:
            latent: Several for each trial; each of them predicts all of the trial's steps. `[trial, n, latent]`
            moves: The steps. `[trial, step, ...]`
        """
        started = torch.cat((moves.obs, moves.action), dim=-1)
        reward = self.reward(_pairs(latent, torch.cat((started, moves.next_obs), dim=-1)))
        errors = [(reward - moves.reward.unsqueeze(1)).square().mean()]
        if self.next_obs is None:
            return torch.stack((*errors, torch.zeros_like(errors[0])))
        next_obs = self.next_obs(_pairs(latent, started))
        errors.append((next_obs - moves.next_obs.unsqueeze(1)).square().sum(dim=-1).mean())
        return torch.stack(errors)


def divergences(mean: Tensor, log_variance: Tensor) -> Tensor:
    """KL divergence from each belief of a trial to the one before, the first one's to the prior. `[trial, time]`

    Args:
        mean: Of the beliefs. `[trial, time, latent]`
        log_variance: Of the beliefs. `[trial, time, latent]`
    """
    log_std = 0.5 * log_variance
    before = (torch.cat((torch.zeros_like(part[:, :1]), part[:, :-1]), dim=1) for part in (mean, log_std))
    return normal_kl(mean, log_std, *before)


def _pairs(latent: Tensor, steps: Tensor) -> Tensor:
    """Each latent variable of a trial beside each of its steps. `[trial, n, step, ...]`"""
    shape = (latent.shape[0], latent.shape[1], steps.shape[1], -1)
    return torch.cat((latent.unsqueeze(2).expand(shape), steps.unsqueeze(1).expand(shape)), dim=-1)
