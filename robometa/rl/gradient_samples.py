"""Cost of an update in gradient samples: transitions that its gradient steps use, each as often as a step uses it."""

from __future__ import annotations

from collections.abc import Mapping

NAME = "gradient_samples"
"""Metric with the gradient samples of an update."""


def with_samples(metrics: Mapping[str, float], samples: float) -> dict[str, float]:
    """Adds gradient samples to those that metrics have so far."""
    return {**metrics, NAME: metrics.get(NAME, 0.0) + samples}
