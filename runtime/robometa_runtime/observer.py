"""Observations from what a robot measures."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from robometa_runtime.contract import Array, Contract, ContractError
from robometa_runtime.policy import ObservationError

LAST_ACTION, COMMAND = "last_action", "command"
"""Terms that no sensor measures: the action of the step before, and what the robot is asked for."""
MAX_HISTORY = 1000
"""Most samples of a term that a contract may ask for."""
Numbers = NDArray[np.float64]


class Observer:
    """Turns a robot's readings into the numbers that a policy sees, once a period.

    Each number is a reading less the contract's `offset`, within `clip`, times `scale`. Samples of histories are kept,
    and `last_action` comes from `sent`. A delay in the contract is the robot's own, so none is added.

    Attributes:
        readings: What a call takes: names of the numbers, in order, by the name of the reading.
        sent: What the robot was last sent, in the actuators' units, a safe action included; set it in `write`. None
            before the first. `[action]`
    """

    def __init__(self, contract: Contract) -> None:
        """Reads what a policy sees.

        Raises:
            ContractError: If the contract does not say it.
        """
        try:
            self._arrange(contract.content["observation"])
            actions = contract.content["action"]
            self._middle, self._half = (_column(actions, name) for name in ("offset", "scale"))
            if not (np.isfinite(self._middle).all() and np.isfinite(self._half).all() and self._half.all()):
                raise ValueError("offset and scale of an action must be finite, and no scale 0")
        except (AttributeError, IndexError, KeyError, TypeError, ValueError, OverflowError) as error:
            raise ContractError(f"{contract.folder / 'contract.json'} is damaged: {error!r:.200}") from None
        self.reset()

    def reset(self) -> None:
        """Forgets the samples and the last action, as where an episode begins."""
        self.sent: ArrayLike | None = None
        self._samples: Numbers | None = None

    def __call__(self, readings: Mapping[str, ArrayLike | Mapping[str, float]] | None = None, **named: Any) -> Array:
        """Returns the observation. `[obs]`.

        Args:
            readings: Numbers by the name of the reading, in the order and units of the contract, or by their own names.
            named: The same as arguments.

        Raises:
            ObservationError: If a reading is missing, unknown, not finite or of the wrong size, or a command is not
                within the range of the training; nothing was changed.
        """
        given = {**(readings or {}), **named}
        if given.keys() != self.readings.keys():
            missing, unknown = sorted(self.readings.keys() - given.keys()), sorted(given.keys() - self.readings.keys())
            told = [
                f"{word} {', '.join(names)}" for word, names in (("missing", missing), ("unknown", unknown)) if names
            ]
            raise ObservationError(f"{'; '.join(told)}: this policy sees {', '.join(self.readings)}")
        sample = np.concatenate(
            [
                self._last_action() if name == LAST_ACTION else _sized(name, self.readings[name], given[name])
                for name in self._groups
            ]
        )
        self._require_asked(sample)
        before = np.repeat(sample[None], self._depth, axis=0) if self._samples is None else self._samples
        self._samples = np.concatenate((sample[None], before))[: self._depth]
        seen = self._samples[self._lags, self._places] - self._offset
        return (np.clip(seen, self._low, self._high) * self._scale).astype(np.float32)

    def _arrange(self, observed: list[dict[str, Any]]) -> None:
        """Lists what must be measured, and where each number of the observation comes from."""
        frames: dict[str, set[Any]] = {}
        for one in observed:
            frames.setdefault(one["name"].partition("/")[0], set()).add(one["frame"])
        self._groups: dict[str, dict[str, dict[str, Any]]] = {}
        sources, lags = [], []
        for one in observed:
            name, _, age = one["name"].partition("@-")
            group, _, part = name.partition("/")
            group += f" ({one['frame']} frame)" if len(frames[group]) > 1 else ""
            self._groups.setdefault(group, {}).setdefault(part or name, one)
            sources.append((group, part or name))
            lags.append(int(age or 0))
        if not all(0 <= lag < MAX_HISTORY for lag in lags):
            raise ValueError(f"a history must have at most {MAX_HISTORY} samples")
        places = [(group, part) for group, parts in self._groups.items() for part in parts]
        at = {source: place for place, source in enumerate(places)}
        self._places, self._lags = np.array([at[source] for source in sources]), np.array(lags)
        self._depth = 1 + max(lags)
        self._offset, self._scale = (_column(observed, name) for name in ("offset", "scale"))
        clips = [one["clip"] or (-math.inf, math.inf) for one in observed]
        self._low, self._high = (np.array([float(clip[end]) for clip in clips]) for end in (0, 1))
        self.readings = {group: tuple(parts) for group, parts in self._groups.items() if group != LAST_ACTION}
        self._asked = [(at[COMMAND, part], one) for part, one in self._groups.get(COMMAND, {}).items()]

    def _last_action(self) -> Numbers:
        """The action that was sent last, in -1..1."""
        if self.sent is None:
            return np.zeros(len(self._middle))
        sent = np.asarray(self.sent, float)
        if sent.shape != self._middle.shape:
            raise ObservationError(f"sent must have the shape {self._middle.shape}, not {sent.shape}")
        return np.clip((sent - self._middle) / self._half, -1.0, 1.0)

    def _require_asked(self, sample: Numbers) -> None:
        for place, one in self._asked:
            low, high = (
                end if one[name] is None else one[name] for name, end in (("low", -math.inf), ("high", math.inf))
            )
            if not low - 1e-6 <= sample[place] <= high + 1e-6:
                raise ObservationError(
                    f"{one['name']} is {sample[place]:g}, and was from {low:g} to {high:g} in training"
                )


def _column(entries: list[dict[str, Any]], name: str) -> Numbers:
    return np.array([float(one[name]) for one in entries])


def _sized(name: str, parts: tuple[str, ...], given: ArrayLike | Mapping[str, float]) -> Numbers:
    """Numbers of a reading.

    Raises:
        ObservationError: If one is missing, unknown or not finite.
    """
    if isinstance(given, Mapping):
        if given.keys() != set(parts):
            raise ObservationError(f"{name} must name {', '.join(parts)}, not {', '.join(map(str, given))}")
        given = [given[part] for part in parts]
    try:
        numbers = np.asarray(given, float).reshape(-1)
    except (TypeError, ValueError):
        raise ObservationError(f"{name} must be {len(parts)} numbers") from None
    if len(numbers) != len(parts):
        raise ObservationError(f"{name} must be {len(parts)} numbers ({', '.join(parts)}), not {len(numbers)}")
    if not np.isfinite(numbers).all():
        place = int(np.argmin(np.isfinite(numbers)))
        raise ObservationError(f"{name}/{parts[place]} is {numbers[place]}, not finite")
    return numbers


def projected_gravity(quaternion: ArrayLike) -> Numbers:
    """Returns the direction of gravity in the body's frame, from the body's quaternion w, x, y, z. `[3]`.

    Raises:
        ObservationError: If it is no quaternion.
    """
    numbers = _sized("quaternion", ("w", "x", "y", "z"), quaternion)
    size = float(np.linalg.norm(numbers))
    if size < 1e-6:
        raise ObservationError("the quaternion is 0")
    w, x, y, z = numbers / size
    return np.array([2 * (w * y - x * z), -2 * (y * z + w * x), 2 * (x * x + y * y) - 1])
