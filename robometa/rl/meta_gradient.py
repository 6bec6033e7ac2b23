"""Derivatives of adapted policies by the parameters before the inner steps: meta-gradient and Fisher products."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache, partial

import torch
from torch import Tensor
from torch.func import grad, vjp

from robometa.compute.parallel import for_each_task, of_each_task, on_gpu
from robometa.nn.networks import normal_kl
from robometa.rl.policy_gradient import Batch, InnerStep, TaskBatches, likelihood_ratio

Adapted = Callable[[Tensor, tuple[Batch, ...]], Tensor]
"""Adaptation: maps the learned vector and the inner steps' batches to a task's adapted parameters."""


def outer_gradient(
    step: InnerStep, adapted: Adapted, point: Tensor, tasks: list[TaskBatches]
) -> tuple[Tensor, list[Tensor]]:
    """Gradient of the post-adaptation loss, mean over tasks `[n]`, and each task's adapted parameters.

    Args:
        step: Inner step; defines the loss.
        adapted: Adaptation to differentiate.
        point: Learned vector. `[n]`
        tasks: Batches of the trial.
    """

    def of_task(task: TaskBatches) -> tuple[Tensor, Tensor]:
        # Forward through the inner steps, keeping the graph of them.
        after, pull_back = pulled(lambda at: adapted(at, task.inner), point)
        after = after.detach()
        # At ratio 1 the surrogate's gradient is that of the policy's loss.
        return pull_back(grad(step.policy_loss)(after, task.outer))[0], after

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
    """Products with the Fisher matrix of the adapted policies, by the parameters before adaptation.

    The matrix is K' J' M J K: K is the Jacobian of the inner steps, J that of the adapted policy's mean, M the inverse
    variance. The standard deviation adds twice the identity. Each inner step's factor of K is symmetric but for the
    rate.

    Args:
        step: The inner step.
        start: Parameters before the inner steps. `[parameter]`
        tasks: Batches of the trial.
        adapted: Each task's parameters after the inner steps. `[task][parameter]`
        stride: Use every `stride`-th observation.
        damping: Added to the matrix's diagonal.
        rate: Factor on the step size, for each parameter. `[parameter]`

    Returns:
        Function from a change of the start, or of start and rate concatenated, to its product.
    """

    def factors(task: TaskBatches, after: Tensor) -> Callable[[Tensor], Tensor]:
        return _task_product(step, start, task, after, stride, rate)

    # On a GPU every product recomputes its factors: they cannot leave the vectorised function.
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
    """`fisher_product` of a single task."""
    point, derivatives = start, []
    for number, shot in enumerate(task.inner, 1):
        fewer = Batch(*(part[::stride] for part in shot))
        # One factor of K for each inner step: identity - size * rate * Hessian. Its gradient is for the rate's change.
        gradient = cache(partial(grad(step.loss), point, shot))
        hessian = torch.zeros_like if step.first_order else _hessian(step, point, fewer)
        derivatives.append((gradient, hessian))
        if number < len(task.inner):
            point = (point - step.size * (rate * gradient())).detach()
    # J, by the adapted policy's mean; differentiating its transpose once more gives J forwards.
    obs, deviations, count = task.outer.obs[::stride], step.policy.action, len(start)
    mean, pull_mean = pulled(lambda at: step.policy.distribution(at, obs)[0], after)
    _, push_mean = pulled(lambda weight: pull_mean(weight)[0], torch.zeros_like(mean))
    # M: the inverse variance of each action, mean over observations.
    precision = torch.exp(-2 * after[-deviations:]) / len(obs)

    def product(vector: Tensor) -> Tensor:
        moved, rate_change = vector[:count], vector[count:]  # empty if the rate is not learned
        # Fisher product: forward through K, J, M, back through J', K'.
        for gradient, hessian in derivatives:
            moved = moved - step.size * (rate * hessian(moved))
            if len(rate_change):
                moved = moved - step.size * (rate_change * gradient())
        # J' M J, and the part of the standard deviation.
        curved = pull_mean(precision * push_mean(moved)[0])[0]
        curved[-deviations:] += 2 * moved[-deviations:]
        rate_curved = torch.zeros_like(rate_change)
        # K': the inner steps in reverse.
        for gradient, hessian in reversed(derivatives):
            if len(rate_change):
                rate_curved = rate_curved - step.size * (gradient() * curved)
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
    """Improvement of the post-adaptation surrogate, and mean KL divergence of the adapted policies.

    Args:
        step: Its policy is the learner's.
        adapted: Adaptation.
        point: Candidate for the learned vector. `[n]`
        tasks: Batches of the trial.
        before: Mean and log standard deviation, at the outer batch, of the adapted policies that acted. `[task]`
    """

    def of_task(task: TaskBatches, old: tuple[Tensor, Tensor]) -> Tensor:
        new = step.policy.distribution(adapted(point, task.inner), task.outer.obs)
        # Surrogate: (probability ratio - 1) * advantage; 0 at the start.
        gain = (likelihood_ratio(*new, *old, task.outer.output) - 1) * task.outer.advantage
        return torch.stack((gain.mean(), normal_kl(*old, *new).mean()))

    change: list[float] = torch.stack(of_each_task(of_task, tasks, before)).mean(dim=0).tolist()
    return change


def pulled(function: Callable[[Tensor], Tensor], point: Tensor) -> tuple[Tensor, Callable[[Tensor], tuple[Tensor]]]:
    """Value of a function at a point, and products with its transposed Jacobian there."""
    return vjp(function, point)  # type: ignore[return-value]


def _hessian(step: InnerStep, point: Tensor, batch: Batch) -> Callable[[Tensor], Tensor]:
    """Products with the Hessian of a step's loss."""
    pull_back = pulled(partial(grad(step.loss), batch=batch), point)[1]
    return lambda vector: pull_back(vector)[0]
