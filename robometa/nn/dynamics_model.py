"""A model of what actions do and what they are paid, as a plain function of flat parameter vectors."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from robometa.data import Rollout, Spaces
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
        """Weights and biases uniform within one over the square root of a layer's inputs. `[parameter]`"""
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
        """The outcome, normalised. `[world, n, obs + 1]`

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
        """Half the squared error of the normalised outcomes, mean over the transitions that count. `[world]`

        Args:
            parameters: `[world, parameter]`
            transitions: `[world, n, transition]`
            weight: 1 for those that count, 0 for others; where none does the loss is 0. `[world, n]`
        """
        obs, action, outcome = transitions.split(self.widths, dim=-1)
        error = self.predicted(parameters, obs, action) - self.outcome(outcome)
        return 0.5 * (error.square().sum(dim=-1) * weight).sum(dim=1) / weight.sum(dim=1).clamp(min=1)

    def imagined(self, parameters: Tensor, obs: Tensor, candidates: Tensor) -> Tensor:
        """What sequences of actions would be paid in all. `[world, candidate]`

        Args:
            parameters: `[world, parameter]`
            obs: Where each world begins. `[world, obs]`
            candidates: `[world, candidate, time, action]`
        """
        obs = obs.unsqueeze(1).expand(-1, candidates.shape[1], -1)
        paid = torch.zeros_like(obs[..., 0])
        for action in candidates.unbind(dim=2):
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


def transitions_of(rollout: Rollout) -> Tensor:
    """Obs, action, what the obs changed by, and reward of every step. `[task, world, time, transition]`"""
    change = rollout.next_obs - rollout.obs
    return torch.cat((rollout.obs, rollout.action.clamp(-1, 1), change, rollout.reward.unsqueeze(-1)), dim=-1)
