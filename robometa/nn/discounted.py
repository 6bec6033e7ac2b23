"""A memory with actors and classifying critics for several discounts.

Critics predict a distribution over bins of returns (Farebrother et al. 2024, https://arxiv.org/abs/2403.03950), which
are spaced on a symmetric logarithm (Hafner et al. 2023, https://arxiv.org/abs/2301.04104). Their loss, a cross-entropy,
does not depend on the scale of rewards.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Protocol

import torch
from torch import Tensor, nn

from robometa.errors import UserError
from robometa.nn.networks import Perceptron, check_size, normal_log_density
from robometa.nn.recurrent import Memory
from robometa.nn.transformer import Transformer

LOWEST_LOG_STD, HIGHEST_LOG_STD = -5.0, 2.0
"""Bounds of an actor's log standard deviation."""
LARGEST_ACTION = 0.9999
"""Largest absolute action whose density is computed; tanh reaches 1 nowhere."""
LARGEST_JUDGED = 0.999
"""Largest absolute action that critics see, so that climbing them does not saturate tanh."""


def symlog(x: Tensor) -> Tensor:
    """Symmetric logarithm: sign(x) log(1 + |x|)."""
    return x.sign() * x.abs().log1p()


def symexp(x: Tensor) -> Tensor:
    """Inverse of `symlog`."""
    return x.sign() * x.abs().expm1()


