"""Policy-gradient steps within a trial, and how what comes out of them moves with where they start."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, partial
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.func import grad, vjp

from robometa.data import Rollout, Trial
from robometa.graphs import CapturedFunction, captures
from robometa.networks import GaussianPolicy, normal_kl
from robometa.parallel import for_each_task, of_each_task, on_gpu
from robometa.returns import advantages, discounted_returns, linear_baseline


class Batch(NamedTuple):
    """What a gradient step of one task needs of a rollout."""

    obs: Tensor
    """`[n, obs]`"""
    output: Tensor
    """The policy's output, before scaling. `[n, action]`"""
    advantage: Tensor
    """`[n]`"""


class TaskBatches(NamedTuple):
    """What a trial taught of one task: a batch before every adaptation, and one after the last."""

    inner: tuple[Batch, ...]
    """One per inner step, in their order."""
    outer: Batch
    """Of the rollout after the last inner step."""


def rollout_batches(rollout: Rollout, discount: float, gae_lambda: float, action_scale: float) -> list[Batch]:
    """Observations, outputs and advantages over a linear baseline, one batch per task.

    Steps at which the simulation diverged are left out; the steps before them are as if the time limit had come.

    Args:
        rollout: The worlds of a task are pooled.
        discount: Per step, in (0, 1].
        gae_lambda: Of generalised advantage estimation, in 0..1.
        action_scale: Factor from the policy's output to the action.
    """
    diverged = rollout.blown_up()
    parts = _pooled(rollout, discount, gae_lambda, action_scale, diverged)
    batches = [Batch(*of_task) for of_task in zip(*parts, strict=True)]
    if diverged is None:
        return batches
    kept = ~diverged.flatten(1)
    return [Batch(*(part[rows] for part in batch)) for batch, rows in zip(batches, kept, strict=True)]


def trial_batches(trial: Trial, discount: float, gae_lambda: float, action_scale: float) -> list[TaskBatches]:
    """The batches of a trial's rollouts, task by task; arguments as in `rollout_batches`."""
    shots = [rollout_batches(rollout, discount, gae_lambda, action_scale) for rollout in trial.rollouts]
    return [TaskBatches(tuple(batches[:-1]), batches[-1]) for batches in zip(*shots, strict=True)]


def stacked_batches(trial: Trial, discount: float, gae_lambda: float, action_scale: float) -> TaskBatches | None:
    """The same with all tasks in each batch, `[task, n, ...]`.

    There are none where tasks are better computed one by one, or had to be left with fewer steps than others.
    """
    rollouts = trial.rollouts
    if not on_gpu(rollouts[0].obs) or bool(torch.stack([rollout.diverged.any() for rollout in rollouts]).any()):
        return None
    *inner, outer = (_pooled(rollout, discount, gae_lambda, action_scale, None) for rollout in rollouts)
    return TaskBatches(tuple(inner), outer)


def _pooled(
    rollout: Rollout, discount: float, gae_lambda: float, action_scale: float, diverged: Tensor | None
) -> Batch:
    """All steps of each task, those that diverged too. `[task, n, ...]`"""
    reward = rollout.reward if diverged is None else rollout.reward.masked_fill(diverged, 0.0)
    returns = _looped(discounted_returns, reward, rollout.done, discount)
    value = linear_baseline(rollout.obs, returns, diverged=diverged)
    # The baseline predicts what is left of a rollout, which is nothing at its end.
    next_value = torch.cat((value[..., 1:], torch.zeros_like(value[..., :1])), dim=-1)
    ends = rollout.terminated, rollout.truncated
    advantage = _looped(advantages, rollout.reward, value, next_value, *ends, discount, gae_lambda, diverged)
    return Batch(rollout.obs.flatten(1, 2), (rollout.action / action_scale).flatten(1, 2), advantage.flatten(1, 2))


