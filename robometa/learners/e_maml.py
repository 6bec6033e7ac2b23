"""E-MAML: Stadie et al. 2018, https://arxiv.org/abs/1803.01118.

Read it as MAML-TRPO with one more term: `_credits` and `_credit_gradient` credit what is done before the inner steps
with the return after them; the rest is MAML-TRPO's update.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, ClassVar

import torch
from torch import Tensor
from torch.func import grad

from robometa.compute.parallel import for_each_task
from robometa.data import Rollout, Spaces, Trial
from robometa.errors import Search
from robometa.rl import gradient_learner, trust_region
from robometa.rl.gradient_learner import GradientLearner
from robometa.rl.meta_gradient import fisher_product, outer_gradient, surrogate_change
from robometa.rl.meta_update import MetaUpdate
from robometa.rl.policy_gradient import TaskBatches, likelihood_ratio, trial_batches
from robometa.rl.trust_region import Begun, floats, trust_region_step


@dataclass(frozen=True)
class _CreditOptions(gradient_learner.TrialOptions):
    """Options of the sampling term."""

    credit_weight: Annotated[float, "[0, inf)", Search(0.0, 2.0)] = 1.0
    """Weight of crediting pre-adaptation actions with post-adaptation returns; 0 is MAML-TRPO."""


@dataclass(frozen=True)
class Config(trust_region.Options, gradient_learner.Options, _CreditOptions):
    """Options of E-MAML."""


PRESETS = {
    "default": Config(),
    "paper": Config(iterations=500, action_scale=0.1, gae_lambda=1.0, kl_bound=0.01, fisher_stride=1),
}
"""MAML-TRPO's presets: fast on half-cheetahs, and its reference implementations' values."""


class EMaml(GradientLearner):
    """Learns a start that explores for its own adaptation; the adaptation is a parameter vector per task."""

    configuration: ClassVar[type] = Config
    config: Config

    def __init__(self, config: Config, spaces: Spaces, seed: int, device: torch.device | str = "cpu") -> None:
        """An untrained policy, its weights drawn from `seed`."""
        super().__init__(config, spaces, seed, device)
        self._at_once = MetaUpdate(self.step, config, self.device, 1.0)

    def update(self, trial: Trial) -> dict[str, float]:
        """One trust-region step on the start, differentiating through the inner steps."""
        credits = self.config.credit_weight * _credits(trial.rollouts[-1])
        begun = self._at_once.begun(self.parameters, trial, self._estimator(), credits)
        begun = begun or self._one_by_one(trial, credits)
        self.parameters, refused = begun.searched(self.parameters, self.config)
        expected, norm, policy_std = floats(begun.expected, begun.norm, self._std())
        return {
            "expected_improvement": expected,
            "line_search_refusals": float(refused),
            "gradient_norm": norm,
            "policy_std": policy_std,
        }

    def _one_by_one(self, trial: Trial, credits: Tensor) -> Begun:
        """An update whose tasks are computed one by one."""
        config, start = self.config, self.parameters
        tasks = trial_batches(trial, *self._estimator())
        acted = for_each_task(self.step.policies, [start] * len(tasks), [(*inner, outer) for inner, outer in tasks])
        # MAML-TRPO's outer gradient, less the gradient of the sampling term.
        gradient, adapted = outer_gradient(self.step, self.step.after, start, tasks)
        gradient = gradient - self._credit_gradient(start, tasks, acted, credits)
        before = [policies[-1] for policies in acted]
        # The Fisher matrix is MAML-TRPO's: it measures the adapted policies only.
        fisher = fisher_product(self.step, start, tasks, adapted, config.fisher_stride, config.damping)
        step, expected = trust_region_step(gradient, fisher, config.kl_bound, config.conjugate_gradient_steps)

        def change_at(point: Tensor) -> Sequence[float]:
            # Both terms count in the line search.
            improvement, divergence = surrogate_change(self.step, self.step.after, point, tasks, before)
            likelier = torch.stack(for_each_task(self._likelier, [point] * len(tasks), tasks, acted))
            return improvement + float((credits * likelier).mean()), divergence

        return Begun(step, expected, gradient.norm(), change_at)

    def _likelier(self, start: Tensor, task: TaskBatches, acted: list[tuple[Tensor, Tensor]]) -> Tensor:
        """Likelihood ratio of the actions before the adaptations under a start, less 1, summed over shots. `[]`."""
        # The policies that acted before each inner step, from another start. [shot]
        new = self.step.policies(start, task.inner)
        shots = zip(new, acted[:-1], task.inner, strict=True)
        return torch.stack([likelihood_ratio(*now, *old, batch.output).mean() - 1 for now, old, batch in shots]).sum()

    def _credit_gradient(
        self, start: Tensor, tasks: list[TaskBatches], acted: list[list[tuple[Tensor, Tensor]]], credits: Tensor
    ) -> Tensor:
        """Gradient of the sampling term: credit times log-likelihood, mean over tasks. `[parameter]`."""
        # At ratio 1 the ratio's gradient is the log-likelihood's.
        gradients = for_each_task(grad(self._likelier), [start] * len(tasks), tasks, acted)
        return (credits.unsqueeze(-1) * torch.stack(gradients)).mean(dim=0)


def _credits(rollout: Rollout) -> Tensor:
    """Each task's return after the adaptations, with mean 0 and standard deviation 1 across tasks. `[task]`."""
    returns = rollout.episode_return().mean(dim=1)
    # The other tasks are the baseline: nothing that the first actions of a task led to may be in it.
    return (returns - returns.mean()) / (returns.std(correction=0) + 1e-8)
