"""Search spaces: the options of a learner that are varied, read from its configuration and from the user's table."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import product
from typing import Any

from robometa import registry
from robometa.errors import MAX_LIST, MAX_NUMBER, Search, UserError, unknown
from robometa.registry.options import Option, described, resolve
from robometa.search.dimension import DEPTH, WIDTH, Dimension, Value
from robometa.storage.table import is_finite
from robometa.suites.suite import Suite

FIXED = ("iterations", "shots", "worlds", "decay_begin", "decay_end", "drawn_tasks")
"""Options that no search varies: the length of a training follows from the budget, the shots from the comparison."""


@dataclass(frozen=True)
class Space:
    """Options of a learner that a search varies, and those that it keeps."""

    learner: str
    """Name, or `FILE.py:CLASS` with an absolute path."""
    preset: str
    """Preset that the options start from."""
    usual: Mapping[str, Any]
    """All options of the hand-set preset on the suite."""
    fixed: Mapping[str, Any]
    """Options that the user's table fixes."""
    dimensions: tuple[Dimension, ...]

    @property
    def label(self) -> str:
        """Short name of the learner."""
        return registry.label(self.learner)

    @property
    def size(self) -> float:
        """Number of different trials; infinite if an option is a number from an interval."""
        return math.prod(one.size for one in self.dimensions)

    def every(self) -> list[dict[str, Value]]:
        """Parameters of every trial, in a fixed order; for a space of a small size."""
        names = [one.name for one in self.dimensions]
        return [dict(zip(names, some, strict=True)) for some in product(*(one.every() for one in self.dimensions))]

    def options(self, parameters: Mapping[str, Value]) -> dict[str, Any]:
        """The options that parameters stand for, beside those that the user's table fixes."""
        chosen = dict(self.fixed)
        for one in self.dimensions:
            value = parameters[one.name]
            if one.name.endswith(WIDTH):
                option = one.name.removesuffix(WIDTH)
                chosen[option] = [value] * int(str(parameters[option + DEPTH]))
            elif not one.name.endswith(DEPTH):
                chosen[one.name] = one.choices[one.labels.index(value)] if one.choices else value
        return chosen

    def parameters(self, options: Mapping[str, Any]) -> dict[str, Value] | None:
        """The parameters of options; None if the space does not hold them."""
        values: dict[str, Value] = {}
        for one in self.dimensions:
            option = one.name.removesuffix(WIDTH).removesuffix(DEPTH)
            value = options[option]
            if one.name != option:
                if len({*value}) != 1:
                    return None
                value = value[0] if one.name.endswith(WIDTH) else len(value)
            value = json.dumps(value) if isinstance(value, list | tuple) else value
            if not one.holds(value):
                return None
            values[one.name] = value
        return values if all(options[name] == _tuple(value) for name, value in self.fixed.items()) else None


def space_of(suite: Suite, learner: str, preset: str | None, table: Mapping[str, Any], where: str) -> Space:
    """Makes a learner's search space.

    Args:
        suite: The suite; its file may set options of the learner.
        learner: The learner's name, or the file and class of one of the user's own.
        preset: Preset to start from; the learner's first if None.
        table: The user's changes: a value fixes an option, a table varies it.
        where: Place of the table, for messages.

    Raises:
        UserError: Naming every mistake in the table.
    """
    config = resolve(suite, learner, {}, preset)
    usual, known = asdict(config), {option.name: option for option in described(type(config))}
    mistakes = [unknown("option", name, known, where) for name in table if name not in known]
    dimensions, fixed = list[Dimension](), dict[str, Any]()
    for name, option in known.items():
        try:
            if name in FIXED and name in table and name != "worlds":
                raise UserError(f"option {name} cannot be searched: it follows from the budget and the suite")
            if name in table and not _varies(table[name]):
                fixed[name] = table[name]
                continue
            search = _read(name, table[name], usual[name]) if name in table else option.search
            if search is not None and (name in table or name not in FIXED):
                dimensions += _dimensions(option, search, usual[name])
        except UserError as error:
            mistakes.append(f"{error}, in {where}" if name in table else str(error))
    presets = registry.find(learner).presets()
    space = Space(registry.absolute(learner), preset or next(iter(presets)), usual, fixed, tuple(dimensions))
    if not mistakes:
        mistakes = _refused(suite, space, table, where)
    if mistakes:
        raise UserError("\n".join(dict.fromkeys(mistakes)))
    if not dimensions:
        raise UserError(
            f"learner {space.label} has nothing to search: none of its options has a Search(...), and no [search] "
            "table varies one"
        )
    if space.size == 1 and space.parameters(usual) is not None:
        raise UserError(f"learner {space.label} has nothing to search: {where} leaves the hand-set preset alone")
    return space


def _varies(value: Any) -> bool:
    """True for a table, which varies an option; another value fixes it."""
    return isinstance(value, dict)


