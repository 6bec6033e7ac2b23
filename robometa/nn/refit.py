"""An ensemble that gradient steps refit to a few transitions, from learned initialisations."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor
from torch.func import grad

from robometa.data import Spaces
from robometa.nn.dynamics_model import Ensemble, Form, restore


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


class RefittedEnsemble(Ensemble):
    """An ensemble whose members gradient steps refit to a few transitions, from learned initialisations."""

    def __init__(
        self, spaces: Spaces, form: Form, members: int, refit: Refit, generator: torch.Generator, device: torch.device
    ) -> None:
        """Draws the initialisations from the generator; the step sizes are equal."""
        super().__init__(spaces, form, members, generator, device)
        self.refit = refit
        self.step_sizes = torch.ones_like(self.parameters).detach().requires_grad_(refit.learn_step_size)
        """Factor on the step size. `[member, parameter]`"""

    def learned(self) -> list[Tensor]:
        """Tensors that outer gradient steps train."""
        return [*super().learned(), *([self.step_sizes] if self.step_sizes.requires_grad else [])]

    def refitted(self, parameters: Tensor, step_sizes: Tensor, transitions: Tensor, weight: Tensor) -> Tensor:
        """Parameters refitted to each group's transitions; unchanged where all weights are 0. `[group, parameter]`.

        Args:
            parameters: `[group, parameter]`
            step_sizes: Factor on the step size, for each parameter. `[group, parameter]`, or `[parameter]`
            transitions: `[group, n, transition]`
            weight: As for `loss`. `[group, n]`
        """
        for _ in range(self.refit.steps):
            # A group's loss depends on its own parameters only: the sum's gradient is that of each.
            at = parameters.detach() if self.refit.first_order else parameters
            gradient = grad(lambda point: self.loss(point, transitions, weight).sum())(at)
            if self.refit.first_order:
                gradient = gradient.detach()
            parameters = parameters - self.refit.size * step_sizes * gradient
        return parameters

    def refitted_to(self, transitions: Tensor, weight: Tensor) -> Tensor:
        """Parameters to act with: `refitted` from the learned initialisations, not to be differentiated.

        Args:
            transitions: `[world, n, transition]`
            weight: As for `loss`. `[world, n]`

        Returns:
            `[member, world, parameter]`
        """
        worlds = len(transitions)
        point, factor = (self.each(part.detach(), worlds) for part in (self.parameters, self.step_sizes))
        every = transitions.expand(self.members, *transitions.shape).flatten(0, 1)
        counted = weight.expand(self.members, *weight.shape).flatten(0, 1)
        for _ in range(self.refit.steps):
            with torch.enable_grad():  # `grad` of torch.func takes twice as long for so little
                start = point.requires_grad_()
                (gradient,) = torch.autograd.grad(self.loss(start, every, counted).sum(), start)
            point = start.detach() - self.refit.size * factor * gradient
        return point.unflatten(0, (self.members, worlds))

    def outer_loss(
        self, past: Tensor, past_weight: Tensor, future: Tensor, future_weight: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Loss on the future after a refit to the past, and before it; means over windows. `[]` each.

        Args:
            past: Earlier transitions, as many windows for each member. `[member * window, past, transition]`
            past_weight: As for `loss`. `[member * window, past]`
            future: Later transitions. `[member * window, future, transition]`
            future_weight: As for `loss`. `[member * window, future]`
        """
        windows = len(past) // self.members
        start = self.each(self.parameters, windows)  # [member * window, parameter]
        # Inner steps on the past, then the loss on the future.
        adapted = self.refitted(start, self.each(self.step_sizes, windows), past, past_weight)
        with torch.no_grad():
            before = self.loss(start, future, future_weight).mean()
        return self.loss(adapted, future, future_weight).mean(), before

    def each(self, of_members: Tensor, count: int) -> Tensor:
        """Repeats every member's parameters. `[member, parameter] -> [member * count, parameter]`."""
        return of_members.unsqueeze(1).expand(-1, count, -1).flatten(0, 1)

    def state_dict(self) -> dict[str, Tensor]:
        """Initialisations, step sizes and statistics."""
        return {"step_sizes": self.step_sizes.detach().squeeze(0)} | super().state_dict()

    def load_state_dict(self, state: dict[str, Tensor]) -> None:
        """Restores initialisations, step sizes and statistics; ignores other entries.

        Raises:
            ValueError: If a tensor has another size.
        """
        restore("step_sizes", self.step_sizes, state)
        super().load_state_dict(state)
