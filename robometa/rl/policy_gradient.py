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
from robometa.nn.networks import GaussianPolicy
from robometa.rl.returns import advantages, discounted_returns, linear_baseline


class Batch(NamedTuple):
    """Samples of one task for a policy-gradient step."""

    obs: Tensor
    """`[n, obs]`"""
    output: Tensor
    """The policy's output, before scaling. `[n, action]`"""
    advantage: Tensor
    """`[n]`"""


class TaskBatches(NamedTuple):
    """Batches of one task in a trial: one before every adaptation, and one after the last."""

    inner: tuple[Batch, ...]
    """One batch per inner step, in order."""
    outer: Batch
    """Batch of the rollout after the last inner step."""


def rollout_batches(rollout: Rollout, discount: float, gae_lambda: float, action_scale: float) -> list[Batch]:
    """Observations, outputs and advantages over a linear baseline, one batch per task.

    A step that diverged by what was no action is left out; its charge counts in the returns of the steps before.

    Args:
        rollout: Rollout, whose worlds are pooled by task.
        discount: Per step, in (0, 1].
        gae_lambda: Lambda of generalised advantage estimation, in 0..1.
        action_scale: Factor from the policy's output to the action.
    """
    left_out = rollout.left_out()
    parts = _pooled(rollout, discount, gae_lambda, action_scale, left_out)
    batches = [Batch(*of_task) for of_task in zip(*parts, strict=True)]
    if left_out is None:
        return batches
    kept = ~left_out.flatten(1)
    return [Batch(*(part[rows] for part in batch)) for batch, rows in zip(batches, kept, strict=True)]


def trial_batches(trial: Trial, discount: float, gae_lambda: float, action_scale: float) -> list[TaskBatches]:
    """Batches of a trial's rollouts, task by task; arguments as in `rollout_batches`."""
    shots = [rollout_batches(rollout, discount, gae_lambda, action_scale) for rollout in trial.rollouts]
    return [TaskBatches(tuple(batches[:-1]), batches[-1]) for batches in zip(*shots, strict=True)]


def stacked_batches(trial: Trial, discount: float, gae_lambda: float, action_scale: float) -> TaskBatches | None:
    """Batches of a trial's rollouts, stacked over tasks; arguments as in `rollout_batches`. `[task, n, ...]`.

    None on a CPU, where computing tasks one by one is better, and if steps are left out, which leaves unequal batches.
    """
    rollouts = trial.rollouts
    if not on_gpu(rollouts[0].obs) or bool(torch.stack([rollout.actionless().any() for rollout in rollouts]).any()):
        return None
    *inner, outer = (_pooled(rollout, discount, gae_lambda, action_scale, None) for rollout in rollouts)
    return TaskBatches(tuple(inner), outer)


def _pooled(
    rollout: Rollout, discount: float, gae_lambda: float, action_scale: float, left_out: Tensor | None
) -> Batch:
    """All steps of each task, including those to leave out. `[task, n, ...]`."""
    # Baseline: fitted to the returns of the task's own rollout.
    returns = _looped(discounted_returns, rollout.reward, rollout.done, discount)
    value = linear_baseline(rollout.obs, returns, left_out=left_out)
    # Value of the next step; 0 at the end of the rollout, where no return is left.
    next_value = torch.cat((value[..., 1:], torch.zeros_like(value[..., :1])), dim=-1)
    # Advantages, standardised within the task, on pooled worlds. [task, world * time]
    ends = rollout.terminated, rollout.truncated
    advantage = _looped(advantages, rollout.reward, value, next_value, *ends, discount, gae_lambda, left_out)
    return Batch(rollout.obs.flatten(1, 2), (rollout.action / action_scale).flatten(1, 2), advantage.flatten(1, 2))


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

    def loss(self, parameters: Tensor, batch: Batch) -> Tensor:
        """Policy-gradient loss at ratio 1. `[]`."""
        return -(self.policy.log_likelihood(parameters, batch.obs, batch.output) * batch.advantage).mean()

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