def _looped(function: Callable[..., Tensor], *inputs: Any) -> Tensor:
    """What a function with a loop over time returns: its many small computations are one launch on a GPU."""
    if not captures(inputs[0].device) or isinstance(inputs[-1], Tensor):  # it leaves out steps that diverged
        return function(*inputs)
    found: Tensor = _by_graph(function, inputs[0].device)(*inputs)
    return found.clone()


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
        """The policy-gradient objective at ratio 1, to be lowered. `[]`"""
        return -(self.policy.log_likelihood(parameters, batch.obs, batch.output) * batch.advantage).mean()

    def __call__(self, parameters: Tensor, batch: Batch, rate: Tensor | float = 1.0) -> Tensor:
        """The parameters after one step. `[parameter]`

        Args:
            parameters: `[parameter]`
            batch: Sampled with these parameters.
            rate: Factor on the step size, for each parameter. `[parameter]`
        """
        gradient = grad(self.loss)(parameters, batch)
        if self.first_order:
            gradient = gradient.detach()
        return parameters - self.size * (rate * gradient)

    def after(self, start: Tensor, shots: tuple[Batch, ...], rate: Tensor | float = 1.0) -> Tensor:
        """The parameters after one step on each batch. `[parameter]`"""
        for batch in shots:
            start = self(start, batch, rate)
        return start

    def policies(self, start: Tensor, batches: tuple[Batch, ...]) -> list[tuple[Tensor, Tensor]]:
        """Mean and log standard deviation at each batch, after an inner step on every one before it. `[shot]`"""
        return [
            self.policy.distribution(self.after(start, batches[:shot]), batch.obs) for shot, batch in enumerate(batches)
        ]


Adapted = Callable[[Tensor, tuple[Batch, ...]], Tensor]
"""From what a learner learns, as a vector, and the batches of the inner steps to a task's adapted parameters."""


def outer_gradient(
    step: InnerStep, adapted: Adapted, point: Tensor, tasks: list[TaskBatches]
) -> tuple[Tensor, list[Tensor]]:
    """Gradient of the loss after adaptation, mean over tasks `[n]`, and each task's adapted parameters.

    Args:
        step: Its loss is the one that is lowered.
        adapted: The adaptation that is differentiated.
        point: What the learner learns. `[n]`
        tasks: What the trial taught.
    """

    def of_task(task: TaskBatches) -> tuple[Tensor, Tensor]:
        after, pull_back = pulled(lambda at: adapted(at, task.inner), point)
        after = after.detach()
        # At ratio 1 the surrogate's gradient is that of the inner loss.
        return pull_back(grad(step.loss)(after, task.outer))[0], after

    gradients, after = zip(*of_each_task(of_task, tasks), strict=True)
    return torch.stack(gradients).mean(dim=0), list(after)


def fisher_product(
    step: InnerStep,
    start: Tensor,
    tasks: list[TaskBatches],
    adapted: list[Tensor],
    stride: int,
    damping: float,
    rate: Tensor | float = 1.0,
) -> Callable[[Tensor], Tensor]:
    """Products with the Fisher matrix of the adapted policies, seen from the start.

    Through its structure, K' J' M J K: K differentiates the inner steps, J the adapted policy's mean, M weighs by its
    variance, and the standard deviation adds twice the identity. Each inner step's factor of K is symmetric but for
    the rate.

    Args:
        step: The inner step.
        start: Parameters before the inner steps. `[parameter]`
        tasks: What the trial taught.
        adapted: Each task's parameters after the inner steps. `[task][parameter]`
        stride: Of the observations, take every so many-th.
        damping: Added to the matrix's diagonal.
        rate: Factor on the step size, for each parameter. `[parameter]`
    Returns: From a change of the start, or of start and rate one behind the other, to its product.
    """

    def factors(task: TaskBatches, after: Tensor) -> Callable[[Tensor], Tensor]:
        return _task_product(step, start, task, after, stride, rate)

    # For all tasks in one go, what a product needs is computed anew each time: it cannot leave the vectorised function.
    at_once = on_gpu(start)
    products = [] if at_once else for_each_task(factors, tasks, adapted)

    def product(vector: Tensor) -> Tensor:
        if at_once:
            moved = of_each_task(lambda task, after: factors(task, after)(vector), tasks, adapted)
        else:
            moved = for_each_task(lambda of_task: of_task(vector), products)
        return torch.stack(moved).mean(dim=0) + damping * vector

    return product


