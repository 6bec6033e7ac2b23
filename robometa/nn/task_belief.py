"""Gaussian beliefs over a latent task variable: products of evidence, and memories that learn by predicting a task."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from robometa.data import Rollout, Spaces, Step
from robometa.nn.networks import Perceptron, normal_kl
from robometa.nn.recurrent import Memory


def product_of_gaussians(factors: Tensor, counts: Tensor | None = None) -> tuple[Tensor, Tensor]:
    """Precision and precision-weighted mean of a product of independent Gaussian factors. `[..., latent]` each.

    Args:
        factors: Mean and raw variance of each; softplus makes the raw variance positive. `[..., n, 2 * latent]`
        counts: Mask of the factors to include; all if None. `[..., n]`, bool
    """
    mean, raw = factors.chunk(2, dim=-1)
    precision = 1 / functional.softplus(raw).clamp(min=1e-7)
    if counts is not None:
        precision = precision * counts.unsqueeze(-1)
    # A product of Gaussians is Gaussian: precisions add up, and so do means times precisions.
    return precision.sum(dim=-2), (precision * mean).sum(dim=-2)


class SampledBelief(NamedTuple):
    """A Gaussian belief over a latent task variable with a standard normal prior, and a sample of it."""

    precision: Tensor
    """Sum of the factors' precisions; zero before any evidence. `[..., latent]`"""
    weighted_mean: Tensor
    """Sum of the factors' means times precisions. `[..., latent]`"""
    sample: Tensor
    """The latent variable that the policy acts on. `[..., latent]`"""

    @classmethod
    def prior(cls, draws: Tensor) -> SampledBelief:
        """Belief before any evidence; the standard normal draws are its sample. `[..., latent]`."""
        return cls(torch.zeros_like(draws), torch.zeros_like(draws), draws)

    def multiplied(self, precision: Tensor, weighted_mean: Tensor, draws: Tensor) -> SampledBelief:
        """Belief after more evidence, and a sample of it; the evidence excludes the prior. `[..., latent]` each."""
        precision, weighted_mean = self.precision + precision, self.weighted_mean + weighted_mean
        # Mean plus standard deviation times a standard normal draw.
        sample = weighted_mean / precision + draws * precision.rsqrt()
        # Where there is no evidence the belief is the prior.
        return SampledBelief(precision, weighted_mean, torch.where(precision > 0, sample, draws))


class RememberedBelief(NamedTuple):
    """A Gaussian belief over each world's latent task variable, and the memory state it is computed from."""

    memory: Tensor
    """`[task, world, memory]`"""
    mean: Tensor
    """`[task, world, latent]`"""
    log_variance: Tensor
    """`[task, world, latent]`"""

    @classmethod
    def prior(cls, worlds: tuple[int, int], memory: int, latent: int, device: torch.device) -> RememberedBelief:
        """Standard normal prior with an empty memory; `worlds` is (tasks, worlds)."""
        mean, log_variance = torch.zeros(2, *worlds, latent, device=device)
        return cls(torch.zeros(*worlds, memory, device=device), mean, log_variance)


class KeptTrials(NamedTuple):
    """Trials kept for replay. `[trial, time, ...]` each."""

    obs: Tensor
    """Observation before each action."""
    action: Tensor
    """Action, before any clipping."""
    reward: Tensor
    """Reward of each action. `[..., 1]`"""
    next_obs: Tensor
    """Observation after each action, before any reset."""
    done: Tensor
    """1 where a step ended an episode. `[..., 1]`"""

    @classmethod
    def of_rollout(cls, rollout: Rollout) -> KeptTrials:
        """One trial for every world."""
        done, reward = rollout.done.unsqueeze(-1).float(), rollout.reward.unsqueeze(-1)
        columns = (rollout.obs, rollout.action, reward, rollout.next_obs, done)
        return cls(*(column.flatten(0, 1) for column in columns))

    @classmethod
    def of_columns(cls, columns: Tensor, spaces: Spaces) -> KeptTrials:
        """Trials from a replay's single tensor. `[trial, time, width]`."""
        obs, action = spaces.observation, spaces.action
        return cls(*columns.split((obs, action, 1, obs, 1), dim=-1))

    def columns(self) -> Tensor:
        """All columns, concatenated. `[trial, time, width]`."""
        return torch.cat(self, dim=-1)

    def at(self, steps: Tensor) -> KeptTrials:
        """Selects steps of each trial. `[trial, n]` to `[trial, n, ...]` each."""
        each = torch.arange(len(steps), device=steps.device).unsqueeze(1)
        return KeptTrials(*(column[each, steps] for column in self))

    def seen(self) -> Step:
        """Inputs of a learner before each action, and after the last. `[trial, time + 1, ...]` each."""

        def shifted(values: Tensor) -> Tensor:
            return torch.cat((torch.zeros_like(values[:, :1]), values), dim=1)

        obs = torch.cat((self.obs, self.next_obs[:, -1:]), dim=1)
        return Step(obs, shifted(self.action), shifted(self.reward[..., 0]), shifted(self.done[..., 0]))


