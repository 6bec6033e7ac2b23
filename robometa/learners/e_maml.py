"""E-MAML: Stadie et al. 2018, https://arxiv.org/abs/1803.01118.

Read it as MAML-TRPO with one more term: `TaskBaseline`, `_credits` and `_credit_gradient` credit what is done before
the inner steps with the return after them; the rest is MAML-TRPO's update.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, ClassVar

import torch
from torch import Tensor
from torch.func import grad

from robometa.compute.parallel import for_each_task, of_each_task
from robometa.data import Rollout, Spaces, Trial
from robometa.errors import Search
from robometa.nn.state import Parts, load_state, state_of
from robometa.rl import gradient_learner, trust_region
from robometa.rl.gradient_learner import GradientLearner
from robometa.rl.gradient_samples import with_samples
from robometa.rl.meta_gradient import fisher_product, outer_gradient, surrogate_change
from robometa.rl.meta_update import MetaUpdate
from robometa.rl.policy_gradient import TaskBatches, advantage_spread, likelihood_ratio, trial_batches
from robometa.rl.trust_region import Begun, mean_distance, trust_region_step


@dataclass(frozen=True)
class _CreditOptions(gradient_learner.TrialOptions):
    """Options of the sampling term."""

    credit_weight: Annotated[float, "[0, inf)", Search(0.0, 2.0)] = 1.0
    """Weight of crediting pre-adaptation actions with post-adaptation returns; 0 is MAML-TRPO."""
    credit: Annotated[str, "{batch, task}"] = "batch"
    """Baseline of a task's return: `task` is its own running mean, and the credit is summed over steps as in the
    theory; `batch` are the other tasks, standardised, and a mean over steps."""
    baseline_rate: Annotated[float, "(0, 1]"] = 0.5
    """Weight of the newest return in a task's running mean."""


@dataclass(frozen=True)
class Config(trust_region.Options, gradient_learner.Options, _CreditOptions):
    """Options of E-MAML."""


PRESETS = {
    "default": Config(pooled_shots=True, normalize_observations=True, credit="task"),
    "plain": Config(),
    "paper": Config(iterations=500, action_scale=0.1, gae_lambda=1.0, kl_bound=0.01, fisher_stride=1),
}
"""Presets: with a baseline of every task's own, and normalised observations; without either, as in the first table of
results; the reference implementations' values."""


class EMaml(GradientLearner):
    """Learns a start that explores for its own adaptation; the adaptation is a parameter vector per task."""

    configuration: ClassVar[type] = Config
    config: Config

    def __init__(self, config: Config, spaces: Spaces, seed: int, device: torch.device | str = "cpu") -> None:
        """An untrained policy, its weights drawn from `seed`."""
        super().__init__(config, spaces, seed, device)
        self.baseline = TaskBaseline(config.baseline_rate)
        self._at_once = MetaUpdate(self.step, config, self.device, 1.0)

    def update(self, trial: Trial) -> dict[str, float]:
        """One trust-region step on the start, differentiating through the inner steps."""
        seen = self._seen_trial(trial)
        credits = self.config.credit_weight * self._credits(seen)
        begun = self._at_once.begun(self.parameters, seen, self._estimator(), credits)
        begun = begun or self._one_by_one(seen, credits)
        self.parameters, refused = begun.searched(self.parameters, self.config)
        self._include(trial)
        metrics = begun.metrics(refused, self._std()) | {"credit_spread": float(credits.std(correction=0))}
        return with_samples(metrics, trial.steps())

    def state_dict(self) -> dict[str, Tensor]:
        """Initial parameters, statistics, and the tasks' running returns."""
        return {**super().state_dict(), **state_of(self._baselines())}

    def load_state_dict(self, state: dict[str, Tensor]) -> None:
        """Restores the initial parameters, the statistics, and the running returns if present."""
        super().load_state_dict(state)
        load_state(self._baselines(), state)

    def _baselines(self) -> Parts:
        return {"training/baseline": self.baseline} if self.config.credit == "task" else {}

    def _credits(self, trial: Trial) -> Tensor:
        """Credit of each task for the actions before its adaptations, per mean log-likelihood. `[task]`."""
        after = trial.rollouts[-1]
        if self.config.credit == "batch":
            return _standardized_credits(after)
        surprise = self.baseline.surprise(trial.tasks, after.episode_return().mean(dim=1))
        # The outer loss is a mean over steps of standardised advantages: an episode's return counts in it as
        # 1 / (steps of an episode * their deviation). The theory sums over all steps before the adaptations.
        # The deviation is the batch's: a task without any reward has none.
        steps = after.reward[0].numel() / after.done.flatten(1).sum(dim=1)
        unit = steps * advantage_spread(after, self._estimator()).mean() + 1e-8
        return surprise / unit * trial.rollouts[0].reward[0].numel()

    def _one_by_one(self, trial: Trial, credits: Tensor) -> Begun:
        """An update that computes tasks one by one; the trial's observations are normalised."""
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

        return Begun(step, expected, gradient.norm(), change_at, mean_distance(adapted, start), gradient)

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
        gradients = of_each_task(grad(self._likelier), [start] * len(tasks), tasks, acted)
        return (credits.unsqueeze(-1) * torch.stack(gradients)).mean(dim=0)


class TaskBaseline:
    """Running mean of every training task's return after the adaptations."""

    def __init__(self, rate: float) -> None:
        """Knows no task yet; `rate` is the weight of a task's newest return."""
        self._rate = rate
        self.mean = torch.zeros(0, dtype=torch.float64)
        self.seen = torch.zeros(0, dtype=torch.int64)

    def surprise(self, tasks: Tensor, returns: Tensor) -> Tensor:
        """Returns less the tasks' baselines, and less the other tasks' progress; then includes the returns. `[task]`.

        All tasks get better while the policy learns, so the mean surprise of the others belongs to the baseline. A task
        that is new has no surprise.
        """
        missing = int(tasks.max()) + 1 - len(self.mean)
        if missing > 0:
            self.mean, self.seen = (torch.cat((part, part.new_zeros(missing))) for part in (self.mean, self.seen))
        values = returns.detach().cpu().double()
        known = self.seen[tasks] > 0
        ahead = torch.where(known, values - self.mean[tasks], 0.0)
        others = known.sum() - 1
        surprise = torch.where(known & (others > 0), ahead - (ahead.sum() - ahead) / others.clamp(min=1), 0.0)
        for task, value in zip(tasks.tolist(), values, strict=True):
            rate = self._rate if self.seen[task] else 1.0
            self.mean[task] += rate * (value - self.mean[task])
            self.seen[task] += 1
        return surprise.to(returns)

    def state_dict(self) -> dict[str, Tensor]:
        """The running means, and how often each task was seen."""
        return {"mean": self.mean.clone(), "seen": self.seen.clone()}

    def load_state_dict(self, state: dict[str, Tensor]) -> None:
        """Restores the running means."""
        self.mean, self.seen = state["mean"].cpu().clone(), state["seen"].cpu().clone()


def _standardized_credits(rollout: Rollout) -> Tensor:
    """Each task's return after the adaptations, with mean 0 and standard deviation 1 across tasks. `[task]`."""
    returns = rollout.episode_return().mean(dim=1)
    # The other tasks are the baseline: nothing that the first actions of a task led to may be in it.
    return (returns - returns.mean()) / (returns.std(correction=0) + 1e-8)
