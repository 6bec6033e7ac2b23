"""Changes of a task within a trial: when they happen, and what they do. Standard library only."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from robometa.errors import unknown
from robometa.suites.distributions import Distribution, read_distribution
from robometa.suites.numbers import flag, number, whole
from robometa.suites.variations import VARIATIONS

Spread = Mapping[str, Distribution]
"""Distributions of a split's parameters, by name."""
Values = tuple[tuple[str, tuple[float, ...]], ...]
MAX_STEP = 10**9
"""Limit on a control step of a trial."""
MAX_MOMENTS = 1000
"""Most steps that a file lists."""
FIXED = "joint_offset"
"""Variation that cannot change while the robot moves: its links would jump."""


@dataclass(frozen=True)
class Change:
    """Rule by which the tasks of a split change along a trial.

    Steps are control steps since the trial began, of all its rollouts one after the other.
    """

    at: tuple[int, ...] = ()
    """Steps at which a task changes."""
    every: tuple[int, int] | None = None
    """Range of the steps between two further changes; None for none."""
    between_episodes: bool = False
    """A task changes at the beginning of every rollout but the first."""
    redraw: tuple[tuple[str, Distribution], ...] = field(default=(), hash=False)
    """Parameters that a change draws anew, and the split's distribution of each."""
    before: Values = ()
    """Numbers in force until the first change, which puts the task's own in their place."""
    drift: tuple[tuple[str, Distribution], ...] = field(default=(), hash=False)
    """Parameters to which every change of a trial adds the same, and the distribution of that."""
    wander: tuple[tuple[str, Distribution], ...] = field(default=(), hash=False)
    """Parameters to which a change adds something new, and the distribution of that."""
    limits: tuple[tuple[str, tuple[float, float]], ...] = ()
    """Range that a parameter stays in while it drifts or wanders."""

    @property
    def names(self) -> tuple[str, ...]:
        """Parameters that change."""
        parts = (self.redraw, self.before, self.drift, self.wander)
        return tuple(dict.fromkeys(name for part in parts for name, _ in part))

    @property
    def jumps(self) -> bool:
        """A change puts another number in a parameter's place; otherwise parameters only drift or wander."""
        return bool(self.redraw or self.before)

    @property
    def once(self) -> bool:
        """Only the first change of a trial does anything."""
        return not (self.redraw or self.drift or self.wander)

    def unreached(self, steps: int) -> str | None:
        """Says which changes a trial of so many steps does not reach; None if it reaches all that are fixed."""
        late = [moment for moment in self.at if moment >= steps]
        late += [self.every[0]] if self.every is not None and self.every[0] >= steps else []
        if not late:
            return None
        return f"a trial has {steps} steps, so the task does not change at step {', '.join(map(str, late))}"

    def described(self) -> str:
        """Describes the changes in words."""
        moments = [f"at {'step' if len(self.at) == 1 else 'steps'} {', '.join(map(str, self.at))}"] if self.at else []
        if self.every is not None:
            low, high = self.every
            moments.append(f"{'after' if self.once else 'every'} {low}{'' if low == high else f' to {high}'} steps")
        moments += ["between episodes"] if self.between_episodes else []
        limits = dict(self.limits)
        parts = [f"{name} becomes the task's own, {_plain(value)} before" for name, value in self.before]
        parts += [f"{name} is drawn anew" for name, _ in self.redraw]
        for verb, moved in (("drifts", self.drift), ("wanders", self.wander)):
            parts += [
                f"{name} {verb} by {_words(one)}, within {limits[name][0]:g}..{limits[name][1]:g}"
                for name, one in moved
            ]
        return f"{'once, ' * self.once}{', '.join(moments)} of a trial: {'; '.join(parts)}"


def read_change(table: Any, spreads: Mapping[str, Spread], where: str, mistakes: list[str]) -> dict[str, Change]:
    """Reads the changes of a suite's file.

    Args:
        table: Its `[change]`; None if it has none.
        spreads: Distributions of the parameters, by split.
        where: The file, for mistakes.
        mistakes: List that mistakes are added to.

    Returns:
        The rule of each split; empty if there is none, or after a mistake.
    """
    if table is None:
        return {}
    where = f"[change] of {where}"
    if not isinstance(table, dict):
        mistakes.append(f"{where} must be a table")
        return {}
    known = len(mistakes)
    shared = {name: spread for name, spread in spreads["train"].items() if name in spreads["test"]}
    values: dict[str, Any] = {}
    for key, value in table.items():
        if key not in READERS:
            mistakes.append(unknown("key", key, READERS, where))
            continue
        try:
            values[key] = READERS[key](value, shared)
        except (TypeError, ValueError) as error:
            mistakes.append(f"{key} = {value!r} in {where}: {error}")
    if len(mistakes) == known:
        mistakes += [f"{where} {fault}" for fault in _faults(values, spreads)]
    if len(mistakes) > known:
        return {}
    names = values.pop("redraw", ())
    return {
        split: Change(**values, redraw=tuple((name, spread[name]) for name in names))
        for split, spread in spreads.items()
    }


