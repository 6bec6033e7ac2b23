"""Policy-gradient steps within a trial."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.func import grad

from robometa.compute.cuda_graphs import CapturedFunction, captures
from robometa.compute.parallel import on_gpu
from robometa.data import Rollout, Trial
from robometa.nn.networks import GaussianPolicy, normal_log_density
from robometa.nn.normalizer import Normalizer
from robometa.rl.returns import advantages, discounted_returns, generalised_advantages, linear_baseline


class Batch(NamedTuple):
    """Samples of one task for a policy-gradient step."""

    obs: Tensor
    """`[n, obs]`"""
    output: Tensor
    """The policy's output, before scaling. `[n, action]`"""
    advantage: Tensor
    """`[n]`"""
    target: Tensor
    """Discounted return, normalised if a scale is given: a value's target. `[n]`"""


class TaskBatches(NamedTuple):
    """Batches of one task in a trial: one before every adaptation, and one after the last."""

    inner: tuple[Batch, ...]
    """One batch per inner step, in order."""
    outer: Batch
    """Batch of the rollout after the last inner step."""


class Estimator(NamedTuple):
    """Arguments of `rollout_batches` after the rollout."""

    discount: float
    gae_lambda: float
    action_scale: float
    returns: Normalizer | None = None


def rollout_batches(
    rollout: Rollout, discount: float, gae_lambda: float, action_scale: float, returns: Normalizer | None = None
) -> list[Batch]:
    """Observations, outputs and advantages over a linear baseline, one batch per task.

    A step that diverged by an unfit action is left out; its charge counts in the returns of the steps before.

    Args:
        rollout: Rollout; worlds are pooled by task.
        discount: Per step, in (0, 1].
        gae_lambda: Lambda of generalised advantage estimation, in 0..1.
        action_scale: Factor from the policy's output to the action.
        returns: Scale of the targets, the same for all tasks; plain returns if None.
    """
    left_out = rollout.left_out()
    parts = _pooled(rollout, Estimator(discount, gae_lambda, action_scale, returns), left_out)
    batches = [Batch(*of_task) for of_task in zip(*parts, strict=True)]
    if left_out is None:
        return batches
    kept = ~left_out.flatten(1)
    return [Batch(*(part[rows] for part in batch)) for batch, rows in zip(batches, kept, strict=True)]


def trial_batches(
    trial: Trial, discount: float, gae_lambda: float, action_scale: float, returns: Normalizer | None = None
) -> list[TaskBatches]:
    """Batches of a trial's rollouts, task by task; arguments as in `rollout_batches`."""
    shots = [rollout_batches(rollout, discount, gae_lambda, action_scale, returns) for rollout in trial.rollouts]
    return [TaskBatches(tuple(batches[:-1]), batches[-1]) for batches in zip(*shots, strict=True)]


def stacked_batches(trial: Trial, estimator: Estimator) -> TaskBatches | None:
    """Batches of a trial's rollouts, stacked over tasks. `[task, n, ...]`.

    None on a CPU, where computing tasks one by one is better, and if steps are left out, which leaves unequal batches.
    """
    rollouts = trial.rollouts
    if not on_gpu(rollouts[0].obs) or bool(torch.stack([rollout.actionless().any() for rollout in rollouts]).any()):
        return None
    *inner, outer = (_pooled(rollout, estimator, None) for rollout in rollouts)
    return TaskBatches(tuple(inner), outer)


def returns_of(rollout: Rollout, discount: float) -> Tensor:
    """Discounted returns of a rollout's steps. `[task, world, time]`."""
    return _looped(discounted_returns, rollout.reward, rollout.done, discount)


def _pooled(rollout: Rollout, estimator: Estimator, left_out: Tensor | None) -> Batch:
    """All steps of each task, including those to leave out. `[task, n, ...]`."""
    discount, gae_lambda, action_scale, scale = estimator
    # Baseline: fitted to the returns of the task's own rollout.
    returns = returns_of(rollout, discount)
    value, next_value = _values(rollout, returns, left_out)
    # Advantages, standardised within the task, on pooled worlds. [task, world * time]
    ends = rollout.terminated, rollout.truncated
    advantage = _looped(advantages, rollout.reward, value, next_value, *ends, discount, gae_lambda, left_out)
    target = returns if scale is None else scale(returns.unsqueeze(-1))[..., 0]
    parts = rollout.obs, rollout.action / action_scale, advantage, target
    return Batch(*(part.flatten(1, 2) for part in parts))


def _values(rollout: Rollout, returns: Tensor, left_out: Tensor | None) -> tuple[Tensor, Tensor]:
    """Values of the linear baseline before each step, and after it. `[task, world, time]` each."""
    value = linear_baseline(rollout.obs, returns, left_out=left_out)
    # Value of the next step; 0 at the end of the rollout, where no return is left.
    return value, torch.cat((value[..., 1:], torch.zeros_like(value[..., :1])), dim=-1)


