"""Distributions of task parameters, as a suite's file writes them. Standard library only."""

from __future__ import annotations

import math
import random
from typing import Any

from robometa.errors import unknown

KINDS = {
    "uniform": "[low, high]: each number uniform",
    "normal": "[mean, standard deviation]: each number normal",
    "base": "a number, with exponent = [low, high]: each number base ** u, u uniform",
    "disc": "radius: a point uniform in a disc",
    "arc": "[radius, from, to]: a point on a circle, angle uniform, rad",
    "values": "[...]: the tasks in order take these; one number or list of numbers each",
}
"""Keys of a distribution, and their values; a plain number or a list of numbers is a constant."""

SIZED = ("disc", "arc", "values")
"""Kinds that fit some numbers of numbers only."""
MAX_NUMBER = 1e100
"""Limit on numbers: larger ones soon overflow."""

Distribution = dict[str, Any]


def check_form(value: Any) -> None:
    """Checks a distribution of so many numbers as an unknown robot takes.

    Raises:
        ValueError: Naming the mistake.
    """
    lists = isinstance(value, list) or (isinstance(value, dict) and not value.keys().isdisjoint(SIZED))
    if not lists:
        read_distribution(value, 1)


def read_distribution(value: Any, size: int) -> Distribution:
    """Checks a distribution of `size` numbers, and returns its kind, arguments and size.

    Raises:
        ValueError: Naming the mistake.
    """
    if not isinstance(value, dict):
        return {"constant": _sized(value, size), "size": size}
    kinds = [kind for kind in KINDS if kind in value]
    if len(kinds) != 1:
        wrong = next((key for key in value if key not in KINDS), None)
        raise ValueError(
            unknown("distribution", wrong, KINDS)
            if wrong is not None and not kinds
            else f"one distribution of {', '.join(KINDS)} is needed"
        )
    kind = kinds[0]
    allowed = {kind, "shared"} | ({"exponent"} if kind == "base" else set())
    for key in value:
        if key not in allowed:
            raise ValueError(unknown("key", key, allowed))
    if not isinstance(value.get("shared", False), bool):
        raise ValueError(f"shared must be true or false, not {value['shared']!r}")
    checked: Distribution = {"size": size, "shared": value.get("shared", False)}
    if kind == "values":
        entries = value["values"]
        if not isinstance(entries, list) or not entries:
            raise ValueError(f"values must be a list with an entry for each task, not {entries!r}")
        checked["values"] = [_sized(entry, size) for entry in entries]
    elif kind == "base":
        checked["base"] = _number(value["base"])
        if checked["base"] <= 0:
            raise ValueError(f"base must be positive, not {checked['base']}")
        checked["exponent"] = _ordered(value.get("exponent"))
        if max(math.log(checked["base"]) * end for end in checked["exponent"]) > math.log(MAX_NUMBER):
            raise ValueError(f"{checked['base']} to the power of {checked['exponent']} is beyond {MAX_NUMBER:g}")
    elif kind == "uniform":
        checked["uniform"] = _ordered(value["uniform"])
    elif kind == "normal":
        checked["normal"] = _numbers(value["normal"], 2)
        if checked["normal"][1] < 0:
            raise ValueError(f"a standard deviation must not be negative: {checked['normal'][1]}")
    else:
        if size != 2:
            raise ValueError(f"{kind} gives a point of 2 numbers, and this takes {size}")
        checked[kind] = [_number(value["disc"])] if kind == "disc" else _numbers(value["arc"], 3)
        if checked[kind][0] <= 0:
            raise ValueError(f"a radius must be positive: {checked[kind][0]}")
    return checked


def is_random(distribution: Distribution) -> bool:
    """True if two draws with different seeds are never equal: a continuous distribution of more than one number."""
    if "uniform" in distribution:
        return bool(distribution["uniform"][0] < distribution["uniform"][1])
    if "normal" in distribution:
        return bool(distribution["normal"][1] > 0)
    if "base" in distribution:
        return bool(distribution["base"] != 1 and distribution["exponent"][0] < distribution["exponent"][1])
    if "arc" in distribution:
        return bool(distribution["arc"][1] != distribution["arc"][2])
    return "disc" in distribution


def draw(distribution: Distribution, key: str, index: int) -> tuple[float, ...]:
    """Draws the numbers of the task of this index, from `key` alone, so other parameters change nothing."""
    size = distribution["size"]
    if "constant" in distribution:
        return tuple(distribution["constant"])
    if "values" in distribution:
        return tuple(distribution["values"][index])
    source = random.Random(key)
    if "disc" in distribution:
        radius = distribution["disc"][0] * math.sqrt(source.random())
        return _point(radius, source.uniform(0.0, 2 * math.pi))
    if "arc" in distribution:
        radius, low, high = distribution["arc"]
        return _point(radius, source.uniform(low, high))
    numbers = [_draw_one(distribution, source) for _ in range(1 if distribution["shared"] else size)]
    return tuple(numbers * size if distribution["shared"] else numbers)


def _draw_one(distribution: Distribution, source: random.Random) -> float:
    if "uniform" in distribution:
        return source.uniform(*distribution["uniform"])
    if "normal" in distribution:
        return source.gauss(*distribution["normal"])
    exponent: float = source.uniform(*distribution["exponent"])
    return float(distribution["base"] ** exponent)


def _point(radius: float, angle: float) -> tuple[float, float]:
    return radius * math.cos(angle), radius * math.sin(angle)


def _number(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not abs(value) <= MAX_NUMBER:
        raise ValueError(f"a finite number needed, not {value!r}")
    return float(value)


def _numbers(value: Any, count: int) -> list[float]:
    if not isinstance(value, list) or len(value) != count:
        raise ValueError(f"{count} number{'s' * (count > 1)} needed, not {value!r}")
    return [_number(number) for number in value]


def _ordered(value: Any) -> list[float]:
    low, high = _numbers(value, 2)
    if not low <= high:
        raise ValueError(f"a range goes from low to high, not {value!r}")
    return [low, high]


def _sized(value: Any, size: int) -> list[float]:
    return _numbers(value, size) if isinstance(value, list) else [_number(value)] * size
