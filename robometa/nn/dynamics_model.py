"""Learned models of dynamics and reward: networks that are plain functions of flat parameter vectors, and ensembles."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field

import torch
from torch import Tensor
from torch.nn import functional

from robometa.data import Meaning, Spaces
from robometa.nn.networks import check_size
from robometa.nn.normalizer import Normalizer

ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "relu": torch.relu,
    "swish": functional.silu,
    "hardswish": functional.hardswish,
}
"""Activations by name. The hard swish costs a processor a fifth of the swish."""
BOUNDS = (-10.0, 0.5)
"""Initial bounds of a log variance, in units of an outcome's own variance."""
BOUNDS_WEIGHT = 0.01
"""Weight in the loss of how far the bounds of variances are apart."""


@dataclass(frozen=True)
class Form:
    """Form of a model."""

    hidden: tuple[int, ...]
    """Widths of the hidden layers."""
    activation: str = "relu"
    """Name of an activation."""
    probabilistic: bool = False
    """Predict a log variance for each number of the outcome, too."""
    context: int = 0
    """Numbers that describe the task, beside obs and action."""
    meaning: Meaning = field(default_factory=Meaning)
    """Meaning of the observation, as far as the model uses it."""


class DynamicsModel:
    """A multilayer perceptron from obs, action and context to an outcome: the change of obs, and the reward.

    It holds the normalisation statistics of inputs and outputs, and the bounds of log variances, but no parameters.
    Every method takes a parameter vector for each group of rows, `[group, parameter]`. A *transition* is the
    concatenation of obs, action, change of obs, and reward. An *input* is that of action and context.
    """

    def __init__(self, spaces: Spaces, form: Form, device: torch.device | str = "cpu") -> None:
        """Lays out a model.

        Raises:
            UserError: If it is too large.
        """
        obs, action = spaces.observation, spaces.action
        self.form, self.meaning = form, form.meaning
        self.widths = (obs, action, obs + 1)
        self.transition = sum(self.widths)
        """Width of a transition."""
        self.pitch = self.meaning.pitch
        turns = () if self.pitch is None else (self.pitch,)
        self.features = obs + 2 * len(turns)
        """Width of what the network sees of an observation: the pitch is a sine and a cosine."""
        self.encoded = self.features + action + obs + 1
        """Width of a transition as a network reads it."""
        self.targets = obs + (self.meaning.reward is None)
        """Width of the predicted outcome: a known reward is not predicted."""
        sizes = (self.features + action + form.context, *form.hidden, self.targets * (1 + form.probabilistic))
        self.layers = list(zip(sizes[:-1], sizes[1:], strict=True))
        check_size(sum((into + 1) * out for into, out in self.layers), f"hidden {form.hidden}")
        self.seen = Normalizer(obs, device=device, blind=(*self.meaning.free, *turns))
        self.outcome = Normalizer(obs + 1, device=device)
        self.bounds = torch.tensor(BOUNDS, device=device).unsqueeze(1).repeat(1, self.targets)
        """Least and largest log variance, which are learned. `[2, target]`"""
        self.activation = ACTIVATIONS[form.activation]

    def initial(self, generator: torch.Generator) -> Tensor:
        """Weights and biases, uniform within 1 / sqrt(inputs of the layer). `[parameter]`."""
        parts = [
            (2 * torch.rand((into + 1) * out, generator=generator) - 1) / math.sqrt(into) for into, out in self.layers
        ]
        return torch.cat(parts)

    def include(self, transitions: Tensor) -> None:
        """Adds transitions to the statistics."""
        obs, _, outcome = transitions.split(self.widths, dim=-1)
        self.seen.include(obs)
        self.outcome.include(outcome)

    def cut(self, parameters: Tensor) -> list[tuple[Tensor, Tensor]]:
        """Weights and biases of each layer. `[group, into, out]`, `[group, 1, out]`."""
        # One split, not a slice for each layer: the gradient of a slice is as long as all parameters.
        parts = iter(parameters.split([size for into, out in self.layers for size in (into * out, out)], dim=1))
        return [(next(parts).unflatten(1, layer), next(parts).unsqueeze(1)) for layer in self.layers]

    def seen_of(self, obs: Tensor) -> Tensor:
        """Features of observations. `[..., features]`."""
        seen = self.seen(obs)
        if self.pitch is None:
            return seen
        pitch = obs[..., self.pitch : self.pitch + 1]
        return torch.cat((seen, pitch.sin(), pitch.cos()), dim=-1)

    def encoding(self, transitions: Tensor) -> Tensor:
        """Transitions as a network can read them: features of obs, action, and the normalised outcome.

        `[..., transition] -> [..., encoded]`
        """
        obs, action, outcome = transitions.split(self.widths, dim=-1)
        return torch.cat((self.seen_of(obs), action, self.outcome(outcome)), dim=-1)

    def predicted(self, parameters: Tensor, obs: Tensor, inputs: Tensor) -> tuple[Tensor, Tensor | None]:
        """Predicts the normalised outcome, and its log variance if the model has one. `[group, n, target]`.

        Args:
            parameters: `[group, parameter]`
            obs: Unnormalised. `[group, n, obs]`
            inputs: Action and context. `[group, n, action + context]`
        """
        x = torch.cat((self.seen_of(obs), inputs), dim=-1)
        for index, (weight, bias) in enumerate(self.cut(parameters)):
            x = torch.baddbmm(bias, self.activation(x) if index else x, weight)
        if not self.form.probabilistic:
            return x, None
        # Soft bounds from above and below, as in PETS.
        mean, log_variance = x.chunk(2, dim=-1)
        low, high = self.bounds
        log_variance = high - functional.softplus(high - log_variance)
        return mean, low + functional.softplus(log_variance - low)

    def errors(
        self, parameters: Tensor, transitions: Tensor, context: Tensor | None = None
    ) -> tuple[Tensor, Tensor | None]:
        """Errors of predicted normalised outcomes, and log variances. `[group, n, target]` each.

        Args:
            parameters: `[group, parameter]`
            transitions: `[group, n, transition]`
            context: `[group, n, context]`
        """
        obs, action, outcome = transitions.split(self.widths, dim=-1)
        inputs = action if context is None else torch.cat((action, context), dim=-1)
        mean, log_variance = self.predicted(parameters, obs, inputs)
        return mean - self.outcome(outcome)[..., : self.targets], log_variance

    def loss(self, parameters: Tensor, transitions: Tensor, weight: Tensor, context: Tensor | None = None) -> Tensor:
        """Loss of normalised outcomes, averaged over the transitions of weight 1. `[group]`.

        Half the squared error, summed over the outcome's numbers. With variances, the mean of their negative log
        likelihoods, each times its own variance as a constant: means learn as by squared error, and no number that is
        hard to predict is given up. Source: Seitzer et al. 2022, https://arxiv.org/abs/2203.09168, with beta = 1.

        Args:
            parameters: `[group, parameter]`
            transitions: `[group, n, transition]`
            weight: 1 or 0; the loss is 0 where all are 0. `[group, n]`
            context: `[group, n, context]`
        """
        # Errors in units of standard deviations. [group, n, target]
        error, log_variance = self.errors(parameters, transitions, context)
        if log_variance is None:
            each = error.square().sum(dim=-1)
        else:
            likelihood = error.square() * torch.exp(-log_variance) + log_variance
            each = (likelihood * torch.exp(log_variance.detach())).mean(dim=-1)
        return 0.5 * (each * weight).sum(dim=1) / weight.sum(dim=1).clamp(min=1)

    def spread_of_bounds(self) -> Tensor:
        """Term of the loss that draws the bounds of variances together, each by its own size as in `loss`. `[]`."""
        low, high = self.bounds.exp()
        return BOUNDS_WEIGHT * (high - low).mean()

    def state_dict(self) -> dict[str, Tensor]:
        """The statistics, and the bounds of log variances if the model has any."""
        seen = {f"seen/{key}": value for key, value in self.seen.state_dict().items()}
        bounds = {"bounds": self.bounds.detach()} if self.form.probabilistic else {}
        return seen | {f"outcome/{key}": value for key, value in self.outcome.state_dict().items()} | bounds

    def load_state_dict(self, state: dict[str, Tensor]) -> None:
        """Restores statistics and bounds; ignores other entries.

        Raises:
            ValueError: If a tensor has another size.
        """
        for name, part in (("seen", self.seen), ("outcome", self.outcome)):
            part.load_state_dict({key: state[f"{name}/{key}"] for key in part.state_dict()})
        if self.form.probabilistic:
            restore("bounds", self.bounds, state)


