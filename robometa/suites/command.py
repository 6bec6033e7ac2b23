"""Visible commands: what a policy is asked for, drawn anew within an episode. Standard library only."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from robometa.errors import unknown
from robometa.suites.distributions import Distribution, read_distribution
from robometa.suites.numbers import seen, span

COMMANDS: Mapping[str, tuple[int, str]] = {
    "velocity": (1, "m/s"),
    "lateral_velocity": (1, "m/s"),
    "yaw_rate": (1, "rad/s"),
    "height": (1, "m"),
    "direction": (1, "1"),
    "angle": (1, "rad"),
    "goal": (2, "m"),
}
"""Count of the numbers of each command, and their unit."""
DEVIATIONS = 4.0
"""Standard deviations at which the bound of a normal command is taken."""


@dataclass(frozen=True)
class Command:
    """Commands of a suite, in the order in which a policy sees them."""

    entries: tuple[tuple[str, Distribution], ...] = field(hash=False)
    """Name and distribution of each."""
    resample: tuple[float, float] | None
    """Range of the time after which all are drawn anew, s; None for once an episode."""

    @property
    def names(self) -> tuple[str, ...]:
        """Name of each command."""
        return tuple(name for name, _ in self.entries)

    @property
    def size(self) -> int:
        """Count of all numbers."""
        return sum(COMMANDS[name][0] for name in self.names)

    def described(self) -> str:
        """Describes the commands in words."""
        parts = [f"{name} {_words(distribution)} {COMMANDS[name][1]}" for name, distribution in self.entries]
        if self.resample is None:
            again = "once an episode"
        else:
            low, high = self.resample
            again = f"anew every {low:g}{'' if low == high else f' to {high:g}'} s"
        return f"{', '.join(parts)}; drawn {again}"

    def ends(self) -> tuple[dict[str, list[float]], dict[str, list[float]]]:
        """Lowest and highest numbers of each command."""
        low, high = {}, {}
        for name, distribution in self.entries:
            low[name], high[name] = _ends(distribution)
        return low, high


def read_command(table: Any, where: str, mistakes: list[str]) -> Command | None:
    """Reads the commands of a suite's file; None if there are none, or a mistake is added."""
    if table is None:
        return None
    where = f"[command] of {where}"
    if not isinstance(table, dict) or not table.keys() - {"resample"}:
        mistakes.append(f"{where} must be a table with one of {', '.join(COMMANDS)}")
        return None
    entries, resample, before = [], None, len(mistakes)
    for name, value in table.items():
        try:
            if name == "resample":
                resample = span(value)
                if resample[0] <= 0:
                    raise ValueError("must be above 0")
            elif name in COMMANDS:
                distribution = read_distribution(value, COMMANDS[name][0])
                for end in (end for ends in _ends(distribution) for end in ends):
                    seen(end)
                entries.append((name, distribution))
            else:
                mistakes.append(unknown("command", name, (*COMMANDS, "resample"), where))
        except (TypeError, ValueError) as error:
            mistakes.append(f"{name} = {value!r} in {where}: {error}")
    return Command(tuple(entries), resample) if len(mistakes) == before else None


def _words(distribution: Distribution) -> str:
    kind, value = next((key, value) for key, value in distribution.items() if key not in ("size", "shared"))
    return f"{kind} {value}" if kind != "constant" else " ".join(f"{one:g}" for one in value)


def _ends(distribution: Distribution) -> tuple[list[float], list[float]]:
    size = distribution["size"]
    if "constant" in distribution:
        return distribution["constant"], distribution["constant"]
    if "values" in distribution:
        columns = list(zip(*distribution["values"], strict=True))
        return [min(column) for column in columns], [max(column) for column in columns]
    if "uniform" in distribution:
        low, high = distribution["uniform"]
    elif "normal" in distribution:
        mean, deviation = distribution["normal"]
        low, high = mean - DEVIATIONS * deviation, mean + DEVIATIONS * deviation
    elif "base" in distribution:
        powers = [distribution["base"] ** exponent for exponent in distribution["exponent"]]
        low, high = min(powers), max(powers)
    else:
        high = distribution["disc" if "disc" in distribution else "arc"][0]
        low = -high
    return [low] * size, [high] * size
