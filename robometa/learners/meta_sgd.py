"""Meta-SGD: Li et al. 2017, https://arxiv.org/abs/1707.09835.

Read it as MAML-TRPO whose outer step moves one vector, the start and then a factor on the step size of every
parameter; `_adapted_from` splits that vector again.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, ClassVar

import torch
from torch import Tensor

from robometa.data import Spaces, Trial
from robometa.errors import Search
from robometa.rl import gradient_learner, trust_region
from robometa.rl.gradient_learner import GradientLearner
from robometa.rl.meta_gradient import fisher_product, outer_gradient, surrogate_change
from robometa.rl.meta_update import MetaUpdate
from robometa.rl.policy_gradient import Batch, TaskBatches, trial_batches
from robometa.rl.trust_region import Begun, floats, trust_region_step


@dataclass(frozen=True)
class Config(trust_region.Options, gradient_learner.Options):
    """Options of Meta-SGD."""

    inner_step_size: Annotated[float, "(0, inf)", Search(0.01, 1.0, log=True)] = 0.1
    """Initial step size of the inner gradient steps; a factor on it is learned for every parameter."""


PRESETS = {
    "default": Config(),
    "paper": Config(iterations=500, action_scale=0.1, gae_lambda=1.0, kl_bound=0.01, fisher_stride=1),
}
"""MAML-TRPO's presets: fast on half-cheetahs, and its reference implementations' values."""


class MetaSgd(GradientLearner):
    """Learns a start and a step size of every parameter; the adaptation is a parameter vector per task."""

    configuration: ClassVar[type] = Config
    config: Config
    rate: Tensor

    def __init__(self, config: Config, spaces: Spaces, seed: int, device: torch.device | str = "cpu") -> None:
        """An untrained policy, its weights drawn from `seed`, and equal step sizes."""
        super().__init__(config, spaces, seed, device)
        self.rate = torch.ones_like(self.parameters)
        self._at_once = MetaUpdate(self.step, config, self.device, None)

    def update(self, trial: Trial) -> dict[str, float]:
        """One trust-region step on start and step sizes, differentiating through the inner steps."""
        learned = torch.cat((self.parameters, self.rate))
        # On a GPU all tasks in one go; elsewhere task by task.
        begun = self._at_once.begun(learned, trial, self._estimator())
        if begun is None:
            tasks = trial_batches(trial, *self._estimator())
            # Outer gradient: of the loss after the inner steps, by start and step sizes. [2 * parameter]
            gradient, adapted = outer_gradient(self.step, self._adapted_from, learned, tasks)
            begun = self._trust_region(gradient, adapted, tasks)
        # Line search: the longest step that improves the surrogate within the bound.
        learned, refused = begun.searched(learned, self.config)
        self.parameters, self.rate = learned.chunk(2)
        expected, norm, mean, spread, deviation = floats(
            begun.expected,
            begun.norm,
            self.rate.mean(),
            self.rate.std(),
            self._std(),
        )
        return {
            "expected_improvement": expected,
            "line_search_refusals": float(refused),
            "gradient_norm": norm,
            "step_size": self.config.inner_step_size * mean,
            "step_size_spread": self.config.inner_step_size * spread,
            "policy_std": deviation,
        }

    def state_dict(self) -> dict[str, Tensor]:
        """The start, and the factors on the step size."""
        return {"parameters": self.parameters, "rate": self.rate}

    def load_state_dict(self, state: dict[str, Tensor]) -> None:
        """Restores the start and the factors."""
        parameters, rate = (self._checked(state[name]) for name in ("parameters", "rate"))
        self.parameters, self.rate = parameters.to(self.device), rate.to(self.device)

    def _trust_region(self, gradient: Tensor, adapted: list[Tensor], tasks: list[TaskBatches]) -> Begun:
        """The trust-region step along an outer gradient, before its line search.

        Args:
            gradient: Mean over tasks, by start and step sizes. `[2 * parameter]`
            adapted: Each task's parameters after the inner steps. `[task][parameter]`
            tasks: The batches of the trial.
        """
        config = self.config
        # The adapted policies that acted, from which the divergence is measured. [task]
        before = [self.policy.distribution(row, task.outer.obs) for row, task in zip(adapted, tasks, strict=True)]
        fisher = fisher_product(
            self.step, self.parameters, tasks, adapted, config.fisher_stride, config.damping, self.rate
        )
        step, expected = trust_region_step(gradient, fisher, config.kl_bound, config.conjugate_gradient_steps)

        def change_at(point: Tensor) -> Sequence[float]:
            return surrogate_change(self.step, self._adapted_from, point, tasks, before)

        return Begun(step, expected, gradient.norm(), change_at)

    def _adapted_from(self, learned: Tensor, shots: tuple[Batch, ...]) -> Tensor:
        """The parameters of one task after its inner steps, from start and factors in one vector. `[parameter]`."""
        start, rate = learned.chunk(2)
        return self.step.after(start, shots, rate)
