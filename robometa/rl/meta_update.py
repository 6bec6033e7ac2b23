"""Trust-region meta-update for all tasks at once: few large computations, captured as CUDA graphs.

The results are those of `meta_gradient`, which computes task by task. A task's loss depends on its own parameters only:
the gradient of the summed losses is the gradient of each.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from robometa.compute.cuda_graphs import CapturedFunction
from robometa.data import Trial
from robometa.nn.networks import GaussianPolicy, normal_kl, normal_log_density
from robometa.rl.policy_gradient import Batch, Estimator, InnerStep, TaskBatches, likelihood_ratio, stacked_batches
from robometa.rl.trust_region import Begun, Options, trust_region_step

Product = Callable[[Tensor], Tensor]
"""Product of each task's symmetric matrix with a vector of the task. `[task, parameter]`"""
Acted = tuple[Tensor, Tensor]
"""Mean and log standard deviation of a policy on a batch. `[task, n, action]`, `[task, 1, action]`"""


class Proposal(NamedTuple):
    """Input of the line search."""

    step: Tensor
    """Step to add to the learned vector, or to the start if the rate has a separate step. `[n]`"""
    expected: Tensor
    """Improvement of the loss by the linear model. `[]`"""
    norm: Tensor
    """Norm of the gradient that the step follows. `[]`"""
    moved: Tensor
    """Norm of the inner steps together, mean over tasks. `[]`"""
    gradient: Tensor
    """Gradient of the loss by the learned vector. `[n]`"""
    acted: tuple[Acted, ...]
    """Policies before the update, on each inner batch and on the outer one."""


class _Shot(NamedTuple):
    """An inner step, differentiated."""

    gradient: Tensor
    """Gradient of the loss. `[task, parameter]`"""
    credited: Tensor | None
    """Gradient of the sampling term: credit times log-likelihood of the actions before the step. `[task, parameter]`"""
    hessian: Product | None
    """Products with the Hessian of the loss; None in first-order updates."""
    estimate: Product | None
    """`hessian` on a subset of the observations."""


