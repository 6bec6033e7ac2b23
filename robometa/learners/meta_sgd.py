"""Meta-SGD: Li et al. 2017, https://arxiv.org/abs/1707.09835.

Read it as MAML-TRPO that learns one vector, the start and then a factor on the step size of every parameter;
`_adapted_from` splits that vector again. A trust-region step moves the start, and Adam the factors (`_adam_step`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, ClassVar

import torch
from torch import Tensor

from robometa.data import Spaces, Trial
from robometa.errors import Search
from robometa.nn.state import load_optimizer, optimizer_state
from robometa.rl import gradient_learner, trust_region
from robometa.rl.gradient_learner import GradientLearner
from robometa.rl.gradient_samples import with_samples
from robometa.rl.meta_gradient import fisher_product, outer_gradient, surrogate_change
from robometa.rl.meta_update import MetaUpdate
from robometa.rl.policy_gradient import Batch, TaskBatches, trial_batches
from robometa.rl.trust_region import Begun, floats, mean_distance, trust_region_step


@dataclass(frozen=True)
class _RateOptions(gradient_learner.TrialOptions):
    """Options of the step sizes."""

    rate_learning_rate: Annotated[float, "[0, inf)"] = 0.0
    """Learning rate of Adam for the factors on the step size, which begin at 1; 0 puts them into the trust-region step
    of the start, which hardly moves them."""


@dataclass(frozen=True)
class Config(trust_region.Options, gradient_learner.Options, _RateOptions):
    """Options of Meta-SGD."""

    inner_step_size: Annotated[float, "(0, inf)", Search(0.01, 1.0, log=True)] = 0.1
    """Initial step size of the inner gradient steps; a factor on it is learned for every parameter."""


RATE_OPTIMIZER = "training/rate_optimiser"
"""Name of the moments of the step sizes' optimizer in a state."""
PRESETS = {
    "default": Config(pooled_shots=True, normalize_observations=True, rate_learning_rate=1e-2),
    "plain": Config(),
    "paper": Config(
        iterations=500, action_scale=0.1, gae_lambda=1.0, kl_bound=0.01, fisher_stride=1, rate_learning_rate=1e-2
    ),
}
"""Presets: with Adam for the step sizes, and normalised observations; without either, as in the first table of results;
the reference implementations' values."""


class MetaSgd(GradientLearner):
    """Learns a start and a step size of every parameter; the adaptation is a parameter vector per task."""

    configuration: ClassVar[type] = Config
    config: Config
    rate: Tensor

    def __init__(self, config: Config, spaces: Spaces, seed: int, device: torch.device | str = "cpu") -> None:
        """An untrained policy, its weights drawn from `seed`, and equal step sizes."""
        super().__init__(config, spaces, seed, device)
        self.rate = torch.ones_like(self.parameters)
        apart = config.rate_learning_rate > 0
        self.rate_optimizer = torch.optim.Adam([self.rate], lr=config.rate_learning_rate) if apart else None
        self._at_once = MetaUpdate(self.step, config, self.device, None, rate_apart=apart)

    def update(self, trial: Trial) -> dict[str, float]:
        """One trust-region step on the start and one of Adam on the step sizes, through the inner steps."""
        learned = torch.cat((self.parameters, self.rate))
        # On a GPU all tasks in one go; elsewhere task by task.
        seen = self._seen_trial(trial)
        begun = self._at_once.begun(learned, seen, self._estimator())
        if begun is None:
            tasks = trial_batches(seen, *self._estimator())
            # Outer gradient: of the loss after the inner steps, by start and step sizes. [2 * parameter]
            gradient, adapted = outer_gradient(self.step, self._adapted_from, learned, tasks)
            begun = self._trust_region(gradient, adapted, tasks)
        # Line search: the longest step that improves the surrogate within the bound.
        if self.rate_optimizer is None:
            learned, refused = begun.searched(learned, self.config)
            self.parameters, self.rate = learned.chunk(2)
        else:
            self.parameters, refused = begun.searched(self.parameters, self.config)
            self._adam_step(self.rate_optimizer, begun.gradient)
        self._include(trial)
        expected, norm, moved, mean, spread, deviation = floats(
            begun.expected,
            begun.norm,
            begun.moved,
            self.rate.mean(),
            self.rate.std(),
            self._std(),
        )
        metrics = {
            "expected_improvement": expected,
            "line_search_refusals": float(refused),
            "gradient_norm": norm,
            "adaptation_norm": moved,
            "step_size": self.config.inner_step_size * mean,
            "step_size_spread": self.config.inner_step_size * spread,
            "policy_std": deviation,
        }
        return with_samples(metrics, trial.steps())

    def state_dict(self) -> dict[str, Tensor]:
        """The start, the factors on the step size, and the moments of their optimizer."""
        moments = {} if self.rate_optimizer is None else optimizer_state(RATE_OPTIMIZER, self.rate_optimizer)
        return {**super().state_dict(), "rate": self.rate, **moments}

    def load_state_dict(self, state: dict[str, Tensor]) -> None:
        """Restores the start and the factors."""
        super().load_state_dict(state)
        rate = self._checked(state["rate"]).to(self.device)
        if self.rate_optimizer is None:
            self.rate = rate
        else:  # its optimizer moves it in place
            self.rate.copy_(rate)
            load_optimizer(RATE_OPTIMIZER, self.rate_optimizer, state)

    def _adam_step(self, optimizer: torch.optim.Optimizer, gradient: Tensor) -> None:
        """One step of Adam on the factors; the gradient is by start and factors. `[2 * parameter]`."""
        self.rate.grad = gradient[len(self.rate) :]
        optimizer.step()

    def _trust_region(self, gradient: Tensor, adapted: list[Tensor], tasks: list[TaskBatches]) -> Begun:
        """The trust-region step along an outer gradient, before its line search.

        Args:
            gradient: Mean over tasks, by start and step sizes. The step follows the start's part only if the step
                sizes have an optimizer. `[2 * parameter]`
            adapted: Each task's parameters after the inner steps. `[task][parameter]`
            tasks: The batches of the trial.
        """
        config = self.config
        # The adapted policies that acted, from which the divergence is measured. [task]
        before = [self.policy.distribution(row, task.outer.obs) for row, task in zip(adapted, tasks, strict=True)]
        fisher = fisher_product(
            self.step, self.parameters, tasks, adapted, config.fisher_stride, config.damping, self.rate
        )
        followed = gradient if self.rate_optimizer is None else gradient[: len(self.parameters)]
        step, expected = trust_region_step(followed, fisher, config.kl_bound, config.conjugate_gradient_steps)

        def change_at(point: Tensor) -> Sequence[float]:
            point = point if self.rate_optimizer is None else torch.cat((point, self.rate))
            return surrogate_change(self.step, self._adapted_from, point, tasks, before)

        moved = mean_distance(adapted, self.parameters)
        return Begun(step, expected, followed.norm(), change_at, moved, gradient)

    def _adapted_from(self, learned: Tensor, shots: tuple[Batch, ...]) -> Tensor:
        """The parameters of one task after its inner steps, from start and factors in one vector. `[parameter]`."""
        start, rate = learned.chunk(2)
        return self.step.after(start, shots, rate)
