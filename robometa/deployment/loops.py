"""Loops of an adaptation as operators of their own, which an exported graph repeats for any number of steps.

Tracing would write every iteration of a loop out, for one length only.
"""

from __future__ import annotations

import torch
from torch import Tensor


@torch.library.custom_op("robometa::discounted", mutates_args=())
def discounted(value: Tensor, carry: Tensor) -> Tensor:
    """Running sums backwards in time: `sum_t = value_t + carry_t * sum_{t+1}`. `[world, time]`, float32 each."""
    result, running = torch.empty_like(value), torch.zeros_like(value[:, 0])
    for time in reversed(range(value.shape[1])):
        running = value[:, time] + carry[:, time] * running
        result[:, time] = running
    return result


@discounted.register_fake
def _(value: Tensor, carry: Tensor) -> Tensor:
    return torch.empty_like(value)


@torch.library.custom_op("robometa::solved", mutates_args=())
def solved(matrix: Tensor, right: Tensor) -> Tensor:
    """Solution of a positive definite system. `[n, n]`, `[n, 1]`, float64."""
    return torch.linalg.solve(matrix, right)


@solved.register_fake
def _(matrix: Tensor, right: Tensor) -> Tensor:
    return torch.empty_like(right)