class Ensemble(DynamicsModel):
    """Models of one form, each with parameters of its own."""

    def __init__(
        self, spaces: Spaces, form: Form, members: int, generator: torch.Generator, device: torch.device | str = "cpu"
    ) -> None:
        """Draws each member's parameters from the generator."""
        super().__init__(spaces, form, device)
        start = torch.stack([self.initial(generator) for _ in range(members)])
        self.members = members
        self.parameters = start.to(device).requires_grad_()
        """`[member, parameter]`"""
        self.bounds.requires_grad_(form.probabilistic)

    def learned(self) -> list[Tensor]:
        """Tensors that gradient steps train."""
        return [self.parameters, self.bounds] if self.form.probabilistic else [self.parameters]

    @torch.no_grad()
    def mean_errors(self, transitions: Tensor, context: Tensor | None = None) -> Tensor:
        """Errors of the members' mean prediction, in standard deviations of the outcomes. `[n, time, target]`.

        Args:
            transitions: `[n, time, transition]`
            context: `[n, time, context]`
        """

        def each(rows: Tensor) -> Tensor:
            return rows.flatten(0, 1).expand(self.members, -1, -1)

        error, _ = self.errors(self.parameters, each(transitions), None if context is None else each(context))
        return error.mean(dim=0).unflatten(0, transitions.shape[:2])

    def state_dict(self) -> dict[str, Tensor]:
        """Parameters of the members, `[parameter]` of a single one, and the statistics."""
        return {"parameters": self.parameters.detach().squeeze(0)} | super().state_dict()

    def load_state_dict(self, state: dict[str, Tensor]) -> None:
        """Restores parameters and statistics; ignores other entries.

        Raises:
            ValueError: If a tensor has another size.
        """
        restore("parameters", self.parameters, state)
        super().load_state_dict(state)


def restore(name: str, tensor: Tensor, state: dict[str, Tensor]) -> None:
    """Copies a saved tensor into one of equal size.

    Raises:
        ValueError: If it has another size.
    """
    saved = state[name]
    if saved.numel() != tensor.numel() or saved.dtype != tensor.dtype:
        raise ValueError(f"{tensor.numel()} {name} expected, not {saved.numel()}")
    tensor.data = saved.reshape(tensor.shape).to(tensor.device, copy=True)


def split_over(rows: Tensor, groups: int) -> Tensor:
    """Deals rows out to groups in turn, the first ones again where they do not divide. `[world, row, ...]`.

    Returns:
        `[group, world, row of the group, ...]`
    """
    count = rows.shape[1]
    missing = -count % groups
    if missing:
        index = torch.arange(count + missing, device=rows.device) % count
        rows = rows[:, index]
    return rows.unflatten(1, (-1, groups)).movedim(2, 0)


def joined_from(parts: Tensor, count: int) -> Tensor:
    """Reverses `split_over` for the first `count` rows. `[group, world, row of the group] -> [world, row]`."""
    return parts.movedim(0, 2).flatten(1, 2)[:, :count]
