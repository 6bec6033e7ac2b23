"""Objectives in a user's file, named `./mine.py:MyObjective`.

Running such a file is running untrusted code, as for a learner. A suite's file holds only the file's name and class;
the user gives its path, on the command line or in Python, and a policy never does.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from robometa.errors import UserError
from robometa.registry import user_file
from robometa.registry.given import REWARD
from robometa.suites.numbers import number
from robometa.suites.objective_file import OWN
from robometa.suites.objectives import WORST_AT_BEST, Display, Objective

if TYPE_CHECKING:
    from torch import Tensor

SENSES = ("base", "feet", "forces")
"""Groups of sensors that an objective may ask for."""


def give(reference: str) -> None:
    """Runs the user's file of an objective, for suites whose file has `objective = "FILE.py:CLASS"`.

    Args:
        reference: Its path and class, such as `./mine.py:MyObjective`.

    Raises:
        UserError: If there is no such file or class, the file fails, or the class is not an objective.
    """
    entry = user_file.read(reference, "objective")
    own_class = getattr(entry.run(), entry.name, None)
    where = f"{entry.name} of {entry.path}"
    if not isinstance(own_class, type) or not callable(getattr(own_class, "reward", None)):
        raise UserError(f"{where} must be a class with the method reward(quantity, parameter, weight)")
    user_file.MADE[own_class] = entry
    OWN[user_file.short(reference)] = _made(own_class(), entry.about, where), entry.fingerprint()
    os.environ[REWARD] = f"{entry.path}:{entry.name}"


def inherit() -> None:
    """Runs the file that the process which started this one was given, if it was given one."""
    if reference := os.environ.get(REWARD):
        give(reference)


def _made(own: Any, about: str, where: str) -> Objective:
    """Makes an objective of an object of the user's class."""
    has_success = bool(getattr(own, "has_success", False))

    def reward(
        quantity: Mapping[str, Tensor], parameter: Mapping[str, Tensor], weight: Mapping[str, float]
    ) -> tuple[Tensor, Tensor | None]:
        result = own.reward(quantity, parameter, weight)
        paid, success = result if has_success else (result, None)
        worlds = quantity["control"].shape[:1]
        for name, value in (("reward", paid), ("success", success)):
            if getattr(value, "shape", worlds if value is None else None) != worlds:
                shape = list(getattr(value, "shape", ())) or type(value).__name__
                raise UserError(f"the {name} of {where} must be a number for each of {worlds[0]} worlds, not {shape}")
        return paid, success

    try:
        bound = number(getattr(own, "worst", WORST_AT_BEST))
    except ValueError as error:
        raise UserError(f"worst of {where}: {error}") from None
    senses = tuple(getattr(own, "senses", ()))
    if not set(senses) <= set(SENSES):
        raise UserError(f"senses of {where} must be some of {', '.join(SENSES)}, not {', '.join(map(str, senses))}")
    return Objective(
        about,
        reward,
        parameters={name: int(size) for name, size in _numbers(own, "parameters", where).items()},
        coefficients=_numbers(own, "coefficients", where),
        display=Display(lambda nothing: about),
        has_success=has_success,
        senses=senses,
        worst=lambda weight, control: control.new_full((len(control),), bound),
    )


def _numbers(own: Any, name: str, where: str) -> dict[str, float]:
    """Reads an attribute that is a table of numbers; an empty one if there is none."""
    table = getattr(own, name, {})
    try:
        return {str(key): number(value) for key, value in dict(table).items()}
    except (TypeError, ValueError) as error:
        raise UserError(f"{name} of {where} must be a table of numbers: {error}") from None