def _task_product(
    step: InnerStep, start: Tensor, task: TaskBatches, after: Tensor, stride: int, rate: Tensor | float
) -> Callable[[Tensor], Tensor]:
    """One task's part of `fisher_product`."""
    point, derivatives = start, []
    for shot in task.inner:
        fewer = Batch(*(part[::stride] for part in shot))
        gradient = grad(step.loss)(point, shot)
        hessian = torch.zeros_like if step.first_order else _hessian(step, point, fewer)
        derivatives.append((gradient, hessian))
        point = (point - step.size * (rate * gradient)).detach()
    obs, deviations, count = task.outer.obs[::stride], step.policy.action, len(start)
    mean, pull_mean = pulled(lambda at: step.policy.distribution(at, obs)[0], after)
    _, push_mean = pulled(lambda weight: pull_mean(weight)[0], torch.zeros_like(mean))
    precision = torch.exp(-2 * after[-deviations:]) / len(obs)

    def product(vector: Tensor) -> Tensor:
        moved, rate_change = vector[:count], vector[count:]  # of a rate that is not learned there is no change
        for gradient, hessian in derivatives:
            moved = moved - step.size * (rate * hessian(moved))
            if len(rate_change):
                moved = moved - step.size * (rate_change * gradient)
        curved = pull_mean(precision * push_mean(moved)[0])[0]
        curved[-deviations:] += 2 * moved[-deviations:]
        rate_curved = torch.zeros_like(rate_change)
        for gradient, hessian in reversed(derivatives):
            if len(rate_change):
                rate_curved = rate_curved - step.size * (gradient * curved)
            curved = curved - step.size * hessian(rate * curved)
        return torch.cat((curved, rate_curved))

    return product


def surrogate_change(
    step: InnerStep,
    adapted: Adapted,
    point: Tensor,
    tasks: list[TaskBatches],
    before: list[tuple[Tensor, Tensor]],
) -> list[float]:
    """By how much the surrogate after adaptation has grown, and the mean KL divergence of the adapted policies.

    Args:
        step: Its policy is the learner's.
        adapted: The adaptation.
        point: What the learner might learn. `[n]`
        tasks: What the trial taught.
        before: The adapted policies that acted: mean and log standard deviation at the outer batch. `[task]`
    """

    def of_task(task: TaskBatches, old: tuple[Tensor, Tensor]) -> Tensor:
        new = step.policy.distribution(adapted(point, task.inner), task.outer.obs)
        gain = (likelihood_ratio(*new, *old, task.outer.output) - 1) * task.outer.advantage
        return torch.stack((gain.mean(), normal_kl(*old, *new).mean()))

    found: list[float] = torch.stack(of_each_task(of_task, tasks, before)).mean(dim=0).tolist()
    return found


def likelihood_ratio(mean: Tensor, log_std: Tensor, old_mean: Tensor, old_log_std: Tensor, output: Tensor) -> Tensor:
    """How much likelier a normal distribution makes the outputs than an old one did. `[..., n]`"""
    new = (output - mean) * torch.exp(-log_std)
    old = (output - old_mean) * torch.exp(-old_log_std)
    return torch.exp((0.5 * (old.square() - new.square()) + old_log_std - log_std).sum(dim=-1))


def pulled(function: Callable[[Tensor], Tensor], point: Tensor) -> tuple[Tensor, Callable[[Tensor], tuple[Tensor]]]:
    """A function's value at a point, and the products of its transposed Jacobian there."""
    return vjp(function, point)  # type: ignore[return-value]


def _hessian(step: InnerStep, point: Tensor, batch: Batch) -> Callable[[Tensor], Tensor]:
    """Products with the Hessian of a step's loss."""
    pull_back = pulled(partial(grad(step.loss), batch=batch), point)[1]
    return lambda vector: pull_back(vector)[0]
