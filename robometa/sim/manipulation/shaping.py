"""The pieces that Meta-World's rewards are made of: nearness, soft conjunctions, reaching, caging and lifting.

All take and return batches with the worlds first, float64, and use tensor methods only.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import torch
from torch import Tensor

MARGIN_VALUE = 0.1
"""What `near` is worth at the margin's end."""


def distance(first: Tensor, second: Tensor, scale: Tensor | None = None) -> Tensor:
    """How far places are from each other. `[world, n]` and `[world, n]` to `[world]`

    Args:
        first: One place of each world.
        second: The other.
        scale: What each axis counts; the same if None. `[n]`
    """
    apart = first - second if scale is None else (first - second) * scale
    return apart.square().sum(-1).sqrt()


def constant(like: Tensor, *numbers: float) -> Tensor:
    """These numbers, of the precision and on the device of another tensor, where they stay. `[numbers]`"""
    return _kept(numbers, like.dtype, like.device)


@cache
def _kept(numbers: tuple[float, ...], dtype: torch.dtype, device: torch.device) -> Tensor:
    return torch.tensor(numbers, dtype=dtype, device=device)


def near(value: Tensor, low: float | Tensor, high: float | Tensor, margin: float | Tensor) -> Tensor:
    """1 within low..high, falling with a long tail outside, to 0.1 at `margin` beyond. `[world]`

    A margin of 0 leaves 0 outside.

    Source: `tolerance` with its `long_tail` sigmoid in DeepMind's Control Suite, Tassa et al. 2018,
    https://arxiv.org/abs/1801.00690.
    """
    beyond = torch.where(value < low, low - value, value - high)
    far = torch.as_tensor(margin, dtype=value.dtype, device=value.device)
    worth = 1 / ((beyond / far).square() * (1 / MARGIN_VALUE - 1) + 1)
    inside = (low <= value) & (value <= high)
    return torch.where(inside, 1.0, torch.where(far == 0, 0.0, worth))


def near_gaussian(value: Tensor, low: float | Tensor, high: float | Tensor, margin: float | Tensor) -> Tensor:
    """As `near`, falling like a bell instead of with a long tail. `[world]`"""
    beyond = torch.where(value < low, low - value, value - high)
    far = torch.as_tensor(margin, dtype=value.dtype, device=value.device)
    scale = -2 * torch.log(torch.as_tensor(MARGIN_VALUE, dtype=value.dtype, device=value.device))
    worth = torch.exp(-0.5 * (beyond / far).square() * scale)
    inside = (low <= value) & (value <= high)
    return torch.where(inside, 1.0, torch.where(far == 0, 0.0, worth))


def approached(value: Tensor, radius: float, start: Tensor, falling: Callable[..., Tensor] = near) -> Tensor:
    """1 where a distance is within `radius`, and 0.1 where it is what it was at the start. `[world]`

    Args:
        value: The distance now, m. `[world]`
        radius: m
        start: The distance at the episode's beginning, m. `[world]`
        falling: `near` or `near_gaussian`.
    """
    return falling(value, 0.0, radius, (start - radius).abs())


def funnel(away: Tensor, inner: float | Tensor, slope: float, height: float) -> Tensor:
    """How high one must be so far `away` from the middle: 0 within `inner`, then as its logarithm, m. `[world]`"""
    beyond = away - inner
    return torch.where(beyond > 0, slope * beyond.log() + height, 0.0)


def above(height: Tensor, floor: Tensor, margin: float | Tensor) -> Tensor:
    """1 above a floor and to 1 cm below, falling further down. `[world]`"""
    return near((floor - height).clamp_min(0.0), 0.0, 0.01, margin)


def both(first: Tensor, second: Tensor) -> Tensor:
    """How much two conditions, each 0 to 1, hold together: their Hamacher product. `[world]`"""
    product = first * second
    total = first + second - product
    return torch.where(total > 0, product / total, 0.0)


def caged(
    quantity: Any,
    place: Tensor,
    *,
    radius: float,
    reach: float,
    width: float,
    margin: float,
    effort: float = 1.0,
    density: str = "sparse",
    start: Tensor | None = None,
) -> Tensor:
    """How well the gripper holds a thing: pads beside it, fingers over it, and closing. `[world]`

    Args:
        quantity: The named quantities.
        place: Where the thing is, m. `[world, 3]`
        radius: Of the thing, m.
        reach: Of the fingers' middle to the thing: within it they have reached it, m.
        width: Of a pad to the thing: within it the pad is beside it, m.
        margin: Of the fingers to the thing seen from the side: within it they are over it, m.
        effort: How hard it must be gripped, as the action's last number.
        density: What is paid before it is held: `sparse` nothing, `medium` for reaching, `high` for caging.
        start: Where the thing began, m; `object_start` if None. `[world, 3]`
    """
    object_start = quantity["object_start"] if start is None else start
    fingers_start, fingers = quantity["fingers_start"], quantity["fingers"]
    beside = []
    for pad in ("left_pad", "right_pad"):
        y = quantity[pad][:, 1]
        room = ((y - object_start[:, 1]).abs() - width).abs()
        beside.append(near((y - place[:, 1]).abs(), radius, width, room))
    over = near(
        distance(fingers[:, ::2], place[:, ::2]),
        0.0,
        margin,
        distance(object_start[:, ::2], fingers_start[:, ::2]) - margin,
    )
    caging = both(both(*beside), over)
    closing = quantity["action"][:, -1].clamp(0.0, effort) / effort
    held = both(caging, torch.where(caging > 0.97, closing, 0.0))
    if density == "high":
        return (held + caging) / 2
    if density == "medium":
        room = (distance(object_start, fingers_start) - reach).abs()
        return (held + near(distance(place, fingers), 0.0, reach, room)) / 2
    return held
