"""Running mean and standard deviation of a learner's inputs, which are part of the trained policy."""

from __future__ import annotations

import torch
from torch import Tensor

from robometa.errors import UserError


class Normalizer:
    """Normalises to mean 0 and standard deviation 1 by running statistics; without data, the identity."""

    def __init__(
        self, size: int, limit: float = 10.0, device: torch.device | str = "cpu", blind: tuple[int, ...] = ()
    ) -> None:
        """Normalises vectors of `size` numbers, clipped at `limit` standard deviations; `blind` places become 0.

        Raises:
            UserError: If a place of `blind` is not below `size`.
        """
        if any(place >= size for place in blind):
            raise UserError(f"blind must name places from 0 to {size - 1} of an observation, not {max(blind)}")
        self.limit, self.blind = limit, list(blind)
        self.count = torch.zeros((), dtype=torch.float64, device=device)
        self.mean = torch.zeros(size, dtype=torch.float64, device=device)
        self.variance = torch.ones(size, dtype=torch.float64, device=device)
        self._shift, self._factor = self.mean.float(), self.variance.float()
        self._factor[self.blind] = 0.0

    def include(self, values: Tensor) -> None:
        """Adds values to the statistics. `[..., size]`.

        Source: Chan, Golub and LeVeque 1979, on combining the variances of parts.
        """
        flat = values.reshape(-1, self.mean.numel()).double()
        variance, mean = torch.var_mean(flat, dim=0, correction=0)
        # Merge both parts' means and variances, weighed by their counts.
        total = self.count + len(flat)
        share = len(flat) / total
        apart = mean - self.mean
        spread = (1 - share) * self.variance + share * variance
        self.variance = torch.where(self.count > 0, spread + share * (1 - share) * apart.square(), variance)
        self.mean, self.count = self.mean + share * apart, total
        self._prepare()

    def part(self, start: int, stop: int) -> Normalizer:
        """A normaliser of the places from `start` to before `stop`, with their statistics. `[..., stop - start]`."""
        one = Normalizer(
            stop - start,
            self.limit,
            self.mean.device,
            tuple(place - start for place in self.blind if start <= place < stop),
        )
        one.count, one.mean, one.variance = self.count, self.mean[start:stop], self.variance[start:stop]
        one._prepare()
        return one

    def __call__(self, values: Tensor) -> Tensor:
        """Normalises values. `[..., size]`, float32."""
        return ((values - self._shift) * self._factor).clamp(-self.limit, self.limit)

    def undo(self, values: Tensor) -> Tensor:
        """Inverts the normalisation, without the clipping. `[..., size]`."""
        return values / self._factor + self._shift

    def affine(self) -> tuple[Tensor, Tensor]:
        """Factor and offset of the normalisation, without the clipping. `[size]` each."""
        return self._factor, -self._shift * self._factor

    def affine_inverse(self) -> tuple[Tensor, Tensor]:
        """Factor and offset of `undo`. `[size]` each."""
        return 1 / self._factor, self._shift

    def state_dict(self) -> dict[str, Tensor]:
        """The statistics."""
        return {"count": self.count, "mean": self.mean, "variance": self.variance}

    def load_state_dict(self, state: dict[str, Tensor]) -> None:
        """Restores the statistics."""
        if state["mean"].shape != self.mean.shape:
            raise ValueError(f"statistics of {self.mean.numel()} numbers expected, not {state['mean'].numel()}")
        device = self.mean.device
        self.count, self.mean, self.variance = (state[name].to(device) for name in ("count", "mean", "variance"))
        self._prepare()

    def _prepare(self) -> None:
        """Prepares `__call__`, in place: a CUDA graph may read these tensors."""
        self._shift.copy_(self.mean)
        self._factor.copy_(self.variance.clamp(min=1e-8).rsqrt())
        self._factor[self.blind] = 0.0
