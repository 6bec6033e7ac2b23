"""Differences between a simulation and its robot that a suite simulates. Standard library only."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from robometa.errors import unknown
from robometa.suites.numbers import not_negative, span
from robometa.suites.terrain import Terrain, read_terrain


@dataclass(frozen=True)
class SimToReal:
    """Errors of a robot's motors and surroundings, drawn anew for every episode."""

    action_delay: tuple[float, float] = (0.0, 0.0)
    """Range of the time from an action to the motors, s, in whole physics steps."""
    motor_offset: float = 0.0
    """Half width of the error of every actuator's control, in its unit."""
    gain_error: float = 0.0
    """Half width of the relative error of every actuator's gains, 0.1 for 10 %."""
    push_every: tuple[float, float] | None = None
    """Range of the time between two pushes, s; None for no pushes."""
    push_speed: float = 0.0
    """Change of the base's horizontal velocity by a push, m/s."""
    push_turn: float = 0.0
    """Half width of the change of the base's turning rates by a push, rad/s."""
    terrain: Terrain | None = None
    """Uneven ground, of every task its own; None for the model's floor alone."""

    def words(self) -> str:
        """Describes the differences."""
        (low, high), parts = self.action_delay, []
        if high:
            parts.append(f"action delay {low:g}{'' if low == high else f' to {high:g}'} s")
        parts += [f"motor offset {self.motor_offset:g}"] if self.motor_offset else []
        parts += [f"gain error {self.gain_error:.0%}"] if self.gain_error else []
        if self.push_every:
            turn = f" and {self.push_turn:g} rad/s" if self.push_turn else ""
            parts.append(
                f"pushes of {self.push_speed:g} m/s{turn} every {self.push_every[0]:g} to {self.push_every[1]:g} s"
            )
        parts += [self.terrain.words()] if self.terrain else []
        return ", ".join(parts)


def _gain_error(value: Any) -> float:
    if not_negative(value) >= 1:
        raise ValueError("must be below 1")
    return float(value)


def _pushes(value: Any) -> tuple[tuple[float, float], float, float]:
    if not isinstance(value, dict) or "every" not in value or not value.keys() - {"every"} <= {"speed", "turn"}:
        raise ValueError("must be { every = s, speed = m/s, turn = rad/s }, every and one of the others")
    every = span(value["every"])
    speed, turn = (not_negative(value.get(name, 0.0)) for name in ("speed", "turn"))
    if every[0] <= 0 or not speed + turn > 0:
        raise ValueError("every, and one of speed and turn, must be above 0")
    return every, speed, turn


FIELDS: Mapping[str, Callable[[Any], Any]] = {
    "action_delay": span,
    "motor_offset": not_negative,
    "gain_error": _gain_error,
    "pushes": _pushes,
    "terrain": read_terrain,
}
"""Keys of `[sim_to_real]` in a suite's file, and the function that reads each value."""


def read_sim_to_real(table: Any, where: str, mistakes: list[str]) -> SimToReal | None:
    """Reads the differences of a suite's file; None if there are none, or a mistake is added."""
    if table is None:
        return None
    where = f"[sim_to_real] of {where}"
    if not isinstance(table, dict):
        mistakes.append(f"{where} must be a table")
        return None
    values: dict[str, Any] = {}
    for key, value in table.items():
        if key not in FIELDS:
            mistakes.append(unknown("key", key, FIELDS, where))
            continue
        try:
            values[key] = FIELDS[key](value)
        except (TypeError, ValueError) as error:
            mistakes.append(f"{key} = {value!r} in {where}: {error}")
    if "pushes" in values:
        values["push_every"], values["push_speed"], values["push_turn"] = values.pop("pushes")
    made = SimToReal(**values)
    return None if made == SimToReal() else made
