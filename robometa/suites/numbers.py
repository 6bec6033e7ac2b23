"""Values of a suite's file, each read by kind and range. Standard library only."""

from __future__ import annotations

from typing import Any

from robometa.suites.distributions import MAX_NUMBER


def number(value: Any) -> float:
    """A finite number, or ValueError."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not abs(value) <= MAX_NUMBER:
        raise ValueError("must be a finite number")
    return float(value)


MAX_SEEN = 1e9
"""Limit on numbers that a policy sees, and on their errors: a product of two still fits float32."""


def seen(value: Any) -> float:
    """A number that a policy may see."""
    if not abs(number(value)) <= MAX_SEEN:
        raise ValueError(f"must be at most {MAX_SEEN:g}")
    return float(value)


def error_size(value: Any) -> float:
    """Size of an error of what a policy sees, from 0."""
    return seen(not_negative(value))


def not_negative(value: Any) -> float:
    """A number from 0."""
    if number(value) < 0:
        raise ValueError("must not be negative")
    return float(value)


def positive(value: Any) -> float:
    """A number above 0."""
    if number(value) <= 0:
        raise ValueError("must be above 0")
    return float(value)


def whole(value: Any, low: int, high: int) -> int:
    """A whole number in a range."""
    if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
        raise ValueError(f"must be a whole number from {low} to {high}")
    return value


def text(value: Any) -> str:
    """A text."""
    if not isinstance(value, str):
        raise ValueError("must be a text")
    return value


def flag(value: Any) -> bool:
    """True or false."""
    if not isinstance(value, bool):
        raise ValueError("must be true or false")
    return value


def range_around_zero(value: Any) -> tuple[float, float]:
    """A range: a number for both sides of 0, or [low, high]."""
    if not isinstance(value, list):
        return (-positive(value), float(value))
    if len(value) != 2 or not number(value[0]) < number(value[1]):
        raise ValueError("must be a number above 0, or a range [low, high]")
    return (float(value[0]), float(value[1]))


def span(value: Any) -> tuple[float, float]:
    """Low and high from 0: a number for both, or [low, high]."""
    low, high = (value, value) if not isinstance(value, list) else value if len(value) == 2 else (1, 0)
    if not not_negative(low) <= not_negative(high):
        raise ValueError("must be a number from 0, or a range [low, high]")
    return (float(low), float(high))
