"""Commands from uniform numbers, on any device."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from robometa.sim.locomotion.numbers import normal
from robometa.suites.command import COMMANDS, Command
from robometa.suites.distributions import Distribution


class Commands:
    """Draws every command; a captured graph may do so, because it copies nothing to the device."""

    def __init__(self, command: Command, like: Tensor) -> None:
        """Prepares the distributions, with listed numbers on the device and in the type of another tensor."""
        self._command = command
        self._listed = [
            like.new_tensor(distribution.get("values", distribution.get("constant", ())))
            for _, distribution in command.entries
        ]

    def drawn(self, uniform: Tensor) -> Tensor:
        """Commands from numbers uniform in 0..1. `[world, command]` to `[world, command]`."""
        parts, first = [], 0
        for (name, distribution), listed in zip(self._command.entries, self._listed, strict=True):
            size = COMMANDS[name][0]
            parts.append(_drawn(distribution, listed, uniform[:, first : first + size]))
            first += size
        return torch.cat(parts, dim=1)


def _drawn(distribution: Distribution, listed: Tensor, uniform: Tensor) -> Tensor:
    """Numbers of one distribution. `[world, number]`."""
    if "constant" in distribution:
        return listed.expand_as(uniform)
    if "values" in distribution:
        return listed[(uniform[:, 0] * len(listed)).long().clamp(max=len(listed) - 1)]
    if "disc" in distribution or "arc" in distribution:
        return _point(distribution, uniform)
    uniform = uniform[:, :1].expand_as(uniform) if distribution.get("shared") else uniform
    if "uniform" in distribution:
        low, high = distribution["uniform"]
        return low + (high - low) * uniform
    if "normal" in distribution:
        mean, deviation = distribution["normal"]
        return mean + deviation * normal(uniform)
    low, high = distribution["exponent"]
    return (math.log(distribution["base"]) * (low + (high - low) * uniform)).exp()


def _point(distribution: Distribution, uniform: Tensor) -> Tensor:
    """A point in a disc or on an arc. `[world, 2]`."""
    if "disc" in distribution:
        radius, turn = distribution["disc"][0] * uniform[:, 0].sqrt(), 2 * math.pi * uniform[:, 1]
    else:
        length, low, high = distribution["arc"]
        radius, turn = torch.full_like(uniform[:, 0], length), low + (high - low) * uniform[:, 1]
    return torch.stack((radius * turn.cos(), radius * turn.sin()), dim=1)
