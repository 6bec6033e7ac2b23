"""A causal transformer as a memory: Vaswani et al. 2017, https://arxiv.org/abs/1706.03762.

Its state is a single tensor, so that it can be an adaptation: the last output, the number of steps in the cache, and
the keys and values of these steps in every layer. A step is a sequence of length 1 that begins with such a state.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from robometa.errors import UserError
from robometa.nn.networks import Perceptron

LAST_LIMIT = 0.02
"""Limit of the initial weights of a block's last layers: at first it changes little, and PPO begins stably."""
MOST_NUMBERS = 10_000_000
"""Most numbers of a state. A policy from elsewhere could otherwise exhaust the memory."""


class Transformer(nn.Module):
    """Pre-norm transformer whose steps see themselves and the `context` steps before.

    Heads share their keys and values (Shazeer 2019, https://arxiv.org/abs/1911.02150), because acting copies these at
    every step. Positions are relative (Press et al. 2022, https://arxiv.org/abs/2108.12409).
    """

    def __init__(
        self, inputs: int, size: int, layers: int, heads: int, context: int, generator: torch.Generator
    ) -> None:
        """Initialises the weights.

        Args:
            inputs: Numbers of an input.
            size: Numbers of an output, and of a step within the network.
            layers: Blocks of attention and feedforward layers.
            heads: Heads of the attention.
            context: Earlier steps that a step sees.
            generator: Source of the weights.

        Raises:
            UserError: If the network or its state is too large.
        """
        super().__init__()
        width = math.ceil(size / heads)
        self.size, self.context = size, context
        self.cache_shape = (layers, 2, context, width)
        self.state_size = size + 1 + math.prod(self.cache_shape)
        if self.state_size > MOST_NUMBERS:
            raise UserError(
                f"context {context} makes a memory of {self.state_size:.3g} numbers; the most is {MOST_NUMBERS:,}"
            )
        self.embed = Perceptron((inputs, size), generator)
        self.blocks = nn.ModuleList(Block(size, heads, width, generator) for _ in range(layers))
        self.norm = nn.LayerNorm(size)

    def step(self, inputs: Tensor, state: Tensor) -> Tensor:
        """State after one more input; its first `size` numbers are the output. `[n, inputs], [n, state]`."""
        return self.read(inputs.unsqueeze(1), state)[1]

    def forward(self, inputs: Tensor) -> Tensor:
        """Outputs along sequences that begin with an empty memory. `[n, time, inputs] -> [n, time, size]`."""
        layers, parts, _, width = self.cache_shape
        cache = inputs.new_zeros(len(inputs), layers, parts, 0, width)
        return self._read(inputs, cache, inputs.new_zeros(len(inputs)))[0]

    def read(self, inputs: Tensor, start: Tensor) -> tuple[Tensor, Tensor]:
        """Outputs along sequences that begin with given states, and the final states.

        Args:
            inputs: `[n, time, inputs]`
            start: `[n, state]`

        Returns:
            `[n, time, size]` and `[n, state]`
        """
        count = start[:, self.size]
        output, kept = self._read(inputs, start[:, self.size + 1 :].unflatten(1, self.cache_shape), count)
        filled = (count + inputs.shape[1]).clamp(max=self.context).unsqueeze(1)
        recent = [entries[:, :, -self.context :].flatten(1) for entries in kept]
        return output, torch.cat((output[:, -1], filled, *recent), dim=1)

    def _read(self, inputs: Tensor, cache: Tensor, count: Tensor) -> tuple[Tensor, list[Tensor]]:
        """Outputs along sequences, and the keys and values of the cache and of these steps in each layer.

        Args:
            inputs: `[n, time, inputs]`
            cache: Keys and values of the steps before. `[n, layer, 2, cached, width]`
            count: Steps in the cache, at its end. `[n]`
        """
        distance, hidden = self._distances(inputs.shape[1], cache.shape[3], count)
        x, kept = self.embed(inputs), []
        for block, past in zip(self.blocks, cache.unbind(1), strict=True):
            x, entries = block(x, past, distance, hidden)
            kept.append(entries)
        return self.norm(x), kept

    def _distances(self, time: int, cached: int, count: Tensor) -> tuple[Tensor, Tensor]:
        """Steps from each key to each query, and a mask of the pairs that do not see each other.

        Args:
            time: Steps of the sequence, which follow the cache.
            cached: Places of the cache.
            count: Steps in the cache, at its end. `[n]`

        Returns:
            `[time, cached + time]`, and `[n, time, cached + time]`, bool
        """
        place = torch.arange(cached + time, device=count.device)
        distance = place[cached:].unsqueeze(1) - place
        beyond = (distance < 0) | (distance > self.context)
        empty = place < (cached - count).unsqueeze(1)  # [n, cached + time]
        return distance.to(count.dtype), beyond | empty.unsqueeze(1)


class Block(nn.Module):
    """Attention to the present and earlier steps, and a feedforward layer; each adds to its input."""

    def __init__(self, size: int, heads: int, width: int, generator: torch.Generator) -> None:
        """Initialises the weights; `width` is the size of a head."""
        super().__init__()
        self.heads, self.width = heads, width
        self.norm, self.feedforward_norm = nn.LayerNorm(size), nn.LayerNorm(size)
        self.query = Perceptron((size, heads * width), generator)
        self.key_value = Perceptron((size, 2 * width), generator)
        self.out = Perceptron((heads * width, size), generator, last_limit=LAST_LIMIT)
        self.feedforward = Perceptron((size, 4 * size, size), generator, last_limit=LAST_LIMIT)
        # ALiBi's slopes, a geometric series from 2^(-8 / heads) to 2^-8; they are learned from there.
        self.log_slope = nn.Parameter(torch.arange(1, heads + 1) * (-8 / heads * math.log(2)))

    def forward(self, x: Tensor, past: Tensor, distance: Tensor, hidden: Tensor) -> tuple[Tensor, Tensor]:
        """Steps after the block, and keys and values of the cache and of these steps.

        Args:
            x: `[n, time, size]`
            past: Keys and values of the cache. `[n, 2, context, width]`
            distance: Steps from each key to each query. `[time, context + time]`
            hidden: True where a query does not see a key. `[n, time, context + time]`
        """
        seen = self.norm(x)
        new = self.key_value(seen).unflatten(-1, (2, self.width)).transpose(1, 2)  # [n, 2, time, width]
        entries = torch.cat((past, new), dim=2)
        key, value = entries.unbind(1)  # [n, context + time, width]
        query = self.query(seen).unflatten(-1, (self.heads, self.width))  # [n, time, head, width]
        score = (query.flatten(1, 2) @ key.mT).unflatten(1, query.shape[1:3]) / math.sqrt(self.width)
        score = score - self.log_slope.exp().unsqueeze(1) * distance.unsqueeze(1)
        weight = score.masked_fill(hidden.unsqueeze(2), -math.inf).softmax(dim=-1)  # [n, time, head, context + time]
        mixed = (weight.flatten(1, 2) @ value).unflatten(1, query.shape[1:3])
        x = x + self.out(mixed.flatten(2))
        return x + self.feedforward(self.feedforward_norm(x)), entries
