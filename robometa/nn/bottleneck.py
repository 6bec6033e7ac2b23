"""A few numbers that stand for what a task hides: Kumar et al. 2021, https://arxiv.org/abs/2107.04034."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from robometa.nn.networks import Perceptron


class Bottleneck(Perceptron):
    """Encoder of hidden numbers, with hidden layers of tanh."""

    def __init__(self, numbers: int, hidden: Sequence[int], size: int, generator: torch.Generator) -> None:
        """Builds layers from `numbers` through those of the widths `hidden` to `size` numbers."""
        super().__init__((numbers, *hidden, size), generator, nn.Tanh)

    def forward(self, numbers: Tensor) -> Tensor:
        """The bottleneck, in -1..1. `[..., number] -> [..., size]`."""
        return torch.tanh(super().forward(numbers))
