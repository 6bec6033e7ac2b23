"""A learned model of dynamics and reward, as a plain function of flat parameter vectors."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor
from torch.func import grad

from robometa.data import Rollout, Spaces, Step
from robometa.nn.normalizer import Normalizer


class DynamicsModel:
    """A multilayer perceptron from obs and action to an outcome: the change of obs, and the reward.

    It holds the normalisation statistics of inputs and outputs, and no parameters. Every method takes a parameter
    vector for each world, `[world, parameter]`. A *transition* is the concatenation of obs, action and outcome.
    """

    def __init__(self, spaces: Spaces, hidden: Sequence[int], device: torch.device | str = "cpu") -> None:
        """Lays out a model with `hidden` relu layers."""
        obs, action = spaces.observation, spaces.action
        self.widths = (obs, action, obs + 1)
        self.transition = sum(self.widths)
        """Width of a transition."""
        sizes = (obs + action, *hidden, obs + 1)
        self.layers = list(zip(sizes[:-1], sizes[1:], strict=True))
        self.seen = Normalizer(obs, device=device)
        self.outcome = Normalizer(obs + 1, device=device)

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

    def predicted(self, parameters: Tensor, obs: Tensor, action: Tensor) -> Tensor:
        """Predicts the normalised outcome. `[world, n, obs + 1]`.

        Args:
            parameters: `[world, parameter]`
            obs: Unnormalised. `[world, n, obs]`
            action: `[world, n, action]`
        """
        return self._through(self._cut(parameters), obs, action)

    def _cut(self, parameters: Tensor) -> list[tuple[Tensor, Tensor]]:
        """Weights and biases of each layer. `[world, into, out]`, `[world, 1, out]`."""
        # One split, not a slice for each layer: the gradient of a slice is as long as all parameters.
        parts = iter(parameters.split([size for into, out in self.layers for size in (into * out, out)], dim=1))
        return [(next(parts).unflatten(1, layer), next(parts).unsqueeze(1)) for layer in self.layers]

    def _through(self, layers: Sequence[tuple[Tensor, Tensor]], obs: Tensor, action: Tensor) -> Tensor:
        """Passes observations and actions through the layers. `[world, n, obs + 1]`."""
        x = torch.cat((self.seen(obs), action), dim=-1)
        for index, (weight, bias) in enumerate(layers):
            x = torch.baddbmm(bias, x.relu() if index else x, weight)
        return x

    def loss(self, parameters: Tensor, transitions: Tensor, weight: Tensor) -> Tensor:
        """Half the squared error of normalised outcomes, averaged over the transitions of weight 1. `[world]`.

        Args:
            parameters: `[world, parameter]`
            transitions: `[world, n, transition]`
            weight: 1 or 0; the loss is 0 where all are 0. `[world, n]`
        """
        obs, action, outcome = transitions.split(self.widths, dim=-1)
        # Errors in units of standard deviations. [world, n, obs + 1]
        error = self.predicted(parameters, obs, action) - self.outcome(outcome)
        return 0.5 * (error.square().sum(dim=-1) * weight).sum(dim=1) / weight.sum(dim=1).clamp(min=1)

    def imagined(self, parameters: Tensor, obs: Tensor, candidates: Tensor) -> Tensor:
        """Total predicted reward of action sequences. `[world, candidate]`.

        Args:
            parameters: `[world, parameter]`
            obs: Initial observation. `[world, obs]`
            candidates: `[world, candidate, time, action]`
        """
        # Every candidate starts at the world's own observation. [world, candidate, obs]
        obs = obs.unsqueeze(1).expand(-1, candidates.shape[1], -1)
        paid, layers = torch.zeros_like(obs[..., 0]), self._cut(parameters)
        for action in candidates.unbind(dim=2):
            # One step of every candidate in the model: change of obs, and reward.
            outcome = self.outcome.undo(self._through(layers, obs, action))
            obs = obs + outcome[..., :-1]
            paid = paid + outcome[..., -1]
        return paid

    def state_dict(self) -> dict[str, Tensor]:
        """The statistics."""
        seen = {f"seen/{key}": value for key, value in self.seen.state_dict().items()}
        return seen | {f"outcome/{key}": value for key, value in self.outcome.state_dict().items()}

    def load_state_dict(self, state: dict[str, Tensor]) -> None:
        """Restores the statistics; ignores other entries."""
        for name, part in (("seen", self.seen), ("outcome", self.outcome)):
            part.load_state_dict({key: state[f"{name}/{key}"] for key in part.state_dict()})


class Refit(NamedTuple):
    """Hyper-parameters of a refit: gradient steps on a few transitions."""

    size: float
    """Step size."""
    steps: int
    """Gradient steps of a refit."""
    learn_step_size: bool
    """Learn a factor on the step size for each parameter."""
    first_order: bool
    """Differentiate a refit as if its gradients were constants."""


class RefittedModel(DynamicsModel):
    """A dynamics model that gradient steps refit to a few transitions, from a learned initialisation."""

    def __init__(
        self,
        spaces: Spaces,
        hidden: Sequence[int],
        refit: Refit,
        generator: torch.Generator,
        device: torch.device,
    ) -> None:
        """Draws the initialisation from the generator; the step sizes are equal."""
        super().__init__(spaces, hidden, device)
        self.refit = refit
        self.parameters = self.initial(generator).to(device).requires_grad_()
        self.step_sizes = torch.ones_like(self.parameters).detach().requires_grad_(refit.learn_step_size)

    def learned(self) -> list[Tensor]:
        """Vectors that outer gradient steps train. `[parameter]` each."""
        return [self.parameters, self.step_sizes] if self.step_sizes.requires_grad else [self.parameters]

    def refitted(self, parameters: Tensor, step_sizes: Tensor, transitions: Tensor, weight: Tensor) -> Tensor:
        """Parameters refitted to each world's transitions; unchanged where all weights are 0. `[world, parameter]`.

        Args:
            parameters: `[world, parameter]`
            step_sizes: Factor on the step size, for each parameter. `[parameter]`
            transitions: `[world, n, transition]`
            weight: As for `loss`. `[world, n]`
        """
        for _ in range(self.refit.steps):
            # A world's loss depends on its own parameters only: the sum's gradient is that of each.
            gradient = grad(lambda point: self.loss(point, transitions, weight).sum())(parameters)
            if self.refit.first_order:
                gradient = gradient.detach()
            parameters = parameters - self.refit.size * step_sizes * gradient
        return parameters

    def refitted_to(self, transitions: Tensor, weight: Tensor) -> Tensor:
        """Parameters to act with: `refitted` from the learned initialisation, not to be differentiated.

        Args:
            transitions: `[world, n, transition]`
            weight: As for `loss`. `[world, n]`

        Returns:
            `[world, parameter]`
        """
        point, factor = self.parameters.detach().expand(len(transitions), -1), self.step_sizes.detach()
        for _ in range(self.refit.steps):
            with torch.enable_grad():  # `grad` of torch.func takes twice as long for so little
                start = point.requires_grad_()
                (gradient,) = torch.autograd.grad(self.loss(start, transitions, weight).sum(), start)
            point = start.detach() - self.refit.size * factor * gradient
        return point

    def outer_loss(
        self, past: Tensor, past_weight: Tensor, future: Tensor, future_weight: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Loss on the future after a refit to the past, and before it; means over windows. `[]` each.

        Args:
            past: Earlier transitions. `[window, past, transition]`
            past_weight: As for `loss`. `[window, past]`
            future: Later transitions. `[window, future, transition]`
            future_weight: As for `loss`. `[window, future]`
        """
        start = self.parameters.expand(len(past), -1)  # [window, parameter]
        # Inner steps on the past, then the loss on the future.
        adapted = self.refitted(start, self.step_sizes, past, past_weight)
        with torch.no_grad():
            before = self.loss(start, future, future_weight).mean()
        return self.loss(adapted, future, future_weight).mean(), before

    def state_dict(self) -> dict[str, Tensor]:
        """Initialisation, step sizes and statistics."""
        return {"parameters": self.parameters.detach(), "step_sizes": self.step_sizes.detach()} | super().state_dict()

    def load_state_dict(self, state: dict[str, Tensor]) -> None:
        """Restores initialisation, step sizes and statistics; ignores other entries.

        Raises:
            ValueError: If a vector has another size.
        """
        for name, vector in (("parameters", self.parameters), ("step_sizes", self.step_sizes)):
            if state[name].shape != vector.shape:
                raise ValueError(f"{vector.numel()} {name} expected, not {state[name].numel()}")
            vector.data = state[name].to(vector.device, copy=True)
        super().load_state_dict(state)


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
