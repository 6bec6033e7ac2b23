"""A few numbers that stand for what a task hides: Kumar et al. 2021, https://arxiv.org/abs/2107.04034."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from robometa.nn.networks import Perceptron
from robometa.nn.normalizer import Normalizer


class Bottleneck(Perceptron):
    """Encoder of hidden numbers, with hidden layers of tanh."""

    def __init__(self, numbers: int, hidden: Sequence[int], size: int, generator: torch.Generator) -> None:
        """Builds layers from `numbers` through those of the widths `hidden` to `size` numbers."""
        super().__init__((numbers, *hidden, size), generator, nn.Tanh)

    def forward(self, numbers: Tensor) -> Tensor:
        """The bottleneck, in -1..1. `[..., number] -> [..., size]`."""
        return torch.tanh(super().forward(numbers))


@dataclass(frozen=True)
class ToldPolicy:
    """A trained policy on the observation and a bottleneck of what its task hides, in parts."""

    encoder: Bottleneck
    """From the normalised hidden numbers to the bottleneck."""
    actor: Sequence[tuple[Tensor, Tensor]]
    """Layers of the mean action, tanh between them: weights `[out, in]` and biases `[out]`."""
    log_std: Tensor
    """`[action]`"""
    critic: Perceptron
    observations: Normalizer
    hidden: Normalizer
    """Statistics of the hidden numbers."""
    names: tuple[str, ...]
    """Names of the hidden numbers."""

    def widths(self) -> tuple[list[int], list[int]]:
        """Widths of the encoder's layers and of the actor's, inputs and outputs included."""
        encoder = [layer for layer in self.encoder if isinstance(layer, nn.Linear)]
        return (
            [encoder[0].in_features, *(layer.out_features for layer in encoder)],
            [self.actor[0][0].shape[1], *(len(bias) for _, bias in self.actor)],
        )
