"""Tensors of an adaptation by name, as the inputs and outputs of an exported graph."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.utils._pytree import TreeSpec, tree_flatten, tree_leaves, tree_unflatten

from robometa.data import Step
from robometa.errors import UserError
from robometa.learners.protocol import Adaptation, Learner
from robometa.noise import Noise

PURPOSE = ("export",)
"""Purpose of the random numbers of an export."""


@dataclass(frozen=True)
class Part:
    """A tensor of an adaptation, of one task and one world."""

    name: str
    shape: tuple[int, ...]
    """Shape in the learner, such as `[1, 1, memory]` or `[1, parameter]`."""
    initial: Tensor
    """Value before any data. `[1, number]`"""
    drawn: bool
    """Drawn from a standard normal distribution at each reset; `initial` is one such draw."""
    acts: bool
    """Changed by acting; otherwise only by adapting."""


@dataclass(frozen=True)
class Layout:
    """Parts of a learner's adaptation, and how to put them together."""

    parts: tuple[Part, ...]
    spec: TreeSpec

    def joined(self, values: Sequence[Tensor]) -> Adaptation:
        """Adaptation of tensors in the order of the parts. `[1, number]` each."""
        shaped = [value.reshape(part.shape) for value, part in zip(values, self.parts, strict=True)]
        return tree_unflatten(shaped, self.spec) if shaped else None


def leaves_of(adaptation: Adaptation) -> list[Any]:
    """Leaves of an adaptation in their order; none if it is None."""
    return [] if adaptation is None else tree_leaves(adaptation)


def layout_of(learner: Learner, name: str, observation: int, action: int) -> Layout:
    """Finds the tensors of a learner's adaptation.

    Args:
        learner: Acts and adapts.
        name: Name of the learner, for messages.
        observation: Numbers of its observation.
        action: Numbers of its action.

    Raises:
        UserError: If the adaptation holds something else than tensors of numbers.
    """
    noise = Noise(0, PURPOSE, 1, 1)
    begun = learner.begin(1, 1, noise)
    leaves, spec = leaves_of(begun), tree_flatten(begun)[1]
    for leaf in leaves:
        if not isinstance(leaf, Tensor) or leaf.dtype != torch.float32:
            kind = leaf.dtype if isinstance(leaf, Tensor) else type(leaf).__name__
            raise UserError(
                f"{name} cannot be exported: its adaptation holds a {kind}, and an exported one holds float32 tensors"
            )
    others = leaves_of(learner.begin(1, 1, Noise(1, PURPOSE, 1, 1)))
    acted = leaves_of(learner.act(begun, step_of_zeros(observation, action), torch.zeros(1, 1, action))[1])
    names = _names(begun, len(leaves), learner.pools_worlds)
    parts = []
    for label, leaf, other, after in zip(names, leaves, others, acted, strict=True):
        drawn = not torch.equal(leaf, other)
        if drawn and not torch.equal(leaf.reshape(-1), noise.normal(leaf.numel()).reshape(-1)):
            raise UserError(f"{name} cannot be exported: its {label} begins at random, and not as normal numbers")
        initial = leaf.detach().reshape(1, -1).clone()
        parts.append(Part(label, tuple(leaf.shape), initial, drawn, acts=after is not leaf))
    return Layout(tuple(parts), spec)


def step_of_zeros(observation: int, action: int) -> Step:
    """First step of a trial, on an observation of zeros."""
    none = torch.zeros(1, 1)
    return Step(torch.zeros(1, 1, observation), torch.zeros(1, 1, action), none, none > 0)


def _names(begun: Adaptation, count: int, pooled: bool) -> list[str]:
    """Names of the tensors: those of a named tuple's fields, or the usual word."""
    fields = getattr(begun, "_fields", ())
    if len(fields) == count:
        return list(fields)
    word = "parameters" if pooled else "memory"
    return [word] if count == 1 else [f"{word}_{place}" for place in range(count)]