class MetaUpdate:
    """Proposes a step of the learned vector, and evaluates candidate points; on a GPU, one launch each.

    The learned vector is the start, or start and rate concatenated.
    """

    def __init__(
        self,
        step: InnerStep,
        options: Options,
        device: torch.device,
        rate: Tensor | float | None,
        *,
        rate_apart: bool = False,
    ) -> None:
        """Captures nothing yet.

        Args:
            step: The inner step.
            options: Options of the learner.
            device: Device of the learner.
            rate: Factor on the inner step's size `[parameter]`; None if it is learned.
            rate_apart: The trust-region step moves the start only; a learned rate has a separate step.
        """
        self._step, self._options, self._rate, self._rate_apart = step, options, rate, rate_apart
        self.propose = CapturedFunction(self._propose, device)
        self.change_at = CapturedFunction(self._change_at, device)

    def begun(self, learned: Tensor, trial: Trial, estimator: Estimator, credits: Tensor | None = None) -> Begun | None:
        """Begins an update on a trial; None if tasks are to be computed one by one.

        Args:
            learned: `[n]`
            trial: Rollouts of all shots.
            estimator: Makes batches of rollouts.
            credits: As for `_propose`.
        """
        tasks = stacked_batches(trial, estimator)
        if tasks is None:
            return None
        proposal: Proposal = self.propose(learned, tasks, credits)
        step, expected, norm, moved, gradient, acted = proposal

        def change_at(point: Tensor) -> Sequence[float]:
            point = torch.cat((point, learned[len(point) :])) if self._rate_apart else point
            change: list[float] = self.change_at(point, tasks, acted, credits).tolist()
            return change

        return Begun(step, expected, norm, change_at, moved, gradient)

    def _propose(self, learned: Tensor, tasks: TaskBatches, credits: Tensor | None) -> Proposal:
        """Computes the trust-region step of the learned vector.

        Args:
            learned: `[n]`
            tasks: Batches of the trial, stacked over tasks. `[task, n, ...]`
            credits: Credit of each task for the actions before its inner steps, by its final return. `[task]`
        """
        # Inner steps, differentiated. [task, parameter]
        options, (start, rate) = self._options, self._split(learned)
        point, shots, acted = start.expand(len(tasks.outer.obs), -1), [], []
        for batch in tasks.inner:
            policy, shot = self._differentiated(point, batch, credits)
            acted.append(policy)
            shots.append(shot)
            point = point - self._step.size * (rate * shot.gradient)
        # Outer gradient: of the loss after the inner steps, pulled back to the start. [n]
        loss, policy = self._loss(leaves := _cut(self._step.policy, point), tasks.outer, value=False)
        # At ratio 1 the surrogate's gradient is that of the policy's loss.
        gradient = self._pulled_back(_gradient(loss, leaves), shots, rate).mean(dim=0)
        # Trust-region step: conjugate gradient without synchronising with the device.
        fisher = self._fisher(point, tasks.outer.obs, shots, rate)
        followed = gradient[: len(start)] if self._rate_apart else gradient
        step, expected = trust_region_step(
            followed, fisher, options.kl_bound, options.conjugate_gradient_steps, ends_early=False
        )
        moved = (point - start).norm(dim=-1).mean()
        return Proposal(step, expected, followed.norm(), moved, gradient, (*acted, policy))

    def _change_at(self, point: Tensor, tasks: TaskBatches, acted: tuple[Acted, ...], credits: Tensor | None) -> Tensor:
        """Improvement of the surrogate at a point, and mean KL divergence of the adapted policies. `[2]`."""
        start, rate = self._split(point)
        at, gain = start.expand(len(tasks.outer.obs), -1), torch.zeros_like(tasks.outer.advantage[:, 0])
        for batch, old in zip(tasks.inner, acted[:-1], strict=True):
            # Adapt from the point as from the start.
            loss, new = self._loss(leaves := _cut(self._step.policy, at), batch)
            if credits is not None:
                gain = gain + credits * (likelihood_ratio(*new, *old, batch.output).mean(dim=-1) - 1)
            at = at - self._step.size * (rate * _gradient(loss, leaves))
        # Surrogate and divergence of the adapted policies. [task]
        new = self._step.policy.distribution(at, tasks.outer.obs)
        surrogate = (likelihood_ratio(*new, *acted[-1], tasks.outer.output) - 1) * tasks.outer.advantage
        divergence = normal_kl(*acted[-1], *new).mean(dim=-1)
        return torch.stack((gain + surrogate.mean(dim=-1), divergence)).mean(dim=-1)

    def _split(self, learned: Tensor) -> tuple[Tensor, Tensor | float]:
        """Splits the learned vector into start and rate."""
        if self._rate is not None:
            return learned, self._rate
        start, rate = learned.chunk(2)
        return start, rate

    def _loss(self, leaves: list[Tensor], batch: Batch, *, value: bool = True) -> tuple[Tensor, Acted]:
        """Sum of the tasks' losses, the value's error in it or not, by the leaves; and the policy's output."""
        with torch.enable_grad():
            mean, log_std, predicted = _outputs(self._step.policy, leaves, batch.obs)
            loss = -(normal_log_density(batch.output, mean, log_std) * batch.advantage).mean(dim=-1)
            # The sum over tasks: its gradient by a task's leaves is that of the task's own loss.
            loss = (self._step.with_value(loss, predicted, batch) if value else loss).sum()
        return loss, (mean.detach(), log_std.detach())

    def _differentiated(self, point: Tensor, batch: Batch, credits: Tensor | None) -> tuple[Acted, _Shot]:
        """Policy output at a point, and the differentiated inner step from there. `[task, parameter]`."""
        leaves, stride = _cut(self._step.policy, point), self._options.fisher_stride
        if self._step.first_order:
            loss, acted = self._loss(leaves, batch)
            gradient, hessian = _gradient(loss, leaves), None
        else:
            loss, acted = self._loss(leaves, batch)
            gradient, hessian = _gradient_and_hessian(loss, leaves)
        credited, estimate = None, hessian
        if credits is not None:
            ones = batch._replace(advantage=credits.unsqueeze(-1).expand_as(batch.advantage))
            credited = _gradient(self._loss(leaves, ones, value=False)[0], leaves)
        # The Fisher matrix's Hessian comes from fewer observations.
        if hessian is not None and stride > 1:
            fewer = Batch(*(part[:, ::stride].contiguous() for part in batch))
            estimate = _gradient_and_hessian(self._loss(leaves, fewer)[0], leaves)[1]
        return acted, _Shot(gradient, credited, hessian, estimate)

    def _pulled_back(self, curved: Tensor, shots: list[_Shot], rate: Tensor | float) -> Tensor:
        """Pulls a gradient at the adapted parameters back to the learned vector. `[task, n]`."""
        curved, rate_curved = self._through(curved, shots, rate, [shot.hessian for shot in shots])
        return curved if rate_curved is None else torch.cat((curved, rate_curved), dim=-1)

    def _through(
        self, curved: Tensor, shots: list[_Shot], rate: Tensor | float, hessians: list[Product | None]
    ) -> tuple[Tensor, Tensor | None]:
        """Pulls a gradient at the adapted parameters back to the start, and to the rate if that is learned."""
        size, rate_curved = self._step.size, None
        for shot, hessian in zip(reversed(shots), reversed(hessians), strict=True):
            # By the rate: the inner step's gradient times the incoming gradient.
            if self._rate is None:
                change = -size * (shot.gradient * curved)
                rate_curved = change if rate_curved is None else rate_curved + change
            if hessian is not None:
                curved = curved - size * hessian(rate * curved)
            if shot.credited is not None:
                curved = curved + shot.credited
        return curved, rate_curved

    def _fisher(self, after: Tensor, obs: Tensor, shots: list[_Shot], rate: Tensor | float) -> Product:
        """Products with the Fisher matrix, `K' J' M J K` as in `meta_gradient.fisher_product`. `[n] -> [n]`."""
        size, count, deviations = self._step.size, after.shape[-1], self._step.policy.action
        push, pull = _jacobian(self._step.policy, after, obs := obs[:, :: self._options.fisher_stride].contiguous())
        precision = torch.exp(-2 * after[:, -deviations:]).unsqueeze(-2) / obs.shape[1]
        plain = [shot._replace(credited=None) for shot in shots]
        estimates = [shot.estimate for shot in shots]

        def product(vector: Tensor) -> Tensor:
            moved, rate_change = vector[:count].expand_as(after), vector[count:]
            # Forward through K: the inner steps in order.
            for shot in shots:
                if shot.estimate is not None:
                    moved = moved - size * (rate * shot.estimate(moved))
                if self._rate is None and not self._rate_apart:
                    moved = moved - size * (rate_change * shot.gradient)
            # The standard deviation adds twice the identity.
            curved = torch.cat((pull(precision * push(moved)), 2 * moved[:, -deviations:]), dim=-1)
            curved, rate_curved = self._through(curved, plain, rate, estimates)
            if rate_curved is not None and not self._rate_apart:
                curved = torch.cat((curved, rate_curved), dim=-1)
            return curved.mean(dim=0) + self._options.damping * vector

        return product


