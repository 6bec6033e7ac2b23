"""Successive halving: which trials of a generation go on to the next rung, and what that costs.

A trial goes on if it is among the best third of all trials of its learner that reached the rung so far (ASHA, Li et al.
2020, https://arxiv.org/abs/1810.05934), decided once a whole generation is there, so that nothing depends on the order
in which trials end.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from robometa.search.objectives import order

REDUCTION = 3
"""Factor between the lengths of two rungs, and between the trials on them."""


def share(rung: int, rungs: int) -> float:
    """Length of a training at a rung, as a share of a whole one."""
    return float(REDUCTION ** -(rungs - 1 - rung))


def places(rung: int, generation: int) -> int:
    """Most trials of a generation at a rung."""
    return max(1, -(-generation // REDUCTION**rung))


def cost(rungs: int, generation: int) -> float:
    """Most work of a generation, in whole trainings."""
    steps = [share(rung, rungs) - (share(rung - 1, rungs) if rung else 0.0) for rung in range(rungs)]
    return sum(places(rung, generation) * step for rung, step in enumerate(steps))


def promoted(
    values: Mapping[int, tuple[float, ...]], candidates: Sequence[int], rung: int, generation: int
) -> list[int]:
    """Trials of a generation that go on from a rung.

    Args:
        values: Gains of all trials of the learner that reached the rung, by number.
        candidates: Trials of the generation among them.
        rung: The rung.
        generation: Trials of a whole generation.

    Returns:
        Their numbers, in order.
    """
    best = order(values)[: max(1, len(values) // REDUCTION)]
    chosen = [number for number in best if number in candidates]
    return sorted(chosen[: places(rung + 1, generation)])