class Actors(Perceptron):
    """A tanh-squashed Gaussian policy for each discount."""

    def __init__(
        self, inputs: int, action: int, discounts: int, hidden: Sequence[int], generator: torch.Generator
    ) -> None:
        """Initialises the weights; the means are close to 0 everywhere."""
        widths = (inputs, *hidden, 2 * discounts * action)
        super().__init__(widths, generator, last_limit=1e-3)
        self.discounts, self.action = discounts, action

    def distribution(self, features: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and log standard deviation before the squashing. `[..., discount, action]` each."""
        mean, bounded = self(features).unflatten(-1, (self.discounts, 2 * self.action)).chunk(2, dim=-1)
        half = (HIGHEST_LOG_STD - LOWEST_LOG_STD) / 2
        return mean, LOWEST_LOG_STD + half * (1 + torch.tanh(bounded))


def log_density(action: Tensor, mean: Tensor, log_std: Tensor) -> Tensor:
    """Log density of actions in -1..1 under squashed Gaussians. `[..., action] -> [...]`."""
    inside = action.clamp(-LARGEST_ACTION, LARGEST_ACTION)
    # Change of variables by tanh, whose slope is 1 - tanh^2.
    return normal_log_density(torch.atanh(inside), mean, log_std) - (1 - inside.square()).log().sum(dim=-1)


class TwoHot(nn.Module):
    """Bins of returns, equally spaced on the symmetric logarithm."""

    places: Tensor

    def __init__(self, bins: int, lowest: float, highest: float) -> None:
        """Places `bins` bins from the lowest to the highest return; returns beyond are clipped."""
        super().__init__()
        if not lowest < highest:
            raise UserError(f"lowest_return {lowest:g} must be below highest_return {highest:g}")
        low, high = (math.copysign(math.log1p(abs(end)), end) for end in (lowest, highest))
        self.register_buffer("places", torch.linspace(low, high, bins), persistent=False)
        self.low, self.width, self.last = low, (high - low) / (bins - 1), bins - 1

    def value(self, logits: Tensor) -> Tensor:
        """Return that a distribution over bins stands for. `[..., bin] -> [...]`."""
        return symexp(logits.softmax(dim=-1) @ self.places)

    def loss(self, logits: Tensor, wanted: Tensor) -> Tensor:
        """Cross-entropy to returns that are split between the two nearest bins. `[..., bin], [...] -> [...]`."""
        place = ((symlog(wanted) - self.low) / self.width).clamp(0, self.last)
        below = place.floor().clamp(max=self.last - 1)
        share, index = place - below, below.long().unsqueeze(-1)
        log_share = logits.log_softmax(dim=-1)
        # Only two bins of the target are not 0.
        lower = log_share.gather(-1, index.expand(*log_share.shape[:-1], 1))[..., 0]
        upper = log_share.gather(-1, (index + 1).expand(*log_share.shape[:-1], 1))[..., 0]
        return -((1 - share) * lower + share * upper)


class Critics(nn.Module):
    """An ensemble of classifying critics, whose values depend on the discount that they read.

    A critic reads features, an action, and log(1 + 1 / (1 - discount)). The layers of all critics are computed at once.
    """

    horizon: Tensor

    def __init__(
        self,
        inputs: int,
        action: int,
        discounts: Sequence[float],
        hidden: Sequence[int],
        members: int,
        two_hot: TwoHot,
        generator: torch.Generator,
    ) -> None:
        """Initialises the members with different weights; their first values are close to 0."""
        super().__init__()
        self.two_hot = two_hot
        bins = two_hot.last + 1
        widths = (inputs + action + 1, *hidden, bins)
        check_size(members * sum(into * out for into, out in zip(widths[:-1], widths[1:], strict=True)), "critics")
        self.split = (inputs, action, 1)
        self.weights, self.biases = nn.ParameterList(), nn.ParameterList()
        for into, out in zip(widths[:-1], widths[1:], strict=True):
            last = len(self.weights) == len(hidden)
            limit = 1e-3 if last else 1 / math.sqrt(into)
            draws = [torch.rand(members, rows, out, generator=generator) for rows in (into, 1)]
            weight, bias = ((2 * draw - 1) * limit for draw in draws)
            self.weights.append(nn.Parameter(weight))
            self.biases.append(nn.Parameter(bias))
        horizon = symlog(1 / (1 - torch.tensor(discounts))).unsqueeze(-1)  # [discount, 1]
        self.register_buffer("horizon", horizon, persistent=False)

    def forward(
        self, features: Tensor, action: Tensor, members: Tensor | None = None, *, frozen: bool = False
    ) -> Tensor:
        """Logits of the return of actions.

        Args:
            features: `[n, features]`
            action: For each discount, or one for all of them. `[n, discount or 1, action]`
            members: Indices of the critics to ask; all if None.
            frozen: Keep gradients from the weights.

        Returns:
            `[critic, n, discount, bin]`
        """
        layers = [part.detach() if frozen else part for part in (*self.weights, *self.biases)]
        chosen = layers if members is None else [part[members] for part in layers]
        weights, biases = chosen[: len(self.weights)], chosen[len(self.weights) :]
        # The first layer: the features' part is the same for every discount and action.
        of_features, of_action, of_discount = weights[0].split(self.split, dim=1)
        count, discounts, action = len(features), len(self.horizon), action.clamp(-LARGEST_JUDGED, LARGEST_JUDGED)
        x = (features @ of_features + biases[0]).unsqueeze(2)  # [critic, n, 1, width]
        x = x + (action.flatten(0, 1) @ of_action).unflatten(1, action.shape[:2])
        x = x + (self.horizon @ of_discount).unsqueeze(1)  # [critic, n, discount, width]
        x = x.flatten(1, 2)
        for weight, bias in zip(weights[1:], biases[1:], strict=True):
            x = torch.baddbmm(bias, x.relu(), weight)
        return x.unflatten(1, (count, discounts))

    def value(self, features: Tensor, action: Tensor, members: Tensor | None = None) -> Tensor:
        """Values of actions. `[critic, n, discount]`."""
        return self.two_hot.value(self(features, action, members))


class Sizes(Protocol):
    """Options of a `DiscountedActorCritic`."""

    @property
    def step_hidden(self) -> tuple[int, ...]:
        """Widths of the layers from a step to the memory."""

    @property
    def hidden(self) -> tuple[int, ...]:
        """Widths of the hidden layers of actors and critics."""

    @property
    def discounts(self) -> tuple[float, ...]:
        """Discounts, the acting one last."""

    @property
    def critics(self) -> int:
        """Critics of the ensemble."""

    @property
    def bins(self) -> int:
        """Bins of returns."""

    @property
    def lowest_return(self) -> float:
        """Return of the lowest bin."""

    @property
    def highest_return(self) -> float:
        """Return of the highest bin."""


class DiscountedActorCritic(nn.Module):
    """Encoders of a step and of the trial, and actors and critics that read the memory's output beside the step."""

    discounts: Tensor

    def __init__(
        self, sizes: Sizes, inputs: int, action: int, memory: Memory | Transformer, generator: torch.Generator
    ) -> None:
        """Initialises the weights.

        Args:
            sizes: Widths and numbers.
            inputs: Numbers of a step.
            action: Numbers of an action.
            memory: Encoder of the trial, whose inputs are as wide as its outputs.
            generator: Source of the other weights.
        """
        super().__init__()
        width, count = memory.size, len(sizes.discounts)
        self.step = Perceptron((inputs, *sizes.step_hidden, width), generator)
        self.memory = memory
        self.actors = Actors(width + inputs, action, count, sizes.hidden, generator)
        two_hot = TwoHot(sizes.bins, sizes.lowest_return, sizes.highest_return)
        self.critics = Critics(width + inputs, action, sizes.discounts, sizes.hidden, sizes.critics, two_hot, generator)
        self.register_buffer("discounts", torch.tensor(sizes.discounts), persistent=False)

    def remember(self, inputs: Tensor, state: Tensor) -> Tensor:
        """State of the memory after one more step. `[n, inputs], [n, state]`."""
        return self.memory.step(self.step(inputs).relu(), state)

    def features(self, inputs: Tensor) -> Tensor:
        """Outputs of a memory that begins empty, beside the steps. `[n, time, inputs] -> [n, time, features]`."""
        return torch.cat((self.memory(self.step(inputs).relu()), inputs), dim=-1)

    def policy(self, inputs: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and log standard deviation of the last discount's policy.

        Args:
            inputs: The step. `[..., inputs]`
            state: State of the memory after it. `[..., state]`

        Returns:
            `[..., action]` each.
        """
        mean, log_std = self.actors.distribution(torch.cat((state[..., : self.memory.size], inputs), dim=-1))
        return mean[..., -1, :], log_std[..., -1, :]