def _faults(values: Mapping[str, Any], spreads: Mapping[str, Spread]) -> list[str]:
    """Lists what is missing, and what contradicts itself."""
    faults = []
    if not any(values.get(key) for key in MOMENTS):
        faults.append(f"never happens: it needs one of {', '.join(MOMENTS)}")
    if not any(values.get(key) for key in EFFECTS):
        faults.append(f"does nothing: it needs one of {', '.join(EFFECTS)}")
    moved = [name for key in ("drift", "wander") for name, _ in values.get(key, ())]
    redrawn, before = list(values.get("redraw", ())), [name for name, _ in values.get("before", ())]
    limited = [name for name, _ in values.get("limits", ())]
    faults += [f"moves {name} twice: one of redraw, drift and wander" for name in _repeated([*redrawn, *moved])]
    faults += [
        f"gives {name} in before, and lets it drift or wander: one of the two" for name in before if name in moved
    ]
    faults += [f"needs limits = {{ {name} = [low, high] }}" for name in dict.fromkeys(moved) if name not in limited]
    faults += [f"limits {name}, which neither drifts nor wanders" for name in limited if name not in moved]
    faults += [
        f"draws {name} anew, and [{split}] has one number for it"
        for split, spread in spreads.items()
        for name in redrawn
        if "constant" in spread[name]
    ]
    return faults


def _repeated(names: list[str]) -> list[str]:
    return sorted({name for name in names if names.count(name) > 1})


def _moments(value: Any, shared: Spread) -> tuple[int, ...]:
    """Rising steps."""
    if not isinstance(value, list) or not 0 < len(value) <= MAX_MOMENTS:
        raise ValueError(f"must be a list of 1 to {MAX_MOMENTS} steps")
    steps = tuple(whole(step, 1, MAX_STEP) for step in value)
    if list(steps) != sorted(set(steps)):
        raise ValueError("must rise from step to step")
    return steps


def _every(value: Any, shared: Spread) -> tuple[int, int]:
    """Least and most steps, from one number or a range."""
    ends = value if isinstance(value, list) else [value, value]
    if isinstance(value, dict) or len(ends) != 2 or not whole(ends[0], 1, MAX_STEP) <= whole(ends[1], 1, MAX_STEP):
        raise ValueError("must be a number of steps, or a range [least, most]")
    return ends[0], ends[1]


def _names(value: Any, shared: Spread) -> tuple[str, ...]:
    """Parameters, each once."""
    if not isinstance(value, list) or not all(isinstance(name, str) for name in value):
        raise ValueError("must be a list of parameters")
    if _repeated(value):
        raise ValueError(f"has {', '.join(_repeated(value))} more than once")
    for name in value:
        _known(name, shared)
    return tuple(value)


def _known(name: str, shared: Spread) -> int:
    """Count of the numbers of a parameter that may change."""
    if name == FIXED:
        raise ValueError(f"{FIXED} cannot change within a trial: the robot's links would jump")
    if name not in shared:
        raise ValueError(unknown("parameter", name, [one for one in shared if one != FIXED], "both [train] and [test]"))
    return int(shared[name]["size"])


def _each(value: Any, read: Callable[[Any, str, int], Any], shared: Spread) -> tuple[tuple[str, Any], ...]:
    """A table from parameters to something, in the order of their names."""
    if not isinstance(value, dict) or not value:
        raise ValueError("must be a table with an entry for each parameter")
    return tuple((name, read(value[name], name, _known(name, shared))) for name in sorted(value))


def _before(value: Any, shared: Spread) -> Values:
    def numbers(one: Any, name: str, size: int) -> tuple[float, ...]:
        read = read_distribution(one, size)
        if "constant" not in read:
            raise ValueError(f"{name} must be a number, or a list of {size}")
        return tuple(_allowed(name, entry) for entry in read["constant"])

    return _each(value, numbers, shared)


def _distributions(value: Any, shared: Spread) -> tuple[tuple[str, Distribution], ...]:
    return _each(value, lambda one, name, size: read_distribution(one, size), shared)


def _limits(value: Any, shared: Spread) -> tuple[tuple[str, tuple[float, float]], ...]:
    def ends(one: Any, name: str, size: int) -> tuple[float, float]:
        if not isinstance(one, list) or len(one) != 2 or not number(one[0]) < number(one[1]):
            raise ValueError(f"{name} must be a range [low, high]")
        return _allowed(name, float(one[0])), _allowed(name, float(one[1]))

    return _each(value, ends, shared)


def _allowed(name: str, value: float) -> float:
    """The number, if a model can have it."""
    if name in VARIATIONS and value not in VARIATIONS[name].allowed:
        raise ValueError(f"{name} must be {VARIATIONS[name].allowed.words}, not {value:.3g}")
    return value


def _plain(value: tuple[float, ...]) -> str:
    return " ".join(f"{one:g}" for one in (value if len(set(value)) > 1 else value[:1]))


def _words(distribution: Distribution) -> str:
    kind, value = next((key, value) for key, value in distribution.items() if key not in ("size", "shared"))
    return _plain(tuple(value)) if kind == "constant" else f"{kind} {value}"


MOMENTS = ("at", "every", "between_episodes")
EFFECTS = ("redraw", "before", "drift", "wander")
READERS: Mapping[str, Callable[[Any, Spread], Any]] = {
    "at": _moments,
    "every": _every,
    "between_episodes": lambda value, shared: flag(value),
    "redraw": _names,
    "before": _before,
    "drift": _distributions,
    "wander": _distributions,
    "limits": _limits,
}
"""Keys of `[change]` in a suite's file, and the function that reads each value."""
