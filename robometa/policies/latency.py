"""Time that a policy takes to act."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from robometa.policies.policy import Policy

WARM_UP, STEPS = 20, 300
"""Actions before and during the measurement."""


@dataclass(frozen=True)
class Latency:
    """Times of one action of one world, on one thread."""

    median_ms: float
    p99_ms: float
    """Time that 99 of 100 actions stay within."""


def latency(policy: Policy, steps: int = STEPS, clock: Callable[[], float] = time.perf_counter) -> Latency:
    """Measures actions on observations of zero, with rewards of zero; the policy begins a new trial.

    Args:
        policy: The policy, which is reset before and after.
        steps: Actions to measure.
        clock: Returns seconds; with `time.process_time`, other work on the machine does not count.
    """
    hidden = dict(policy.suite.train[0].parameters) if policy.learner.sees_parameters else None
    policy.reset(parameters=hidden)
    obs, times = np.zeros(len(policy.spaces.observation)), []
    for step in range(WARM_UP + steps):
        started = clock()
        policy.act(obs, 0.0)
        if step >= WARM_UP:
            times.append(clock() - started)
    policy.reset()
    median, late = (float(1000 * np.percentile(times, share)) for share in (50, 99))
    return Latency(median, late)
