"""Building blocks of Meta-World's rewards: nearness, soft conjunction, reaching, caging and lifting.

All take and return batches with the worlds first, float64, on numpy's arrays and torch's tensors alike.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from robometa.sim.metaworld.arrays import Array, at_least, at_most, exp, length, log, stack, where

TINY = 1e-150
"""Divisor in place of 0: its square is still above 0."""
MARGIN_VALUE = 0.1
"""Value of `near` at the margin's end."""


def distance(first: Array, second: Array, scale: Array | None = None) -> Array:
    """Distance between places. `[world, n]` and `[world, n]` to `[world]`.

    Args:
        first: One place of each world.
        second: The other.
        scale: Weight of each axis; 1 if None. `[n]`
    """
    apart = first - second if scale is None else (first - second) * scale
    return length(apart)


def near(value: Array, low: float | Array, high: float | Array, margin: float | Array) -> Array:
    """1 within low..high, falling with a long tail outside, to 0.1 at `margin` beyond. `[world]`.

    A margin of 0 leaves 0 outside; a `low` of 0.0 is no bound, since what is so bounded are distances.

    Source: `tolerance` with its `long_tail` sigmoid in DeepMind's Control Suite, Tassa et al. 2018,
    https://arxiv.org/abs/1801.00690.
    """
    return 1 / (_beyond(value, low, high, margin) ** 2 * (1 / MARGIN_VALUE - 1) + 1)


def near_gaussian(value: Array, low: float | Array, high: float | Array, margin: float | Array) -> Array:
    """Like `near`, with a Gaussian tail instead of a long one. `[world]`."""
    return exp(_beyond(value, low, high, margin) ** 2 * math.log(MARGIN_VALUE))


def _beyond(value: Array, low: float | Array, high: float | Array, margin: float | Array) -> Array:
    """Distance of a value from low..high, in margins. `[world]`."""
    above = value - high
    outside = above if isinstance(low, float) and low == 0.0 else at_least(above, low - value)
    far = max(margin, TINY) if isinstance(margin, float) else at_least(margin, TINY)
    return at_least(outside, 0.0) / far


def approached(value: Array, radius: float, start: Array, falling: Callable[..., Array] = near) -> Array:
    """1 within `radius`, 0.1 at the initial distance. `[world]`.

    Args:
        value: The distance now, m. `[world]`
        radius: m
        start: The distance at the episode's beginning, m. `[world]`
        falling: `near` or `near_gaussian`.
    """
    return falling(value, 0.0, radius, abs(start - radius))


def funnel(away: Array, inner: float | Array, slope: float, height: float) -> Array:
    """Height of a funnel at a distance `away` from its middle: 0 within `inner`, then logarithmic, m. `[world]`."""
    beyond = away - inner
    return where(beyond > 0, slope * log(at_least(beyond, TINY)) + height, 0.0)


def above(height: Array, floor: Array, margin: float | Array) -> Array:
    """1 above a floor and to 1 cm below, falling further down. `[world]`."""
    return near(at_least(floor - height, 0.0), 0.0, 0.01, margin)


def both(first: Array, second: Array) -> Array:
    """Hamacher product of two conditions, each 0 to 1. `[world]`."""
    product = first * second
    return product / at_least(first + second - product, TINY)


def caged(
    quantity: Any,
    place: Array,
    *,
    radius: float,
    reach: float,
    width: float,
    margin: float,
    effort: float = 1.0,
    density: str = "sparse",
    start: Array | None = None,
) -> Array:
    """Grip on an object, 0 to 1: pads beside it, fingers over it, gripper closing. `[world]`.

    Args:
        quantity: The named quantities.
        place: Place of the thing, m. `[world, 3]`
        radius: Radius of the thing, m.
        reach: Of the fingers' middle to the thing: within it they have reached it, m.
        width: Of a pad to the thing: within it the pad is beside it, m.
        margin: Of the fingers to the thing seen from the side: within it they are over it, m.
        effort: How hard it must be gripped, as the action's last number.
        density: Reward before the object is gripped: `sparse` none, `medium` for reaching, `high` for caging.
        start: Initial place of the thing, m; `object_start` if None. `[world, 3]`
    """
    object_start = quantity["object_start"] if start is None else start
    fingers_start, fingers = quantity["fingers_start"], quantity["fingers"]
    pads = stack((quantity["left_pad"][:, 1], quantity["right_pad"][:, 1]))
    room = abs(abs(pads - object_start[:, 1]) - width)
    beside = near(abs(pads - place[:, 1]), radius, width, room)
    over = near(
        distance(fingers[:, ::2], place[:, ::2]),
        0.0,
        margin,
        distance(object_start[:, ::2], fingers_start[:, ::2]) - margin,
    )
    caging = both(both(*beside), over)
    closing = at_most(at_least(quantity["action"][:, -1], 0.0), effort) / effort
    grip = both(caging, where(caging > 0.97, closing, 0.0))
    if density == "high":
        return (grip + caging) / 2
    if density == "medium":
        room = abs(distance(object_start, fingers_start) - reach)
        return (grip + near(distance(place, fingers), 0.0, reach, room)) / 2
    return grip
