"""Array functions of the rewards, for numpy's arrays and torch's tensors.

On batches as small as the worlds of a task a call of torch's costs several times one of numpy's; on a GPU only tensors
will do. Operators, comparisons, slices, `abs`, `sum`, `prod` and `all` are the same on both anyway.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Any

import numpy as np
import torch
from torch import Tensor

Array = Any
"""A batch of numbers, the worlds first: numpy's array, or torch's tensor on any device; float64 or bool."""


def where(condition: Array, chosen: Array | float, otherwise: Array | float) -> Array:
    """Elements of one or the other, by a condition. `[world]`."""
    return (torch if isinstance(condition, Tensor) else np).where(condition, chosen, otherwise)


def stack(parts: Sequence[Array]) -> Array:
    """Stacks batches along a new first axis. `[part, world, ...]`."""
    return (torch if isinstance(parts[0], Tensor) else np).stack(tuple(parts))


def join(parts: Sequence[Array]) -> Array:
    """Concatenates numbers along the last axis. `[world, n]`."""
    return torch.cat(tuple(parts), dim=1) if isinstance(parts[0], Tensor) else np.concatenate(parts, axis=1)


def at_least(value: Array, low: Array | float) -> Array:
    """Maximum. `[world]`."""
    if isinstance(value, Tensor):
        return value.clamp_min(low) if isinstance(low, float) else torch.maximum(value, low)
    return np.maximum(value, low)


def at_most(value: Array, high: Array | float) -> Array:
    """Minimum. `[world]`."""
    if isinstance(value, Tensor):
        return value.clamp_max(high) if isinstance(high, float) else torch.minimum(value, high)
    return np.minimum(value, high)


def length(vector: Array) -> Array:
    """Lengths of vectors. `[world, n]` to `[world]`."""
    if isinstance(vector, Tensor):
        return torch.linalg.vector_norm(vector, dim=-1)
    return np.sqrt(np.vecdot(vector, vector))


def as_number(condition: Array) -> Array:
    """Converts a condition to 0 or 1, float64. `[world]`."""
    return condition.double() if isinstance(condition, Tensor) else condition.astype(np.float64)


def log(value: Array) -> Array:
    """Natural logarithm. `[world]`."""
    return value.log() if isinstance(value, Tensor) else np.log(value)


def exp(value: Array) -> Array:
    """Exponential. `[world]`."""
    return value.exp() if isinstance(value, Tensor) else np.exp(value)


def numbers(like: Array, *values: float) -> Array:
    """Converts numbers to another batch's kind and device. `[n]`."""
    if isinstance(like, Tensor):
        return _kept_tensor(values, like.dtype, like.device)
    return _kept(values)


@cache
def _kept(values: tuple[float, ...]) -> Array:
    return np.array(values)


@cache
def _kept_tensor(values: tuple[float, ...], dtype: torch.dtype, device: torch.device) -> Array:
    return torch.tensor(values, dtype=dtype, device=device)
