"""States of learners' parts as flat tables of tensors, the content of a checkpoint."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

import torch
from torch import Tensor, optim

TRAINING = "training/"
"""Prefix of the names of parts that only training needs."""
EXPERIENCE = "training/replay"
"""Prefix of the names of replays, which may be large."""


class Stateful(Protocol):
    """A part with state: a network, running statistics, a replay."""

    def state_dict(self) -> dict[str, Tensor]:
        """Tensors to resume from."""

    def load_state_dict(self, state: dict[str, Tensor], /) -> object:
        """Restores a state."""


UNUSED = "unused"
"""Entry of an optimizer that has taken no step."""
Parts = Mapping[str, Stateful | optim.Optimizer]
"""Parts of a learner by name."""


def state_of(parts: Parts) -> dict[str, Tensor]:
    """States of all parts in one table, each under its part's name."""
    state: dict[str, Tensor] = {}
    for name, part in parts.items():
        if isinstance(part, optim.Optimizer):
            # Without any training part it would be a policy's state, which leaves optimizers as they are.
            state |= optimizer_state(name, part) or {f"{name}/{UNUSED}": torch.tensor(True)}
        else:
            state |= {f"{name}/{key}": value for key, value in part.state_dict().items()}
    return state


def load_state(parts: Parts, state: dict[str, Tensor]) -> None:
    """Restores every part; training parts stay unchanged if the state has none."""
    trains = any(name.startswith(TRAINING) for name in state)
    for name, part in parts.items():
        if name.startswith(TRAINING) and not trains:
            continue
        if isinstance(part, optim.Optimizer):
            load_optimizer(name, part, state)
        else:
            part.load_state_dict(under(name, state))


def optimizer_state(name: str, optimizer: optim.Optimizer) -> dict[str, Tensor]:
    """Moments and step counts of an optimizer under `name/`."""
    per_parameter = optimizer.state_dict()["state"]
    return {f"{name}/{index}/{key}": value for index, entry in per_parameter.items() for key, value in entry.items()}


def load_optimizer(name: str, optimizer: optim.Optimizer, state: dict[str, Tensor]) -> None:
    """Loads the moments and step counts under `name/` into an optimizer."""
    per_parameter: dict[int, dict[str, Tensor]] = {}
    for key, value in under(name, state).items():
        if key == UNUSED:
            continue
        index, entry = key.split("/")
        per_parameter.setdefault(int(index), {})[entry] = value.clone()  # an optimizer would share it
    parameters = [one for group in optimizer.param_groups for one in group["params"]]
    for number, moments in per_parameter.items():
        for entry, value in moments.items():
            if not 0 <= number < len(parameters) or (value.dim() and value.shape != parameters[number].shape):
                raise ValueError(f"{name}/{number}/{entry} is of no parameter of this shape, {[*value.shape]}")
    optimizer.load_state_dict({"state": per_parameter, "param_groups": optimizer.state_dict()["param_groups"]})


def under(name: str, state: dict[str, Tensor]) -> dict[str, Tensor]:
    """Entries of a state with names that begin with `name/`, without that prefix."""
    return {key.removeprefix(f"{name}/"): value for key, value in state.items() if key.startswith(f"{name}/")}
