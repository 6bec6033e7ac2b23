"""Observations from what a robot measures."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from robometa_runtime.contract import Array, Contract, ContractError
from robometa_runtime.policy import ObservationError, real_numbers

LAST_ACTION, COMMAND = "last_action", "command"
"""Terms that no sensor measures: the action of the step before, and what the robot is asked for."""
MAX_HISTORY = 1000
"""Most samples of a term that a contract may ask for."""
BEYOND = 1.0
"""Widths of its range by which a reading may be outside of it; further out is another unit, or a broken sensor."""
Numbers = NDArray[np.float64]


class Observer:
    """Turns a robot's readings into the numbers that a policy sees, once a period.

    Each number is a reading less the contract's `offset`, within `clip`, times `scale`. Samples of histories are kept,
    and `last_action` comes from `sent`. The least delay of a reading in the contract is the robot's own, so only what
    another term of the same reading has more than that is added. Of `last_action` and `command` all of it is added.

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
            self._arrange(contract.content)
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
            ObservationError: If a reading is missing, unknown, not finite, of the wrong size or far outside of its
                range, or a command is not within the range of the training; nothing was changed.
        """
        given: dict[Any, Any] = {**({} if readings is None else readings), **named}
        if given.keys() != self.readings.keys():
            missing, unknown = self.readings.keys() - given.keys(), given.keys() - self.readings.keys()
            told = [
                f"{word} {', '.join(sorted(map(str, names)))}"
                for word, names in (("missing", missing), ("unknown", unknown))
                if names
            ]
            raise ObservationError(f"{'; '.join(told)}: this policy sees {', '.join(self.readings)}")
        sample = np.concatenate(
            [
                self._last_action() if name == self._sent else _sized(name, self._groups[name], given[name])
                for name in self._groups
            ]
        )
        self._require_plausible(sample)
        before = np.repeat(sample[None], self._depth, axis=0) if self._samples is None else self._samples
        samples = np.concatenate((sample[None], before))[: self._depth]
        seen = samples[self._lags, self._places] - self._offset
        with np.errstate(over="ignore"):
            obs: Array = (np.clip(seen, self._low, self._high) * self._scale).astype(np.float32)
        if not np.isfinite(obs).all():
            place = int(np.argmin(np.isfinite(obs)))
            raise ObservationError(f"{self._names[place]} is too large")
        self._samples = samples
        return obs

    def _arrange(self, content: dict[str, Any]) -> None:
        """Lists what must be measured, and where each number of the observation comes from."""
        observed: list[dict[str, Any]] = content["observation"]
        self._names = [one["name"] for one in observed]
        newest = [_newest(name, self._names) for name in self._names]
        frames: dict[str, set[Any]] = {}
        for one, name in zip(observed, newest, strict=True):
            frames.setdefault(name.partition("/")[0], set()).add(one["frame"])
        groups: dict[str, dict[str, dict[str, Any]]] = {}
        sources = []
        for one, name in zip(observed, newest, strict=True):
            group, _, part = name.partition("/")
            group += f" ({one['frame']} frame)" if len(frames[group]) > 1 else ""
            groups.setdefault(group, {}).setdefault(part or name, one)
            sources.append((group, part or name))
        self._groups = {group: tuple(parts) for group, parts in groups.items()}
        acts = tuple(one["name"] for one in content["action"])
        self._sent = LAST_ACTION if self._groups.get(LAST_ACTION) == acts else None  # else a sensor of this name
        self.readings = {group: parts for group, parts in self._groups.items() if group != self._sent}
        self._lags = self._ages(observed, sources, content["control_hz"])
        places = [(group, part) for group, parts in groups.items() for part in parts]
        at = {source: place for place, source in enumerate(places)}
        self._places, self._depth = np.array([at[source] for source in sources]), 1 + int(self._lags.max())
        self._offset, self._scale = (_column(observed, name) for name in ("offset", "scale"))
        clips = [one["clip"] or (-math.inf, math.inf) for one in observed]
        self._low, self._high = (np.array([float(clip[end]) for clip in clips]) for end in (0, 1))
        if not (np.isfinite(self._offset) & np.isfinite(self._scale) & (self._low <= self._high)).all():
            raise ValueError("offset and scale of an observation must be finite, and its clip a range")
        self._ranges = [_range(group, part, one) for group, parts in groups.items() for part, one in parts.items()]
        room = np.array([1e-6 if asked else BEYOND * (high - low) for _, _, low, high, asked in self._ranges])
        self._least, self._most = (np.array([one[end] for one in self._ranges]) for end in (2, 3))
        self._least, self._most = self._least - room, self._most + room

    def _ages(self, observed: list[dict[str, Any]], sources: list[tuple[str, str]], hz: float) -> NDArray[np.intp]:
        """Age of each number in periods, beyond what the robot's own sensors delay. `[obs]`."""
        delays = _column(observed, "delay")
        own = dict.fromkeys(self._groups, math.inf)
        for (group, _), delay in zip(sources, delays.tolist(), strict=True):
            own[group] = 0.0 if group in (self._sent, COMMAND) else min(own[group], delay)
        ages = np.round((delays - [own[group] for group, _ in sources]) * hz)
        if not ((ages >= 0) & (ages < MAX_HISTORY)).all():
            raise ValueError(f"delays and histories must be of at most {MAX_HISTORY} samples")
        return ages.astype(np.intp)

    def _last_action(self) -> Numbers:
        """The action that was sent last, in -1..1."""
        given = self.sent  # read once: a watchdog may set it meanwhile
        if given is None:
            return np.zeros(len(self._middle))
        sent = real_numbers(given, "sent must be numbers")
        if sent.shape != self._middle.shape:
            raise ObservationError(f"sent must have the shape {self._middle.shape}, not {sent.shape}")
        if not np.isfinite(sent).all():
            raise ObservationError("sent is not finite")
        return np.clip((sent - self._middle) / self._half, -1.0, 1.0)

    def _require_plausible(self, sample: Numbers) -> None:
        """Refuses commands outside of the training's range, and readings far outside of the contract's."""
        wrong = (sample < self._least) | (sample > self._most)
        if not wrong.any():
            return
        place = int(np.argmax(wrong))
        name, unit, low, high, asked = self._ranges[place]
        range_ = f"{low:.4g} to {high:.4g}{'' if unit == '1' else f' {unit}'}"
        told = f"and was from {range_} in training" if asked else f"far outside of {range_}: is it in another unit?"
        raise ObservationError(f"{name} is {sample[place]:.4g}, {told}")


def _newest(name: str, names: list[str]) -> str:
    """Name of the newest sample of a number, which is listed too: `@-1` is the sample before it."""
    newest, _, age = name.rpartition("@-")
    return newest if age.isdecimal() and newest in names else name


def _range(group: str, part: str, one: dict[str, Any]) -> tuple[str, str, float, float, bool]:
    """Name, unit and range of a reading, without its offset, and True if it is a command.

    A range that is the clip is no limit of what can be measured.
    """
    ends = (None, None) if [one["low"], one["high"]] == one["clip"] else (one["low"], one["high"])
    low, high = (none if end is None else float(end) for end, none in zip(ends, (-math.inf, math.inf), strict=True))
    name = group if part == group else f"{group}/{part}"
    return name, one.get("unit", "1"), low + float(one["offset"]), high + float(one["offset"]), group == COMMAND


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
    numbers = real_numbers(given, f"{name} must be {len(parts)} numbers").reshape(-1)
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
