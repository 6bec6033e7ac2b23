"""Adaptation module: 1-D convolutions along the last steps (Kumar et al. 2021, https://arxiv.org/abs/2107.04034)."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from robometa.nn.networks import Perceptron

CHANNELS = 32
CONVOLUTIONS = ((1, 1), (1, 1), (8, 4), (5, 1), (5, 1))
"""Kernel and stride of each convolution; the first two are layers on each step."""
LEAST = 40
"""Shortest history that leaves a step after all convolutions. Steps."""


class HistoryEncoder(nn.Module):
    """Estimates numbers from the last steps.

    A convolution is a linear layer on every window of steps: its bits do not depend on the number of histories, so
    that worlds can be computed together, and it is faster on a CPU.
    """

    def __init__(self, inputs: int, length: int, outputs: int, generator: torch.Generator) -> None:
        """Initialises the weights.

        Args:
            inputs: Numbers of a step.
            length: Steps of a history, at least `LEAST`.
            outputs: Numbers to estimate.
            generator: Source of the weights.
        """
        super().__init__()
        layers = []
        for kernel, stride in CONVOLUTIONS:
            layers.append(Perceptron((inputs * kernel, CHANNELS), generator))
            inputs, length = CHANNELS, (length - kernel) // stride + 1
        self.convolutions = nn.ModuleList(layers)
        self.head = Perceptron((length * CHANNELS, outputs), generator)

    def forward(self, history: Tensor) -> Tensor:
        """Estimates, without bounds. `[n, length, inputs] -> [n, outputs]`."""
        x = history
        for layer, (kernel, stride) in zip(self.convolutions, CONVOLUTIONS, strict=True):
            windows = x.unfold(1, kernel, stride).flatten(2)  # [n, windows, inputs * kernel]
            x = torch.relu(layer(windows))
        estimate: Tensor = self.head(x.flatten(1))
        return estimate


def appended(history: Tensor, row: Tensor) -> Tensor:
    """History after one more step, without its oldest. `[task, world, length, inputs]`, `[task, world, inputs]`."""
    return torch.cat((history[:, :, 1:], row.unsqueeze(2)), dim=2)


def histories(rows: Tensor, length: int) -> Tensor:
    """History at every step of trials that begin with an empty one, as a view.

    Args:
        rows: `[trial, time, inputs]`
        length: Steps of a history.

    Returns:
        `[trial, time, length, inputs]`
    """
    return functional.pad(rows, (0, 0, length - 1, 0)).unfold(1, length, 1).mT
