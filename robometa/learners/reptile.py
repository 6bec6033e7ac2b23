"""Reptile: Nichol, Achiam and Schulman 2018, https://arxiv.org/abs/1803.02999.

Read `update`: every task takes plain policy-gradient steps from the start, and the start moves towards the mean of
where these end. Nothing is differentiated twice.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, ClassVar

import torch

from robometa.compute.parallel import of_each_task
from robometa.data import Spaces, Trial
from robometa.errors import Search
from robometa.rl import gradient_learner
from robometa.rl.gradient_learner import AdamLearner
from robometa.rl.gradient_samples import with_samples
from robometa.rl.policy_gradient import trial_batches


@dataclass(frozen=True)
class Config(gradient_learner.Options):
    """Options of Reptile."""

    learning_rate: Annotated[float, "(0, inf)", Search(1e-3, 0.1, log=True)] = 1e-2
    """Learning rate of Adam; the gradient is the start minus the mean adapted copy."""


PRESETS = {"default": Config(pooled_shots=True, normalize_observations=True), "plain": Config()}
"""Presets: with normalised observations, and without, as in the paper and the first table of results."""


class Reptile(AdamLearner):
    """Learns a start close to every task's adapted parameters; the adaptation is a parameter vector per task."""

    configuration: ClassVar[type] = Config
    config: Config

    def __init__(self, config: Config, spaces: Spaces, seed: int, device: torch.device | str = "cpu") -> None:
        """An untrained policy, its weights drawn from `seed`."""
        super().__init__(config, config.learning_rate, spaces, seed, device)

    def update(self, trial: Trial) -> dict[str, float]:
        """Moves the start towards the tasks' mean parameters after one policy-gradient step on each rollout."""
        tasks = trial_batches(self._seen_trial(trial), *self._estimator())
        # The last rollout of a trial is one more batch to step on. [task][parameter]
        adapted = of_each_task(lambda task: self.step.after(self.parameters, (*task.inner, task.outer)), tasks)
        way = torch.stack(adapted).mean(dim=0) - self.parameters
        # Adam takes the way from mean to start for a gradient.
        self.parameters.grad = -way
        self.optimizer.step()
        self._include(trial)
        return with_samples({"way": float(way.norm()), "policy_std": float(self._std())}, trial.steps())
