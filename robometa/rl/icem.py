"""iCEM: the cross-entropy method with coloured noise, and elites that are kept from round to round and step to step.

Pinneri et al. 2020, https://arxiv.org/abs/2008.06389.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from robometa.rl.planning import Score, chosen, extended


@dataclass(frozen=True)
class Sizes:
    """Sizes of a search for a plan."""

    candidates: int
    """Action sequences drawn in the first round."""
    rounds: int
    """Rounds of drawing, scoring and refitting."""
    decay: float
    """Factor by which each round draws fewer sequences than the one before; at least twice the elites are drawn."""
    elites: int
    """Best sequences, to which a round refits the distribution."""
    kept: int
    """Best sequences that the next round, and the first round of the next step, score again."""
    std: float
    """Standard deviation in the first round."""
    momentum: float
    """Share of the former mean and standard deviation in a refit."""

    def drawn(self) -> list[int]:
        """Numbers of sequences that the rounds draw."""
        least = min(2 * self.elites, self.candidates)
        return [max(int(self.candidates * self.decay**-number), least) for number in range(self.rounds)]

    def scored(self) -> list[int]:
        """Numbers of sequences that the rounds score: those drawn, the kept ones, and the mean in the last."""
        counts = [count + self.kept for count in self.drawn()]
        counts[-1] += 1
        return counts


class Plan(NamedTuple):
    """A world's plan for the coming steps."""

    mean: Tensor
    """Mean of the distribution of action sequences. `[..., time, action]`"""
    elites: Tensor
    """Best sequences so far, to be scored again. `[..., kept, time, action]`"""

    @classmethod
    def none(cls, worlds: tuple[int, ...], sizes: Sizes, horizon: int, action: int, device: torch.device) -> Plan:
        """A plan before any step: no action anywhere."""
        shapes = (horizon, action), (sizes.kept, horizon, action)
        return cls(*(torch.zeros(*worlds, *shape, device=device) for shape in shapes))

    def reset(self, done: Tensor) -> Plan:
        """Forgets the plans of worlds whose episode has ended. `[...]`, bool."""
        mean, elites = self
        return Plan(mean.masked_fill(done[..., None, None], 0.0), elites.masked_fill(done[..., None, None, None], 0.0))

    def shifted(self) -> Plan:
        """The plan after its first action has been taken; the last action is repeated."""
        return Plan(extended(self.mean), extended(self.elites))


def colouring(horizon: int, exponent: float) -> Tensor:
    """Matrix that turns white noise along time into noise with spectrum frequency^-exponent. `[time, time]`.

    The noise keeps variance 1. It is stationary on a circle of `horizon` steps.
    """
    frequency = torch.fft.fftfreq(horizon, dtype=torch.float64).abs()
    frequency[0] = 1 / horizon
    scale = frequency.pow(-exponent / 2)
    scale = scale / scale.square().mean().sqrt()
    return torch.fft.ifft(torch.fft.fft(torch.eye(horizon, dtype=torch.float64)) * scale).real.float()


def icem(score: Score, plan: Plan, draws: Tensor, sizes: Sizes) -> tuple[Tensor, Plan]:
    """Searches for the best action sequence, beginning at the plan of the step before.

    Args:
        score: Value of sequences.
        plan: The shifted plan of the step before.
        draws: Coloured noise of variance 1, as many sequences as all rounds draw. `[world, candidate, time, action]`
        sizes: Sizes of the search.

    Returns:
        The best sequence of the last round `[world, time, action]`, and the plan to shift.
    """
    mean, kept = plan
    spread, best = torch.full_like(mean, sizes.std), kept
    parts = draws.split(sizes.drawn(), dim=1)
    for number, draw in enumerate(parts):
        # Sample, add what was best so far, score. [world, candidate, time, action]
        candidates = (mean.unsqueeze(1) + spread.unsqueeze(1) * draw).clamp_(-1, 1)
        last = [mean.unsqueeze(1)] if number == len(parts) - 1 else []
        candidates = torch.cat((candidates, kept, *last), dim=1)
        best = chosen(candidates, score(candidates), sizes.elites)
        # Refit to the elites.
        variance, centre = torch.var_mean(best, dim=1, correction=0)
        mean = torch.lerp(centre, mean, sizes.momentum)
        spread = torch.lerp(variance.sqrt(), spread, sizes.momentum)
        kept = best[:, : sizes.kept]
    return best[:, 0], Plan(mean, kept)
