"""Objectives of suites: shipped ones by name, sums of weighted terms, and those of a user's own Python file.

Standard library only. A user's file is run by `registry/user_objective.py` and never from here: a suite's file may
come along with a policy, and a policy never decides which code runs.
"""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from typing import TYPE_CHECKING, Any

from robometa.errors import UserError, unknown
from robometa.suites.numbers import number
from robometa.suites.objectives import OBJECTIVES, Display, Objective
from robometa.suites.reward_terms import TERMS, effort, tracking_error
from robometa.suites.task import Task

if TYPE_CHECKING:
    from torch import Tensor

    from robometa.suites.reward_terms import Numbers, Tensors

WEIGHTED = "terms"
"""Name of an objective that is a sum of weighted terms."""
Coefficients = tuple[tuple[str, float], ...]
OWN: dict[str, tuple[Objective, str]] = {}
"""Objectives of the user's own that the user has named, by `FILE.py:CLASS` without folders, and their file's hash."""


def objective_of(task: Task) -> Objective:
    """Returns the objective of a task."""
    if task.objective == WEIGHTED:
        return weighted(tuple(name for name, _ in task.coefficients if "." not in name))
    return named(task.objective)


def named(name: str) -> Objective:
    """Returns the objective of this name.

    Raises:
        UserError: If there is none, or it is of a user's file that the user has not named.
    """
    if is_own(name):
        if name not in OWN:
            raise UserError(
                f"its rewards are {name.rpartition(':')[2]} of {name.rpartition(':')[0]}, a program that is not run "
                f"unasked: if that file is yours, say where it is with --reward PATH/{name}, or in "
                f'Python with robometa.registry.user_objective.give("PATH/{name}")'
            )
        return OWN[name][0]
    if name not in OBJECTIVES:
        raise UserError(unknown("objective", name, OBJECTIVES))
    return OBJECTIVES[name]


def is_own(name: object) -> bool:
    """Returns True if a name is `FILE.py:CLASS`, an objective of a user's own."""
    return isinstance(name, str) and ".py:" in name


def own_hash(name: str) -> str | None:
    """SHA-256 of the file of a user's objective; None for another one."""
    return OWN[name][1] if name in OWN else None


def read_objective(value: Any, where: str, mistakes: list[str]) -> tuple[str | None, Coefficients]:
    """Reads the objective of a suite's file: a name, or a table of weights.

    Returns:
        Its name, None after a mistake, and the weights and options of its terms.
    """
    if isinstance(value, dict):
        return _read_terms(value, f"[objective] of {where}", mistakes)
    if is_own(value):
        if "/" in value or "\\" in value:
            mistakes.append(f"objective = {value!r} in {where} must be FILE.py:CLASS without a folder; --reward has it")
            return None, ()
        try:
            named(value)
        except UserError as error:
            mistakes.append(f"{where}: {error}")
            return None, ()
        return value, ()
    if not isinstance(value, str) or value not in OBJECTIVES:
        mistakes.append(unknown("objective", value, OBJECTIVES, where))
        return None, ()
    return value, ()


def _read_terms(table: dict[str, Any], where: str, mistakes: list[str]) -> tuple[str | None, Coefficients]:
    values: dict[str, float] = {}
    before = len(mistakes)
    if not table:
        mistakes.append(f"{where} needs a term: {', '.join(TERMS)}")
    for name, entry in table.items():
        if name not in TERMS:
            mistakes.append(unknown("term", name, TERMS, where))
            continue
        options = entry if isinstance(entry, dict) else {"weight": entry}
        allowed = {"weight": 0.0, **TERMS[name].options}
        if "weight" not in options:
            mistakes.append(f"{name} in {where} has no weight")
        for key, one in ({**allowed, **options}).items():
            try:
                if key not in allowed:
                    raise ValueError(unknown("option", key, allowed))
                values[name if key == "weight" else f"{name}.{key}"] = number(one)
                if key == "sigma" and one <= 0:
                    raise ValueError("must be above 0")
            except ValueError as error:
                mistakes.append(f"{key} = {one!r} of {name} in {where}: {error}")
    return (WEIGHTED if len(mistakes) == before else None), tuple(sorted(values.items()))


@cache
def weighted(names: tuple[str, ...]) -> Objective:
    """Makes the objective that adds these terms, whose weights are its coefficients."""

    def options(name: str, weight: Numbers) -> dict[str, float]:
        return {key: weight[f"{name}.{key}"] for key in TERMS[name].options}

    def reward(quantity: Tensors, parameter: Tensors, weight: Numbers) -> tuple[Tensor, Tensor | None]:
        parts = [weight[name] * TERMS[name].value(quantity, parameter, options(name, weight)) for name in names]
        success = None
        if "track_velocity" in names:
            success = tracking_error(quantity, parameter) < weight["track_velocity.tolerance"]
        return sum(parts[1:], parts[0]), success

    def worst(weight: Numbers, control: Tensor) -> Tensor:
        total = control.new_zeros(len(control))
        for name in names:
            term = TERMS[name]
            ends = [weight[name] * end for end in (term.low, term.high) if abs(end) != float("inf")]
            lowest = min(ends, default=0.0) if name != "effort" else weight[name] * effort({"control": control})
            total = total + (lowest if isinstance(lowest, float) else lowest.clamp(max=0.0))
        return total

    needed = {name for term in names for name in TERMS[term].parameters}
    optional = {name for term in names for name in OPTIONAL.get(term, ())} - needed
    return Objective(
        f"the weighted sum of {', '.join(names)}",
        reward,
        parameters={name: 2 if name == "goal" else 1 for name in sorted(needed)},
        coefficients={},
        display=_display(needed),
        has_success="track_velocity" in names,
        senses=tuple(sorted({sense for name in names for sense in TERMS[name].senses})),
        worst=worst,
        optional=dict.fromkeys(sorted(optional), 1),
    )


OPTIONAL = {
    "track_velocity": ("lateral_velocity",),
    "tracking_error": ("lateral_velocity",),
    "sideways": ("lateral_velocity",),
    "turning": ("yaw_rate",),
    "height_error": ("height",),
    "feet_air_time": ("velocity", "lateral_velocity", "yaw_rate"),
}
"""Commands or hidden parameters that a term uses if there are any."""


def _display(needed: set[str]) -> Display:
    shown = next((name for name in ("velocity", "goal") if name in needed), None)
    if shown is None:
        return Display(lambda nothing: "collect the weighted terms")
    return replace(OBJECTIVES[shown].display, tolerance=None, norm=None)