class Moves(NamedTuple):
    """Steps of trials, normalised for the decoders."""

    obs: Tensor
    """Observation before each action. `[trial, step, obs]`"""
    action: Tensor
    """`[trial, step, action]`"""
    reward: Tensor
    """Reward of the action. `[trial, step, 1]`"""
    next_obs: Tensor
    """Next observation, before any reset. `[trial, step, obs]`"""


class Encoder(nn.Module):
    """Recurrent encoder: beliefs along a trial."""

    def __init__(self, inputs: int, size: int, latent: int, generator: torch.Generator) -> None:
        """Builds a GRU of `size` numbers, and a layer from it to `latent` means and log variances."""
        super().__init__()
        self.memory = Memory("gru", inputs, size, generator)
        self.head = Perceptron((size, 2 * latent), generator)

    def follow(self, belief: RememberedBelief, inputs: Tensor) -> RememberedBelief:
        """Belief after one more input. `[task, world, inputs]`."""
        after = self.step(inputs.flatten(0, 1), belief.memory.flatten(0, 1))
        return RememberedBelief(*(part.unflatten(0, inputs.shape[:2]) for part in after))

    def step(self, inputs: Tensor, memory: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Memory state after one more input, and mean and log variance of the belief. `[n, inputs], [n, memory]`."""
        memory = self.memory.step(inputs, memory)
        mean, log_variance = self.head(memory).chunk(2, dim=-1)
        return memory, mean, log_variance

    def forward(self, inputs: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and log variance of the beliefs along trials. `[n, time, inputs] -> [n, time, latent]` each."""
        mean, log_variance = self.head(self.memory(inputs)).chunk(2, dim=-1)
        return mean, log_variance


class Decoders(nn.Module):
    """Decoders of reward and, optionally, next observation, given a task's latent variable."""

    def __init__(
        self,
        spaces: Spaces,
        latent: int,
        hidden: Sequence[int],
        states: bool,
        generator: torch.Generator,
        *,
        mean_error: bool = False,
    ) -> None:
        """Initialises the weights.

        Args:
            spaces: Sizes of observations and actions.
            latent: Size of the latent variable.
            hidden: Widths of the hidden layers.
            states: Add the decoder of the next observation.
            generator: Source of the weights.
            mean_error: Take the mean of an observation's squared errors over its dimensions, not their sum.
        """
        super().__init__()
        self.mean_error = mean_error
        obs, action = spaces.observation, spaces.action
        self.reward = Perceptron((latent + 2 * obs + action, *hidden, 1), generator)
        self.next_obs = Perceptron((latent + obs + action, *hidden, obs), generator) if states else None

    def forward(self, latent: Tensor, moves: Moves) -> Tensor:
        """Squared errors of rewards and of next observations, mean over trials, latent variables and steps. `[2]`.

        Args:
            latent: Several for each trial; each predicts all steps of the trial. `[trial, n, latent]`
            moves: The steps. `[trial, step, ...]`
        """
        # Every latent variable of a trial with every step. [trial, n, step, ...]
        started = torch.cat((moves.obs, moves.action), dim=-1)
        reward = self.reward(_pairs(latent, torch.cat((started, moves.next_obs), dim=-1)))
        errors = [(reward - moves.reward.unsqueeze(1)).square().mean()]
        if self.next_obs is None:
            return torch.stack((*errors, torch.zeros_like(errors[0])))
        next_obs = self.next_obs(_pairs(latent, started))
        squared = (next_obs - moves.next_obs.unsqueeze(1)).square()
        errors.append((squared if self.mean_error else squared.sum(dim=-1)).mean())
        return torch.stack(errors)


def sampled(mean: Tensor, log_variance: Tensor, moments: Tensor, draws: Tensor) -> Tensor:
    """Reparametrised (differentiable) samples of the beliefs at some moments of each trial. `[trial, n, latent]`.

    Args:
        mean: Of the beliefs. `[trial, time, latent]`
        log_variance: Of the beliefs. `[trial, time, latent]`
        moments: `[trial, n]`
        draws: Standard normal numbers. `[trial, n, latent]`
    """
    each = torch.arange(len(mean), device=mean.device).unsqueeze(1)
    return mean[each, moments] + (0.5 * log_variance[each, moments]).exp() * draws


def divergences(mean: Tensor, log_variance: Tensor) -> Tensor:
    """KL divergence of each belief from the previous one; the first is compared to the prior. `[trial, time]`.

    Args:
        mean: Of the beliefs. `[trial, time, latent]`
        log_variance: Of the beliefs. `[trial, time, latent]`
    """
    # Each belief's prior is the belief a step before. [trial, time, latent]
    log_std = 0.5 * log_variance
    before = (torch.cat((torch.zeros_like(part[:, :1]), part[:, :-1]), dim=1) for part in (mean, log_std))
    return normal_kl(mean, log_std, *before)


def _pairs(latent: Tensor, steps: Tensor) -> Tensor:
    """Every latent variable of a trial concatenated with every step of it. `[trial, n, step, ...]`."""
    shape = (latent.shape[0], latent.shape[1], steps.shape[1], -1)
    return torch.cat((latent.unsqueeze(2).expand(shape), steps.unsqueeze(1).expand(shape)), dim=-1)