def _sizes(policy: GaussianPolicy) -> list[int]:
    """Sizes of each weight and bias, and of the standard deviation."""
    return [size for into, out in policy.layers for size in (into * out, out)] + [policy.action]


def _cut(policy: GaussianPolicy, point: Tensor) -> list[Tensor]:
    """Weights, biases and log standard deviation as leaves for autograd. `[task, numbers]` each.

    Separate leaves are faster than slices of one vector: a slice's derivative is a vector of zeros and a copy.
    """
    return [part.detach().requires_grad_() for part in point.split(_sizes(policy), dim=-1)]


def _distribution(policy: GaussianPolicy, leaves: list[Tensor], obs: Tensor) -> Acted:
    """Policy output, as `GaussianPolicy.distribution`, from separate parameters."""
    mean, log_std, _ = _outputs(policy, leaves, obs)
    return mean, log_std


def _outputs(policy: GaussianPolicy, leaves: list[Tensor], obs: Tensor) -> tuple[Tensor, Tensor, Tensor | None]:
    """Policy output and value, as `GaussianPolicy.outputs`, from separate parameters."""
    x, (*layers, log_std) = obs, leaves
    for index, ((into, out), weight, bias) in enumerate(zip(policy.layers, layers[::2], layers[1::2], strict=True)):
        x = torch.bmm(torch.tanh(x) if index else x, weight.unflatten(-1, (into, out))) + bias.unsqueeze(-2)
    mean, value = policy.parted(x)
    return mean, log_std.unsqueeze(-2).clamp(min=policy.minimum_log_std), value


def _gradient(loss: Tensor, leaves: list[Tensor]) -> Tensor:
    """Gradient of each task's loss. `[task, parameter]`."""
    return torch.cat(torch.autograd.grad(loss, leaves, retain_graph=True), dim=-1)


def _gradient_and_hessian(loss: Tensor, leaves: list[Tensor]) -> tuple[Tensor, Product]:
    """Gradient of each task's loss `[task, parameter]`, and products with its Jacobian."""
    # The gradient's own graph gives products with the Hessian.
    gradients = torch.autograd.grad(loss, leaves, create_graph=True)
    sizes = [leaf.shape[-1] for leaf in leaves]

    def product(vector: Tensor) -> Tensor:
        parts = vector.split(sizes, dim=-1)
        return torch.cat(torch.autograd.grad(gradients, leaves, parts, retain_graph=True), dim=-1)

    return torch.cat(gradients, dim=-1).detach(), product


def _jacobian(policy: GaussianPolicy, point: Tensor, obs: Tensor) -> tuple[Product, Product]:
    """Products with the Jacobian of a policy's mean, and with its transpose; the latter excludes the deviation."""
    leaves = _cut(policy, point)
    with torch.enable_grad():
        mean, _ = _distribution(policy, leaves, obs)
        weight = torch.zeros_like(mean, requires_grad=True)
        # J' weight is linear in weight: differentiated by it, it gives J.
        pulled = torch.autograd.grad(mean, leaves[:-1], weight, create_graph=True)

    def push(vector: Tensor) -> Tensor:
        parts = vector.split(_sizes(policy), dim=-1)[:-1]
        return torch.autograd.grad(pulled, weight, parts, retain_graph=True)[0]

    def pull(vector: Tensor) -> Tensor:
        return torch.cat(torch.autograd.grad(mean, leaves[:-1], vector, retain_graph=True), dim=-1)

    return push, pull
