"""MAML-TRPO: Finn, Abbeel and Levine 2017, https://arxiv.org/abs/1703.03400.

Read `GradientLearner.adapt` in `rl/gradient_learner.py` first (the inner step), then `update` (the outer one):
`outer_gradient` differentiates through the inner steps, `trust_region_step` scales the gradient. On a GPU `MetaUpdate`
computes the same for all tasks at once.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from robometa.data import Spaces, Trial
from robometa.rl import gradient_learner, trust_region
from robometa.rl.gradient_learner import GradientLearner
from robometa.rl.gradient_samples import with_samples
from robometa.rl.meta_gradient import fisher_product, outer_gradient, surrogate_change
from robometa.rl.meta_update import MetaUpdate
from robometa.rl.policy_gradient import TaskBatches, trial_batches
from robometa.rl.trust_region import Begun, mean_distance, trust_region_step


@dataclass(frozen=True)
class _InnerStepOptions(gradient_learner.TrialOptions):
    """Options that turn MAML-TRPO into FOMAML or ANIL."""

    first_order: bool = False
    """Differentiate the inner steps as if their gradients were constants; `fomaml` is this."""
    last_layer_only: bool = False
    """Let the inner steps move the policy's last layer and standard deviation only; `anil` is this."""


@dataclass(frozen=True)
class Config(trust_region.Options, gradient_learner.Options, _InnerStepOptions):
    """Options of MAML-TRPO."""


PRESETS = {
    "default": Config(pooled_shots=True, normalize_observations=True),
    "demo": Config(iterations=70, tasks=10),
    "plain": Config(),
    "paper": Config(iterations=500, action_scale=0.1, gae_lambda=1.0, kl_bound=0.01, fisher_stride=1),
    "upstream": Config(
        iterations=100,
        tasks=20,
        worlds=10,
        hidden=(512, 512),
        action_scale=1.0,
        gae_lambda=1.0,
        kl_bound=0.01,
        fisher_stride=1,
    ),
}
"""Presets: with normalised observations; without, shortened to a few minutes for two tasks; without, as in the first
table of results; the reference implementations' values; those of Meta-World's own, ML10 in 20 million steps."""


class MamlTrpo(GradientLearner):
    """Learns a start from which one policy-gradient step adapts; the adaptation is a parameter vector per task."""

    configuration: ClassVar[type] = Config
    config: Config

    def __init__(self, config: Config, spaces: Spaces, seed: int, device: torch.device | str = "cpu") -> None:
        """An untrained policy, its weights drawn from `seed`."""
        super().__init__(config, spaces, seed, device, config.first_order)
        if config.last_layer_only:
            self.rate = self.policy.last_layer().to(self.parameters)
        self._at_once = MetaUpdate(self.step, config, self.device, self.rate)

    def update(self, trial: Trial) -> dict[str, float]:
        """One trust-region step on the start, differentiating through the inner steps."""
        # On a GPU all tasks in one go; elsewhere task by task.
        seen = self._seen_trial(trial)
        begun = self._at_once.begun(self.parameters, seen, self._estimator())
        if begun is None:
            tasks = trial_batches(seen, *self._estimator())
            # Outer gradient: of the loss after the inner steps, by the start.
            gradient, adapted = outer_gradient(self.step, self._adapted, self.parameters, tasks)
            begun = self._trust_region(gradient, adapted, tasks)
        # Line search: the longest step that improves the surrogate within the bound.
        self.parameters, refused = begun.searched(self.parameters, self.config)
        self._include(trial)
        return with_samples(begun.metrics(refused, self._std()), trial.steps())

    def _trust_region(self, gradient: Tensor, adapted: list[Tensor], tasks: list[TaskBatches]) -> Begun:
        """The trust-region step along an outer gradient, before its line search.

        Args:
            gradient: Mean over tasks. `[parameter]`
            adapted: Each task's parameters after the inner steps. `[task][parameter]`
            tasks: The batches of the trial.
        """
        config, start = self.config, self.parameters
        # The adapted policies that acted, from which the divergence is measured. [task]
        before = [self.policy.distribution(row, task.outer.obs) for row, task in zip(adapted, tasks, strict=True)]
        # Natural gradient: conjugate gradient on products with the Fisher matrix.
        fisher = fisher_product(self.step, start, tasks, adapted, config.fisher_stride, config.damping, self.rate)
        step, expected = trust_region_step(gradient, fisher, config.kl_bound, config.conjugate_gradient_steps)

        def change_at(point: Tensor) -> Sequence[float]:
            return surrogate_change(self.step, self._adapted, point, tasks, before)

        return Begun(step, expected, gradient.norm(), change_at, mean_distance(adapted, start), gradient)