def _read(name: str, table: Mapping[str, Any], usual: Any) -> Search:
    """Reads a table of the user's, such as `{ low = 1e-4, high = 1e-2, log = true }`."""
    allowed = (*(("width", "depth") if isinstance(usual, tuple) else ("low", "high")), "log", "choices")
    wrong = [key for key in table if key not in allowed]
    if wrong:
        raise UserError(unknown("key", wrong[0], allowed, name))
    if "choices" in table:
        choices = table["choices"]
        if not isinstance(choices, list) or not 1 <= len(choices) <= MAX_LIST or len(table) > 1:
            raise UserError(f"{name} needs a list of choices, 1 to {MAX_LIST}, and nothing beside it")
        if len({*map(repr, choices)}) < len(choices) or any(
            isinstance(one, float) and not is_finite(one) for one in choices
        ):
            raise UserError(f"the choices of {name} must differ, and be finite")
        return Search(choices=tuple(map(_tuple, choices)))
    if not isinstance(usual, tuple) and (isinstance(usual, bool) or not isinstance(usual, int | float | None)):
        raise UserError(f"{name} is no number: it needs choices")
    ends = table.get("width") if isinstance(usual, tuple) else [table.get("low"), table.get("high")]
    depth = table.get("depth")
    log = table.get("log", isinstance(usual, tuple))
    for key, pair in (("width", ends), *([("depth", depth)] if depth is not None else [])):
        if (
            not isinstance(pair, list)
            or len(pair) != 2
            or not all(is_finite(one) and abs(one) <= MAX_NUMBER for one in pair)
        ):
            keys = f"{key} = [low, high]" if isinstance(usual, tuple) else "low and high"
            raise UserError(f"{name} needs {keys}, numbers of at most {MAX_NUMBER}, or choices")
    if not isinstance(log, bool):
        raise UserError(f"log of {name} must be true or false, not {log!r}")
    assert ends is not None
    return Search(ends[0], ends[1], log=log, depth=None if depth is None else (depth[0], depth[1]))


def _dimensions(option: Option, search: Search, usual: Any) -> list[Dimension]:
    """Parameters of an option.

    Raises:
        UserError: If the range is impossible.
    """
    name = option.name
    if search.choices or (option.range is not None and option.range.choices):
        choices = search.choices or (option.range.choices if option.range else ())
        return [Dimension(name, choices=choices)]
    low, high, whole = (
        search.low,
        search.high,
        isinstance((usual or (0,))[0] if isinstance(usual, tuple) else usual, int),
    )
    if low is None or high is None or not low < high or (search.log and low <= 0):
        fault = "low below high" + (", both above 0 on a logarithmic scale" if search.log else "")
        raise UserError(f"the range of {name} needs {fault}, not {low} to {high}")
    if whole and (int(low) != low or int(high) != high):
        raise UserError(f"the range of {name} needs whole numbers, not {low:g} to {high:g}")
    for end in (low, high):
        if option.range is not None and end not in option.range:
            raise UserError(f"{name} must be {option.range.words}, not {end:g}")
    if not isinstance(usual, tuple):
        return [Dimension(name, low, high, search.log, whole)]
    least, most = search.depth or (len(usual), len(usual))
    if not (isinstance(least, int) and isinstance(most, int) and 1 <= least <= most <= MAX_LIST):
        raise UserError(f"the depth of {name} must be from 1 to {MAX_LIST}, and low to high, not {least} to {most}")
    return [
        Dimension(name + WIDTH, low, high, search.log, True),
        Dimension(name + DEPTH, least, most, False, True),
    ]


def _refused(suite: Suite, space: Space, table: Mapping[str, Any], where: str) -> list[str]:
    """Mistakes that the learner finds in what the user's table fixes, in the choices and in the ends of ranges."""
    mistakes = []
    tried: list[dict[str, Any]] = [dict(space.fixed)]
    for one in space.dimensions:
        option, ends = one.name.removesuffix(WIDTH), (one.low, one.high)
        if not one.name.endswith(DEPTH):
            numbers = [int(end) if one.whole else float(end) for end in ends]
            tried += [{option: value if option == one.name else (value,)} for value in one.choices or numbers]
    for options in tried:
        try:
            resolve(suite, space.learner, options, space.preset)
        except UserError as error:
            of_table = any(name in table for name in options)
            mistakes += [f"{line}, in {where}" if of_table else line for line in str(error).splitlines()]
    return mistakes


def _tuple(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value


def tables_of(table: Mapping[str, Any], learners: Sequence[str], where: str) -> dict[str, dict[str, Any]]:
    """Divides a [search] table among learners: its own keys for all that have the option, then those of each.

    Args:
        table: The content of [search]; a table named like a learner is for it alone, and left
            out if that is not searched.
        learners: Names of the learners that are searched.
        where: Place of the table, for messages.

    Raises:
        UserError: If no learner has an option.
    """
    labels = {registry.label(name): name for name in learners}
    own = {label: table.get(label, {}) for label in labels}
    wrong = [label for label, one in own.items() if not isinstance(one, dict)]
    if wrong:
        raise UserError(f"[search.{wrong[0]}] in {where} must be a table")
    # One file may serve several searches: the table of a learner that is not searched has no part in this one.
    others = {name for name, value in table.items() if name in registry.LEARNERS and isinstance(value, dict)}
    shared = {name: value for name, value in table.items() if name not in labels and name not in others}
    options = {label: _option_names(name) for label, name in labels.items()}
    for name in shared:
        if not any(name in known for known in options.values()):
            every = sorted({one for some in options.values() for one in some})
            raise UserError(unknown("option", name, [*labels, *every], where))
    return {
        name: {key: value for key, value in shared.items() if key in options[label]} | own[label]
        for label, name in labels.items()
    }


def _option_names(learner: str) -> list[str]:
    """Names of all options of a learner."""
    return [option.name for option in described(registry.find(learner).load().configuration)]
