"""Hypernetworks: networks that generate the weights of others."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from robometa.nn.networks import Perceptron

BLOCK = 512
"""Rows of weights in memory at once; sized to the cache."""


class Generated(nn.Module):
    """A perceptron whose weights are linear functions of a memory's output, separately for every row.

    Initialised by Bias-HyperInit (Beck et al. 2022, https://arxiv.org/abs/2210.11348): the factors are 0 and the
    constants are an ordinary perceptron's weights. At first the memory has no effect.
    """

    def __init__(self, perceptron: Perceptron, size: int) -> None:
        """Initialises all weights to those of `perceptron`, for every memory output of `size` numbers."""
        super().__init__()
        linear = [layer for layer in perceptron if isinstance(layer, nn.Linear)]
        constants = [torch.cat((layer.weight.detach().T, layer.bias.detach().unsqueeze(0))) for layer in linear]
        self.constants = nn.ParameterList(constants)  # [into + 1, out]
        self.factors = nn.ParameterList(torch.zeros(size, part.numel()) for part in constants)

    def forward(self, x: Tensor, memory: Tensor) -> Tensor:
        """Output of each row's own network on its `x`. `[..., into], [..., size] -> [..., out]`."""
        shape, x, memory = x.shape[:-1], x.flatten(0, -2), memory.flatten(0, -2)
        for index, (factor, constant) in enumerate(zip(self.factors, self.constants, strict=True)):
            # A separate layer for each row. [row, into] to [row, out]
            x = GeneratedLayer.apply(torch.tanh(x) if index else x, memory, factor, constant)
        return x.unflatten(0, shape)


class GeneratedLayer(torch.autograd.Function):
    """A layer with generated weights for each row.

    The weights of all rows together would be the largest tensor of the training by far. Each pass generates them a
    block of rows at a time; the backward pass generates them again.
    """

    @staticmethod
    def forward(context: Any, x: Tensor, memory: Tensor, factor: Tensor, constant: Tensor) -> Tensor:
        """Output of the layer. `[n, into], [n, size], [size, (into + 1) * out], [into + 1, out] -> [n, out]`."""
        context.save_for_backward(x, memory, factor, constant)
        outputs = []
        for part, remembered in zip(x.split(BLOCK), memory.split(BLOCK), strict=True):
            # Weights of a block of rows, biases in the last place. [row, into + 1, out]
            weights = _weights(remembered, factor, constant)
            outputs.append(torch.baddbmm(weights[:, -1:], part.unsqueeze(1), weights[:, :-1])[:, 0])
        return torch.cat(outputs)

    @staticmethod
    def backward(context: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        """Gradients of the inputs."""
        x, memory, factor, constant = context.saved_tensors
        of_factor, of_constant = torch.zeros_like(factor), torch.zeros_like(constant)
        of_x, of_memory = [], []
        for part, remembered, gradient in zip(*(rows.split(BLOCK) for rows in (x, memory, *gradients)), strict=True):
            # Outer product of input and gradient: the gradient by each row's weights.
            with_one = torch.cat((part, part.new_ones(len(part), 1)), dim=-1)
            of_weights = with_one.unsqueeze(2) * gradient.unsqueeze(1)  # [n, into + 1, out]
            # Chain rule through weights = constant + memory @ factor.
            of_constant += of_weights.sum(dim=0)
            of_factor.addmm_(remembered.T, of_weights.flatten(1))
            of_memory.append(of_weights.flatten(1) @ factor.T)
            if context.needs_input_grad[0]:
                # Recomputed rather than stored in the forward pass.
                weights = _weights(remembered, factor, constant)
                of_x.append((weights[:, :-1] @ gradient.unsqueeze(2))[..., 0])
        return torch.cat(of_x) if of_x else None, torch.cat(of_memory), of_factor, of_constant


def _weights(memory: Tensor, factor: Tensor, constant: Tensor) -> Tensor:
    """Weights of each row, with the biases as the last input row. `[n, into + 1, out]`."""
    return torch.addmm(constant.flatten(), memory, factor).unflatten(-1, constant.shape)