def advantage_spread(rollout: Rollout, estimator: Estimator) -> Tensor:
    """Standard deviation of each task's advantages before they are standardised. `[task]`."""
    left_out, (discount, gae_lambda, _, _) = rollout.left_out(), estimator
    values = _values(rollout, returns_of(rollout, discount), left_out)
    ends = rollout.terminated, rollout.truncated
    advantage = _looped(generalised_advantages, rollout.reward, *values, *ends, discount, gae_lambda)
    kept = torch.ones_like(advantage, dtype=torch.bool) if left_out is None else ~left_out
    return torch.stack([row[rows].std(correction=0) for row, rows in zip(advantage, kept, strict=True)])


def _looped(function: Callable[..., Tensor], *inputs: Any) -> Tensor:
    """Calls a function that loops over time; on a GPU as one graph launch."""
    if not captures(inputs[0].device) or isinstance(inputs[-1], Tensor):  # a mask of steps left out
        return function(*inputs)
    result: Tensor = _by_graph(function, inputs[0].device)(*inputs)
    return result.clone()


@cache
def _by_graph(function: Callable[..., Tensor], device: torch.device) -> CapturedFunction:
    return CapturedFunction(function, device)


@dataclass(frozen=True)
class InnerStep:
    """A policy-gradient step, theta' = theta - size * rate * gradient, on parameter vectors of one task."""

    policy: GaussianPolicy
    size: float
    """Step size of all parameters."""
    first_order: bool = False
    """Differentiate the step as if its gradient were a constant."""
    value_weight: float = 0.0
    """Weight of the value's squared error in the loss; 0 for a policy without a value."""

    def policy_loss(self, parameters: Tensor, batch: Batch) -> Tensor:
        """Policy-gradient loss at ratio 1. `[]`."""
        return -(self.policy.log_likelihood(parameters, batch.obs, batch.output) * batch.advantage).mean()

    def loss(self, parameters: Tensor, batch: Batch) -> Tensor:
        """Loss of the step: the policy-gradient loss, and the value's error. `[]`."""
        mean, log_std, value = self.policy.outputs(parameters, batch.obs)
        loss = -(normal_log_density(batch.output, mean, log_std) * batch.advantage).mean()
        return self.with_value(loss, value, batch)

    def with_value(self, loss: Tensor, value: Tensor | None, batch: Batch) -> Tensor:
        """Adds the value's squared error to the loss of a policy.

        The policy's loss has no level, because a baseline of the task's own takes it out. The value's error has: its
        targets are on one scale for all tasks, so the step knows how far the return is from the expected one.

        Args:
            loss: `[task]`, or `[]`
            value: `[task, n]`, or `[n]`
            batch: Holds the targets.
        """
        return loss if value is None else loss + self.value_weight * (value - batch.target).square().mean(dim=-1)

    def __call__(self, parameters: Tensor, batch: Batch, rate: Tensor | float = 1.0) -> Tensor:
        """Parameters after one step. `[parameter]`.

        Args:
            parameters: `[parameter]`
            batch: Samples of the policy with these parameters.
            rate: Factor on the step size, for each parameter. `[parameter]`
        """
        # theta' = theta - size * rate * gradient.
        gradient = grad(self.loss)(parameters, batch)
        if self.first_order:
            gradient = gradient.detach()
        return parameters - self.size * (rate * gradient)

    def after(self, start: Tensor, shots: tuple[Batch, ...], rate: Tensor | float = 1.0) -> Tensor:
        """Parameters after one step on each batch. `[parameter]`."""
        for batch in shots:
            start = self(start, batch, rate)
        return start

    def policies(self, start: Tensor, batches: tuple[Batch, ...]) -> list[tuple[Tensor, Tensor]]:
        """Mean and log standard deviation on each batch, after an inner step on every earlier one. `[shot]`."""
        return [
            self.policy.distribution(self.after(start, batches[:shot]), batch.obs) for shot, batch in enumerate(batches)
        ]


def likelihood_ratio(mean: Tensor, log_std: Tensor, old_mean: Tensor, old_log_std: Tensor, output: Tensor) -> Tensor:
    """Likelihood ratio of the outputs under a normal distribution to that under an old one. `[..., n]`."""
    # Difference of the log densities; the constant cancels.
    new = (output - mean) * torch.exp(-log_std)
    old = (output - old_mean) * torch.exp(-old_log_std)
    return torch.exp((0.5 * (old.square() - new.square()) + old_log_std - log_std).sum(dim=-1))
