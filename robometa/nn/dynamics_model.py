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

    It holds no parameters, only the statistics that its inputs and outputs are normalised with: parameters are a vector
    for each world, `[world, parameter]`, that every method takes. A *transition* is obs, action and outcome in a row.
    """

    def __init__(self, spaces: Spaces, hidden: Sequence[int], device: torch.device | str = "cpu") -> None:
        """The layout of a model with `hidden` relu layers."""
        obs, action = spaces.observation, spaces.action
        self.widths = (obs, action, obs + 1)
        self.transition = sum(self.widths)
        """How many numbers a transition has."""
        sizes = (obs + action, *hidden, obs + 1)
        self.layers = list(zip(sizes[:-1], sizes[1:], strict=True))
        self.seen = Normalizer(obs, device=device)
        self.outcome = Normalizer(obs + 1, device=device)

    def initial(self, generator: torch.Generator) -> Tensor:
        """Weights and biases uniform within one over the square root of a layer's inputs. `[parameter]`."""
        parts = [
            (2 * torch.rand((into + 1) * out, generator=generator) - 1) / math.sqrt(into) for into, out in self.layers
        ]
        return torch.cat(parts)

    def include(self, transitions: Tensor) -> None:
        """Takes transitions into the statistics."""
        obs, _, outcome = transitions.split(self.widths, dim=-1)
        self.seen.include(obs)
        self.outcome.include(outcome)

    def predicted(self, parameters: Tensor, obs: Tensor, action: Tensor) -> Tensor:
        """The outcome, normalised. `[world, n, obs + 1]`.

        Args:
            parameters: `[world, parameter]`
            obs: As the simulator gives it. `[world, n, obs]`
            action: `[world, n, action]`
        """
        # One split, not a slice for each layer: the gradient of a slice is as long as all parameters.
        parts = iter(parameters.split([size for into, out in self.layers for size in (into * out, out)], dim=1))
        x = torch.cat((self.seen(obs), action), dim=-1)
        for index, (into, out) in enumerate(self.layers):
            weight, bias = next(parts).unflatten(1, (into, out)), next(parts).unsqueeze(1)
            x = torch.baddbmm(bias, x.relu() if index else x, weight)
        return x

    def loss(self, parameters: Tensor, transitions: Tensor, weight: Tensor) -> Tensor:
        """Half the squared error of the normalised outcomes, mean over the transitions that count. `[world]`.

        Args:
            parameters: `[world, parameter]`
            transitions: `[world, n, transition]`
            weight: 1 for those that count, 0 for others; where none does the loss is 0. `[world, n]`
        """
        obs, action, outcome = transitions.split(self.widths, dim=-1)
        # Errors in units of standard deviations. [world, n, obs + 1]
        error = self.predicted(parameters, obs, action) - self.outcome(outcome)
        return 0.5 * (error.square().sum(dim=-1) * weight).sum(dim=1) / weight.sum(dim=1).clamp(min=1)

    def imagined(self, parameters: Tensor, obs: Tensor, candidates: Tensor) -> Tensor:
        """What sequences of actions would be paid in all. `[world, candidate]`.

        Args:
            parameters: `[world, parameter]`
            obs: Where each world begins. `[world, obs]`
            candidates: `[world, candidate, time, action]`
        """
        # Every candidate starts at the world's own observation. [world, candidate, obs]
        obs = obs.unsqueeze(1).expand(-1, candidates.shape[1], -1)
        paid = torch.zeros_like(obs[..., 0])
        for action in candidates.unbind(dim=2):
            # One step of every candidate in the model: change of obs, and reward.
            outcome = self.outcome.undo(self.predicted(parameters, obs, action))
            obs = obs + outcome[..., :-1]
            paid = paid + outcome[..., -1]
        return paid

    def state(self) -> dict[str, Tensor]:
        """The statistics."""
        seen = {f"seen/{key}": value for key, value in self.seen.state().items()}
        return seen | {f"outcome/{key}": value for key, value in self.outcome.state().items()}

    def load(self, state: dict[str, Tensor]) -> None:
        """Takes back what `state` gave, from among other things."""
        for name, part in (("seen", self.seen), ("outcome", self.outcome)):
            part.load({key: state[f"{name}/{key}"] for key in part.state()})


class Refit(NamedTuple):
    """Gradient steps that refit a model."""

    size: float
    """Step size."""
    steps: int
    """Gradient steps of a refit."""
    learn_step_size: bool
    """Learn a factor on the step size for each parameter."""
    first_order: bool
    """Differentiate a refit as if its gradients were constants."""


