"""Terms of an observation, in order, each with its own errors. Standard library only."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from typing import Any

from robometa.errors import unknown
from robometa.suites.numbers import error_size, flag, not_negative, range_around_zero, seen, text, whole

BODY, HEADING, WORLD = "body", "heading", "world"
"""Frames: of the body, of the body turned about the vertical only, of the world."""
MAX_HISTORY = 100
"""Most samples of a term that a policy sees at once."""


@dataclass(frozen=True)
class Kind:
    """A quantity that a term may be."""

    about: str
    measured: bool = True
    """A robot can measure it with its own sensors."""
    senses: str = ""
    """Sensors that it needs, by the name in `SENSES`."""
    framed: bool = False
    """It is a vector, which has a frame."""


KINDS: Mapping[str, Kind] = {
    "base_angular_velocity": Kind("turning rate of the body, rad/s", senses="base", framed=True),
    "base_linear_velocity": Kind("velocity of the body, m/s", measured=False, senses="base", framed=True),
    "projected_gravity": Kind("direction of gravity in the body's frame, of length 1", senses="base"),
    "base_orientation": Kind("quaternion w, x, y, z of the body", senses="base"),
    "base_height": Kind("height of the body, m", measured=False, senses="base"),
    "base_position": Kind("x and y of the body, m", measured=False, senses="base"),
    "joint_positions": Kind("hinges and slides relative to the pose in which episodes begin, rad or m"),
    "joint_velocities": Kind("velocities of hinges and slides, rad/s or m/s"),
    "last_action": Kind("action of the step before, clipped to -1..1"),
    "command": Kind("the command in force"),
    "foot_contacts": Kind("1 for each foot that carries more than 1 N, else 0", senses="feet"),
    "sensors": Kind("all sensors of the model, in its order"),
    "sensor": Kind("a sensor of the model"),
    "former": Kind("the former parts of an observation"),
}
"""Terms by name. `sensor` is written as `{ sensor = "NAME" }`; `former` stands before a command, and in no file."""
FORMER = "former"
NAMES = tuple(name for name in KINDS if name not in ("sensor", FORMER))
"""Terms that a file may name."""


@dataclass(frozen=True)
class Term:
    """A part of an observation. Order of its changes: bias and noise, clip, scale, delay, history."""

    kind: str
    sensor: str = ""
    """Name of the sensor of a `sensor` term."""
    frame: str = BODY
    relative: bool = True
    """Joint positions are relative to the pose in which episodes begin."""
    noise: float = 0.0
    """Noise of each sample, in the term's unit: half width if uniform, else standard deviation."""
    normal: bool = False
    """The noise is normal; uniform otherwise."""
    bias: float = 0.0
    """Half width of an error that lasts for an episode, in the term's unit."""
    clip: tuple[float, float] | None = None
    """Range, in the term's unit."""
    scale: float = 1.0
    """Factor on the number that the policy sees."""
    delay: float = 0.0
    """Age of the newest sample that the policy sees, s."""
    history: int = 1
    """Samples that the policy sees at once, a control step apart, the oldest first."""

    @property
    def name(self) -> str:
        """Name in words."""
        return f"sensor {self.sensor}" if self.kind == "sensor" else self.kind

    def words(self) -> str:
        """Describes the term with its changes, and says whether a robot measures it."""
        kind = KINDS[self.kind]
        changes = [f"{self.frame} frame"] if kind.framed and self.frame != BODY else []
        changes += ["absolute"] if not self.relative else []
        changes += [f"noise {self.noise:g}{' normal' if self.normal else ''}"] if self.noise else []
        changes += [f"bias {self.bias:g}"] if self.bias else []
        changes += [f"clip {self.clip[0]:g}..{self.clip[1]:g}"] if self.clip else []
        changes += [f"scale {self.scale:g}"] if self.scale != 1 else []
        changes += [f"delay {self.delay:g} s"] if self.delay else []
        changes += [f"{self.history} samples"] if self.history > 1 else []
        changes += [] if kind.measured else ["NO ROBOT MEASURES IT"]
        return self.name + (f" ({', '.join(changes)})" if changes else "")


def _noise(value: Any) -> float:
    table = value if isinstance(value, dict) else {"uniform": value}
    if len(table) != 1 or not set(table) <= {"uniform", "normal"}:
        raise ValueError("must be a number, the half width, or { uniform = half width } or { normal = deviation }")
    return error_size(*table.values())


def _scale(value: Any) -> float:
    if seen(value) == 0:
        raise ValueError("must not be 0")
    return float(value)


def _frame(value: Any) -> str:
    if value not in (BODY, HEADING, WORLD):
        raise ValueError(f"must be {BODY}, {HEADING} or {WORLD}")
    return str(value)


def _history(value: Any) -> int:
    return whole(value, 1, MAX_HISTORY)


FIELDS: Mapping[str, Callable[[Any], Any]] = {
    "frame": _frame,
    "relative": flag,
    "noise": _noise,
    "bias": error_size,
    "clip": range_around_zero,
    "scale": _scale,
    "delay": not_negative,
    "history": _history,
}
"""Keys of a term in a suite's file, and the function that reads each value."""
assert set(FIELDS) < {entry.name for entry in fields(Term)}


def read_term(entry: Any) -> Term:
    """Reads a term: its name, or a table with the key `term` or `sensor`.

    Raises:
        ValueError: Naming the mistake.
    """
    table = {"term": entry} if isinstance(entry, str) else entry
    if not isinstance(table, dict) or ("term" in table) == ("sensor" in table):
        raise ValueError(f'a term is a name, {{ term = "NAME", ... }} or {{ sensor = "NAME", ... }}, not {entry!r}')
    kind = table.get("term", "sensor")
    if kind not in NAMES and "sensor" not in table:
        hint = f'; a sensor of the model is {{ sensor = "{kind}" }}'
        raise ValueError(unknown("term", kind, NAMES) + hint)
    values: dict[str, Any] = {"sensor": text(table["sensor"])} if "sensor" in table else {}
    for key, value in table.items():
        if key in ("term", "sensor"):
            continue
        if key not in FIELDS:
            raise ValueError(unknown("key", key, FIELDS, f"the term {kind}"))
        try:
            values[key] = FIELDS[key](value)
        except (TypeError, ValueError) as error:
            raise ValueError(f"{key} = {value!r} of the term {kind}: {error}") from None
    if "frame" in values and not KINDS[kind].framed:
        raise ValueError(f"the term {kind} has no frame")
    if "relative" in values and kind != "joint_positions":
        raise ValueError(f"the term {kind} is not relative to a pose")
    noise = table.get("noise")
    return Term(kind, normal=isinstance(noise, dict) and "normal" in noise, **values)
