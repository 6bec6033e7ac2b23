"""States of learners' parts as flat tables of tensors, which is what a checkpoint holds."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from torch import Tensor, nn, optim

TRAINING = "training/"
"""How the names of parts begin that only training needs."""
EXPERIENCE = "training/replay"
"""How the names of parts begin that keep what happened, to learn from it again; they may be large."""


class Kept(Protocol):
    """A part that knows its own state, such as running statistics or a replay."""

    def state(self) -> dict[str, Tensor]:
        """What it goes on from."""

    def load(self, state: dict[str, Tensor]) -> None:
        """Takes back what `state` gave."""


Parts = Mapping[str, nn.Module | optim.Optimizer | Kept]
"""What a learner is made of, by name."""


def state_of(parts: Parts) -> dict[str, Tensor]:
    """The states of all parts in one table, each under its name."""
    state: dict[str, Tensor] = {}
    for name, part in parts.items():
        if isinstance(part, nn.Module):
            state |= module_state(name, part)
        elif isinstance(part, optim.Optimizer):
            state |= optimizer_state(name, part)
        else:
            state |= {f"{name}/{key}": value for key, value in part.state().items()}
    return state


def load_state(parts: Parts, state: dict[str, Tensor]) -> None:
    """Gives every part its state back; those of training stay as they are where a state has nothing for training."""
    trains = any(name.startswith(TRAINING) for name in state)
    for name, part in parts.items():
        if name.startswith(TRAINING) and not trains:
            continue
        if isinstance(part, nn.Module):
            load_module(name, part, state)
        elif isinstance(part, optim.Optimizer):
            load_optimizer(name, part, state)
        else:
            part.load(under(name, state))


def module_state(name: str, module: nn.Module) -> dict[str, Tensor]:
    """A network's parameters under `name/`."""
    return {f"{name}/{key}": value.detach() for key, value in module.state_dict().items()}


def load_module(name: str, module: nn.Module, state: dict[str, Tensor]) -> None:
    """Puts the parameters under `name/` into a network."""
    module.load_state_dict(under(name, state))


def optimizer_state(name: str, optimizer: optim.Optimizer) -> dict[str, Tensor]:
    """An optimizer's moments and step counts under `name/`."""
    per_parameter = optimizer.state_dict()["state"]
    return {f"{name}/{index}/{key}": value for index, entry in per_parameter.items() for key, value in entry.items()}


def load_optimizer(name: str, optimizer: optim.Optimizer, state: dict[str, Tensor]) -> None:
    """Puts the moments and step counts under `name/` into an optimizer."""
    per_parameter: dict[int, dict[str, Tensor]] = {}
    for key, value in under(name, state).items():
        index, entry = key.split("/")
        per_parameter.setdefault(int(index), {})[entry] = value.clone()  # an optimizer would share it
    optimizer.load_state_dict({"state": per_parameter, "param_groups": optimizer.state_dict()["param_groups"]})


def under(name: str, state: dict[str, Tensor]) -> dict[str, Tensor]:
    """The part of a state whose names begin with `name/`, without that beginning."""
    return {key.removeprefix(f"{name}/"): value for key, value in state.items() if key.startswith(f"{name}/")}