class RefittedModel(DynamicsModel):
    """A dynamics model that gradient steps refit to a few transitions, from a start that is learned itself."""

    def __init__(
        self,
        spaces: Spaces,
        hidden: Sequence[int],
        refit: Refit,
        generator: torch.Generator,
        device: torch.device,
    ) -> None:
        """An untrained start, its weights drawn from the generator, and equal step sizes."""
        super().__init__(spaces, hidden, device)
        self.refit = refit
        self.parameters = self.initial(generator).to(device).requires_grad_()
        self.step_sizes = torch.ones_like(self.parameters).detach().requires_grad_(refit.learn_step_size)

    def learned(self) -> list[Tensor]:
        """The vectors that outer gradient steps change. `[parameter]` each."""
        return [self.parameters, self.step_sizes] if self.step_sizes.requires_grad else [self.parameters]

    def refitted(self, parameters: Tensor, step_sizes: Tensor, transitions: Tensor, weight: Tensor) -> Tensor:
        """Parameters after a refit to each world's transitions; where none counts they stay. `[world, parameter]`.

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
        """The parameters to act with, from the learned start. `[world, parameter]`."""
        start = self.parameters.detach().expand(len(transitions), -1)
        return self.refitted(start, self.step_sizes.detach(), transitions, weight)

    def outer_loss(
        self, past: Tensor, past_weight: Tensor, future: Tensor, future_weight: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Error on the future after a refit to the past, and without one; means over windows. `[]` each.

        Args:
            past: Transitions before. `[window, past, transition]`
            past_weight: As for `loss`. `[window, past]`
            future: Transitions after. `[window, future, transition]`
            future_weight: As for `loss`. `[window, future]`
        """
        start = self.parameters.expand(len(past), -1)  # [window, parameter]
        # Inner steps on the past, then the loss on the future.
        adapted = self.refitted(start, self.step_sizes, past, past_weight)
        with torch.no_grad():
            before = self.loss(start, future, future_weight).mean()
        return self.loss(adapted, future, future_weight).mean(), before

    def state(self) -> dict[str, Tensor]:
        """Start, step sizes and statistics."""
        return {"parameters": self.parameters.detach(), "step_sizes": self.step_sizes.detach()} | super().state()

    def load(self, state: dict[str, Tensor]) -> None:
        """Restores what `state` gave, from among other things.

        Raises:
            ValueError: If a vector has another size.
        """
        for name, vector in (("parameters", self.parameters), ("step_sizes", self.step_sizes)):
            if state[name].shape != vector.shape:
                raise ValueError(f"{vector.numel()} {name} expected, not {state[name].numel()}")
            vector.data = state[name].to(vector.device, copy=True)
        super().load(state)


class LastTransitions(NamedTuple):
    """Each world's last transitions, to refit a model to."""

    window: Tensor
    """The latest is at the end. `[task, world, past, transition]`"""
    filled: Tensor
    """How many of them there are. `[task, world]`"""
    last_obs: Tensor
    """The observation a step ago. `[task, world, obs]`"""

    @classmethod
    def none(cls, worlds: tuple[int, int], past: int, obs: int, width: int, device: torch.device) -> LastTransitions:
        """Room for the last `past` transitions of `width` numbers; `worlds` is tasks and worlds."""
        sizes = (past, width), (), (obs,)
        return cls(*(torch.zeros(*worlds, *size, device=device) for size in sizes))

    def after(self, step: Step) -> LastTransitions:
        """With the transition that has just ended; none where an episode has, because the observation is a reset's."""
        action, reward = step.last_action.clamp(-1, 1), step.last_reward.unsqueeze(-1)
        # The transition from the step before into this one. [task, world, transition]
        latest = torch.cat((self.last_obs, action, step.obs - self.last_obs, reward), dim=-1)
        moved = torch.cat((self.window[:, :, 1:], latest.unsqueeze(2)), dim=2)
        window = torch.where(step.last_done[..., None, None], self.window, moved)
        filled = (self.filled + ~step.last_done).clamp(max=window.shape[2])
        return LastTransitions(window, filled, self.last_obs)

    def weight(self) -> Tensor:
        """1 for those of the window that there are, 0 for others. `[task, world, past]`."""
        past = self.window.shape[2]
        place = torch.arange(past, device=self.filled.device)
        return (place >= past - self.filled.unsqueeze(-1)).to(self.filled.dtype)


def transitions_of(rollout: Rollout) -> Tensor:
    """Obs, action, what the obs changed by, and reward of every step. `[task, world, time, transition]`."""
    change = rollout.next_obs - rollout.obs
    return torch.cat((rollout.obs, rollout.action.clamp(-1, 1), change, rollout.reward.unsqueeze(-1)), dim=-1)
