"""The parts of trust-region policy optimisation (Schulman et al. 2015, https://arxiv.org/abs/1502.05477)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Annotated, NamedTuple

import torch
from torch import Tensor

from robometa import errors
from robometa.compute.parallel import on_gpu
from robometa.errors import Search


def conjugate_gradient(
    product: Callable[[Tensor], Tensor],
    target: Tensor,
    steps: int,
    tolerance: float = 1e-10,
    ends_early: bool | None = None,
) -> Tensor:
    """An approximate solution x of A x = target for a symmetric positive definite A, known by its products.

    Args:
        product: From a vector to A times it. `[n] -> [n]`
        target: `[n]`
        steps: Products at the most.
        tolerance: Squared norm of the residual, relative to the target's, at which to stop.
        ends_early: Ask after each step if that is reached, and otherwise take the steps that remain without effect.
            If None, true except on a GPU, where asking waits.

    Returns:
        `[n]`
    """
    asks = not on_gpu(target) if ends_early is None else ends_early
    # x = 0, so the residual is the target.
    solution = torch.zeros_like(target)
    residual = target.clone()
    direction = residual.clone()
    squared = residual @ residual
    stop = tolerance * squared
    for _ in range(steps):
        done = squared <= stop
        if asks and done:
            break
        # Along the direction to its minimum.
        moved = product(direction)
        length = squared / (direction @ moved)
        solution = torch.where(done, solution, solution + length * direction)
        residual = torch.where(done, residual, residual - length * moved)
        # Next direction: conjugate to all before it with respect to A.
        previous, squared = squared, residual @ residual
        direction = torch.where(done, direction, residual + squared / previous * direction)
    return solution


def trust_region_step(
    gradient: Tensor,
    fisher_product: Callable[[Tensor], Tensor],
    bound: float,
    steps: int,
    ends_early: bool | None = None,
) -> tuple[Tensor, Tensor]:
    """The step of steepest descent at which the quadratic model of the divergence is `bound`.

    Args:
        gradient: Of the loss. `[n]`
        fisher_product: From a vector to the Fisher matrix times it.
        bound: On the KL divergence, nats.
        steps: Of conjugate gradient.
        ends_early: As for `conjugate_gradient`.

    Returns:
        The step `[n]`, to be added, and the improvement of the loss that a linear model expects of it `[]`.
    """
    # Natural gradient: F x = -g.
    direction = conjugate_gradient(fisher_product, -gradient, steps, ends_early=ends_early)
    # Length at which the quadratic model of the divergence, 0.5 s' F s, is the bound.
    curvature = direction @ fisher_product(direction)
    sound = torch.isfinite(curvature) & (curvature > 0)
    step = torch.where(sound, direction * torch.sqrt(2 * bound / curvature), 0.0)
    return step, torch.where(sound, -(gradient @ step), 0.0)


def line_search(
    change_at: Callable[[Tensor], Sequence[float]],
    start: Tensor,
    step: Tensor,
    bound: float,
    shrink: float,
    trials: int,
) -> tuple[Tensor, int]:
    """Backtracks from `start + step` to the first point that improves the loss within the bound.

    Args:
        change_at: From a point to (loss improvement, KL divergence) against the start.
        start: `[n]`
        step: `[n]`
        bound: On the KL divergence, nats.
        shrink: Factor on the step after each refusal.
        trials: Points at the most.

    Returns:
        The point, and the number of refused ones; the start itself if all were.
    """
    for trial in range(trials):
        # Backtrack: shorter steps until both conditions hold.
        point = start + shrink**trial * step
        improvement, divergence = change_at(point)
        if improvement > 0 and divergence <= bound:
            return point, trial
    return start, trials


@dataclass(frozen=True)
class Options(errors.Options):
    """Options of trust-region updates."""

    kl_bound: Annotated[float, "(0, inf)", Search(1e-3, 0.1, log=True)] = 0.02
    """Bound on the adapted policies' mean KL divergence in an update, nats."""
    conjugate_gradient_steps: Annotated[int, "[1, inf)"] = 10
    """Products with the Fisher matrix per update."""
    damping: Annotated[float, "[0, inf)"] = 1e-5
    """Added to the Fisher matrix's diagonal."""
    fisher_stride: Annotated[int, "[1, inf)"] = 4
    """Stride in time of the Fisher matrix's observations; gradient and line search use all."""
    line_search_shrink: Annotated[float, "(0, 1)"] = 0.8
    """Factor on the step after each refused point of the line search."""
    line_search_trials: Annotated[int, "[1, inf)"] = 15
    """Most points of the line search; if all are refused the policy is unchanged."""


class Begun(NamedTuple):
    """An update before its line search."""

    step: Tensor
    """Step to add to the learned vector. `[n]`"""
    expected: Tensor
    """Improvement of the loss by the linear model. `[]`"""
    norm: Tensor
    """Norm of the gradient. `[]`"""
    change_at: Callable[[Tensor], Sequence[float]]
    """Function from a point to its surrogate improvement and KL divergence."""
    moved: Tensor
    """Norm of the inner steps together, mean over tasks. `[]`"""
    gradient: Tensor
    """Gradient of the loss, by all that is learned, which may be more than the step moves. `[n or more]`"""

    def searched(self, learned: Tensor, options: Options) -> tuple[Tensor, int]:
        """Learned vector after the line search, and the number of refused points."""
        return line_search(
            self.change_at,
            learned,
            self.step,
            options.kl_bound,
            options.line_search_shrink,
            options.line_search_trials,
        )

    def metrics(self, refused: int, policy_std: Tensor) -> dict[str, float]:
        """Metrics of the update.

        Args:
            refused: Number of points that the line search refused.
            policy_std: Mean standard deviation of the policy's output after the update. `[]`
        """
        expected, norm, moved, deviation = floats(self.expected, self.norm, self.moved, policy_std)
        return {
            "expected_improvement": expected,
            "line_search_refusals": float(refused),
            "gradient_norm": norm,
            "adaptation_norm": moved,
            "policy_std": deviation,
        }


def mean_distance(points: Sequence[Tensor], start: Tensor) -> Tensor:
    """Distance of points from a start, mean over the points. `[]`."""
    return (torch.stack(list(points)) - start).norm(dim=-1).mean()


def floats(*scalars: Tensor) -> list[float]:
    """Reads scalars from a device in one transfer."""
    numbers: list[float] = torch.stack(scalars).tolist()
    return numbers
