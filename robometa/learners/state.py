"""States of learners' parts as flat tables of tensors, which is what a checkpoint holds."""

from __future__ import annotations

from torch import Tensor, nn, optim


def module_state(name: str, module: nn.Module) -> dict[str, Tensor]:
    """A network's parameters under `name/`."""
    return {f"{name}/{key}": value.detach() for key, value in module.state_dict().items()}


def load_module(name: str, module: nn.Module, state: dict[str, Tensor]) -> None:
    """Puts the parameters under `name/` into a network."""
    module.load_state_dict(under(name, state))


def optimiser_state(name: str, optimiser: optim.Optimizer) -> dict[str, Tensor]:
    """An optimiser's moments and step counts under `name/`."""
    per_parameter = optimiser.state_dict()["state"]
    return {f"{name}/{index}/{key}": value for index, entry in per_parameter.items() for key, value in entry.items()}


def load_optimiser(name: str, optimiser: optim.Optimizer, state: dict[str, Tensor]) -> None:
    """Puts the moments and step counts under `name/` into an optimiser."""
    per_parameter: dict[int, dict[str, Tensor]] = {}
    for key, value in under(name, state).items():
        index, entry = key.split("/")
        per_parameter.setdefault(int(index), {})[entry] = value.clone()  # an optimiser would share it
    optimiser.load_state_dict({"state": per_parameter, "param_groups": optimiser.state_dict()["param_groups"]})


def under(name: str, state: dict[str, Tensor]) -> dict[str, Tensor]:
    """The part of a state whose names begin with `name/`, without that beginning."""
    return {key.removeprefix(f"{name}/"): value for key, value in state.items() if key.startswith(f"{name}/")}
