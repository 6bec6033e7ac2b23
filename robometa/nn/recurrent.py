"""Memories: recurrent cells with a single tensor as state, so that it can be an adaptation."""

from __future__ import annotations

import math
from typing import Protocol

import torch
from torch import Tensor, nn

from robometa.errors import UserError
from robometa.nn.actor_critic import Output
from robometa.nn.networks import Perceptron, check_size
from robometa.nn.transformer import Transformer

KINDS = {"gru": nn.GRU, "lstm": nn.LSTM}


class Memory(nn.Module):
    """A GRU or an LSTM; an LSTM's state is the concatenation of output and cell."""

    def __init__(self, kind: str, inputs: int, size: int, generator: torch.Generator) -> None:
        """Builds a memory of `size` numbers (an LSTM holds twice as many), weights uniform within 1 / sqrt(size)."""
        super().__init__()
        check_size(4 * size * (size + inputs + 2), f"memory_size {size}")
        self.size = size
        self.state_size = size if kind == "gru" else 2 * size
        # Made without weights, as `skip_init` would: it does not take recurrent networks.
        self.cell = KINDS[kind](inputs, size, device="meta").to_empty(device="cpu")
        with torch.no_grad():
            for weight in self.cell.parameters():
                weight.uniform_(-1 / math.sqrt(size), 1 / math.sqrt(size), generator=generator)

    def step(self, inputs: Tensor, state: Tensor) -> Tensor:
        """State after one more input; its first `size` numbers are the output. `[n, inputs], [n, state]`."""
        cell = self.cell
        weights = cell.weight_ih_l0, cell.weight_hh_l0, cell.bias_ih_l0, cell.bias_hh_l0
        if isinstance(cell, nn.GRU):
            return torch.gru_cell(inputs, state, *weights)
        return torch.cat(torch.lstm_cell(inputs, state.split(self.size, dim=-1), *weights), dim=-1)

    def forward(self, inputs: Tensor) -> Tensor:
        """Outputs along sequences that begin with an empty memory. `[n, time, inputs] -> [n, time, size]`."""
        return self.read(inputs, inputs.new_zeros(len(inputs), self.state_size))[0]

    def read(self, inputs: Tensor, start: Tensor) -> tuple[Tensor, Tensor]:
        """Outputs along sequences that begin with given states, and the final states.

        Args:
            inputs: `[n, time, inputs]`
            start: `[n, state]`

        Returns:
            `[n, time, size]` and `[n, state]`
        """
        # Torch's layout: time first, and an LSTM's output and cell apart.
        parts = tuple(part.unsqueeze(0).contiguous() for part in start.split(self.size, dim=-1))
        outputs, end = self.cell(inputs.transpose(0, 1), parts if len(parts) > 1 else parts[0])
        end = torch.cat(end, dim=-1) if isinstance(end, tuple) else end
        return outputs.transpose(0, 1), end[0]


class Sizes(Protocol):
    """Options of a memory."""

    @property
    def memory_size(self) -> int:
        """Numbers of its output."""

    @property
    def memory_layers(self) -> int:
        """Layers of a transformer."""

    @property
    def memory_heads(self) -> int:
        """Heads of each of its layers."""

    @property
    def context(self) -> int:
        """Earlier steps that a layer of it sees."""


OF_TRANSFORMER = ("memory_layers", "memory_heads", "context")
"""Options of a transformer alone."""


def check_transformer(options: Sizes, name: str, kind: str) -> None:
    """Checks that options of a transformer are given to one only, and that its heads fit its width.

    Args:
        options: Those of the learner; one at its default counts as left out.
        name: Name of the option that names the memory.
        kind: The memory that it names.

    Raises:
        UserError: If one is of a transformer where there is none, or heads do not fit.
    """
    if kind == "transformer":
        if options.memory_size % options.memory_heads:
            raise UserError(
                f"option memory_heads must divide memory_size {options.memory_size}, not {options.memory_heads}"
            )
        return
    for part in OF_TRANSFORMER:
        if getattr(options, part) != getattr(type(options), part):
            raise UserError(f"option {part} is of {name} transformer, not of {kind}: leave it out")


def memory_of(
    kind: str, inputs: int, size: int, layers: int, heads: int, context: int, generator: torch.Generator
) -> Memory | Transformer:
    """Builds a memory by its name; layers, heads and context are a transformer's."""
    if kind == "transformer":
        return Transformer(inputs, size, layers, heads, context, generator)
    return Memory(kind, inputs, size, generator)


class EncodedMemory(nn.Module):
    """A memory that reads its inputs through layers of their own, each followed by tanh."""

    def __init__(self, encoder: Perceptron, memory: Memory | Transformer) -> None:
        """Puts an encoder, whose last layer is linear, before a memory of that width."""
        super().__init__()
        self.encoder, self.memory = encoder, memory
        self.size, self.state_size = memory.size, memory.state_size

    def step(self, inputs: Tensor, state: Tensor) -> Tensor:
        """State after one more input; its first `size` numbers are the output. `[n, inputs], [n, state]`."""
        return self.memory.step(torch.tanh(self.encoder(inputs)), state)

    def read(self, inputs: Tensor, start: Tensor) -> tuple[Tensor, Tensor]:
        """Outputs along sequences that begin with given states, and the final states. `[n, time, inputs]`."""
        return self.memory.read(torch.tanh(self.encoder(inputs)), start)


class RecurrentActorCritic(nn.Module):
    """A memory of the trial, and the actions' standard deviation; a subclass adds action and value heads."""

    def __init__(self, memory: Memory | Transformer | EncodedMemory, action: int, initial_std: float) -> None:
        """Builds the part that all subclasses share."""
        super().__init__()
        self.memory = memory
        self.log_std = nn.Parameter(torch.full((action,), initial_std).log())

    def read(self, inputs: Tensor, start: Tensor) -> tuple[Output, Tensor]:
        """Actions and values along segments of trials, and the final memory states.

        Args:
            inputs: `[n, time, inputs]`
            start: Initial memory state of each segment. `[n, state]`
        """
        raise NotImplementedError

    def forward(self, inputs: Tensor, start: Tensor) -> Output:
        """Actions and values along segments, from initial memory states. `[n, time, inputs]`, `[n, 1, state]`."""
        return self.read(inputs, start[:, 0])[0]


def segments_of(time: int, least: int) -> int:
    """Largest number of equal segments of at least `least` steps in a sequence; 1 if it is shorter."""
    return next(count for count in range(max(time // least, 1), 0, -1) if time % count == 0)
