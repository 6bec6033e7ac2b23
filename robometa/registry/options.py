"""A learner's options: resolved into its configuration, read from a file, and described."""

from __future__ import annotations

import ast
import inspect
import itertools
import textwrap
from collections.abc import Callable, Mapping
from dataclasses import MISSING, Field, asdict, dataclass, fields, replace
from typing import TYPE_CHECKING, Any, get_args, get_type_hints

from robometa.errors import Range, Search, UserError, of_kind, ranges_of, searches_of, unknown
from robometa.registry import learners, user_file
from robometa.suites.suite import Suite

if TYPE_CHECKING:
    from robometa.learners.protocol import Options
SuiteOptions = Mapping[str, Mapping[str, Any]]
"""Options in a suite's file, by learner."""
SCHEDULES = ("decay_begin", "decay_end")
"""Options that are iterations of the run, and shares of it where `--iterations` or `--steps` changes its length."""
MAX_NAMED = 3
"""Most options in the name of a configuration."""


@dataclass(frozen=True)
class Option:
    """An option of a learner, as help texts and searches show it."""

    name: str
    """The field's name in the configuration."""
    kind: Any
    """The field's type, without its range: `int`, `tuple[int, ...]`."""
    range: Range | None
    """The allowed values; None if the annotation has no range."""
    default: Any
    """The default; None if the option is required."""
    meaning: str
    """The docstring under the field, in one line."""
    search: Search | None = None
    """Values that a search tries by default; None if it keeps the preset's."""


def described(configuration: type) -> list[Option]:
    """Describes every option of a configuration, in the order of its fields."""
    kinds, ranges, meanings = get_type_hints(configuration), ranges_of(configuration), _meanings(configuration)
    searches = searches_of(configuration)
    return [
        Option(
            field.name,
            kinds[field.name],
            ranges.get(field.name),
            _default(field),
            meanings.get(field.name, ""),
            searches.get(field.name),
        )
        for field in fields(configuration)
    ]


def resolve(suite: Suite, learner: str, options: dict[str, Any], preset: str | None = None) -> Options:
    """Resolves a learner's options into its configuration.

    Args:
        suite: The suite to train on; its file may set options of the learner.
        learner: The learner's name, or the file and class of one of the user's own.
        options: The user's options, which override the suite file's, which override the preset's.
        preset: The name of the configuration to start from; the learner's first if None.

    Returns:
        The frozen configuration.

    Raises:
        UserError: Naming every option that the learner does not have, that is of another kind, or outside its range.
    """
    return _resolved(suite.learner, suite.path.name, learner, options, preset)


def _resolved(
    suite_options: SuiteOptions, where: str, learner: str, options: dict[str, Any], preset: str | None = None
) -> Options:
    """Resolves a learner's options, with those of a suite's file by its name."""
    presets = learners.find(learner).presets()
    if preset is not None and preset not in presets:
        raise UserError(unknown("preset", preset, presets))
    start = presets[preset] if preset is not None else next(iter(presets.values()))
    usual, short = asdict(start), user_file.short(learner)
    from_suite = suite_options.get(short, {})
    mistakes = [
        *_unknown_learners(suite_options, where),
        *_mistakes(from_suite, usual, f"[learner.{short}] of {where}"),
        *_mistakes(options, usual, f"learner {short}"),
    ]
    base = scheduled(usual, _sound(from_suite, usual))
    changes = base | scheduled(usual | base, _sound(options, usual))
    try:
        made = _made(learner, lambda: replace(start, **changes))
    except UserError as error:  # ranges too, of the options that have a right name and kind
        mistakes += str(error).splitlines()
    if mistakes:
        raise UserError("\n".join(mistakes))
    return made


def scheduled(usual: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """Adds the changes of schedules that a change of the iterations brings along.

    A schedule stays the same share of the run, rounded up, unless the changes name it. One that is 0 stays 0.

    Args:
        usual: All options before the changes.
        changes: New values of some.
    """
    iterations, before = changes.get("iterations"), usual.get("iterations")
    if not isinstance(iterations, int) or not before or iterations == before:
        return dict(changes)
    moved = {name: -(-usual[name] * iterations // before) for name in SCHEDULES if isinstance(usual.get(name), int)}
    return moved | dict(changes)


def departures(preset: Mapping[str, Any], of_suite: Mapping[str, Any], options: Mapping[str, Any]) -> dict[str, Any]:
    """Lists the options that are neither their preset's, nor the suite file's, nor brought along by the iterations."""
    usual = {**preset, **scheduled(preset, _tuples(of_suite))}
    moved = usual | scheduled(usual, {"iterations": options["iterations"]})
    return {key: value for key, value in options.items() if not value == usual[key] == moved[key]}


def configuration_words(preset: str, changed: Mapping[str, Any]) -> str:
    """Names a configuration: its preset, and the first options that differ from it, but for the iterations."""
    words = [f"{name} {value}" for name, value in changed.items() if name != "iterations"]
    if not words:
        return f"{preset} configuration"
    more = f" and {len(words) - MAX_NAMED} more" if len(words) > MAX_NAMED else ""
    return f"{preset} configuration with {', '.join(words[:MAX_NAMED])}{more}"


def _unknown_learners(suite_options: SuiteOptions, where: str) -> list[str]:
    """Lists the unknown learners that a suite's file has options for."""
    return [
        unknown("learner", name, learners.LEARNERS, where)
        for name in suite_options
        if name not in learners.LEARNERS and not user_file.is_reference(name)
    ]


def _sound(options: Mapping[str, Any], usual: Mapping[str, Any]) -> dict[str, Any]:
    """The options that have a known name and the right kind of value."""
    return {name: one for name, one in _tuples(options).items() if name in usual and of_kind(one, usual[name])}


def _mistakes(options: Mapping[str, Any], usual: dict[str, Any], where: str) -> list[str]:
    """Lists the mistakes in the names of options and the kinds of their values."""
    mistakes = [unknown("option", name, usual, where) for name in options if name not in usual]
    return mistakes + [
        f"option {name} of {where} must be something like {usual[name]}, not {value!r}"
        for name, value in _tuples(options).items()
        if name in usual and not of_kind(value, usual[name])
    ]


def read_config(learner: str, saved: dict[str, Any]) -> Options:
    """Reads a learner's configuration from a policy's manifest or a run's description.

    Args:
        learner: The learner's name, or the file and class of one of the user's own.
        saved: The options as JSON holds them; those that are absent have their defaults.

    Returns:
        The frozen configuration.

    Raises:
        UserError: Naming every option that the learner does not have, that is of another kind, or outside its range.
    """
    entry = learners.find(learner)
    configuration = entry.load().configuration
    options = _tuples(saved)
    hints = get_type_hints(configuration)
    wrong = [
        f"learner {learner}: option {field.name} must be something like {field.default}, "
        f"not {options[field.name]!r:.100}"
        for field in fields(configuration)
        if field.name in options
        and field.default is not MISSING
        and type(None) not in get_args(hints[field.name])
        and not of_kind(options[field.name], field.default)
    ]
    if wrong:
        raise UserError("\n".join(wrong))
    return _made(learner, lambda: configuration(**entry.overrides | options))


def check_options(suite_options: SuiteOptions, where: str) -> None:
    """Checks a suite file's options for learners.

    Args:
        suite_options: The options by learner.
        where: Name of the file.

    Raises:
        UserError: Naming every mistake in them.
    """
    mistakes: dict[str, None] = {}  # a mistake that several learners share is reported once
    for name in ("random", *(name for name in suite_options if name in learners.LEARNERS)):
        try:
            _resolved(suite_options, where, name, {})
        except UserError as error:
            mistakes |= dict.fromkeys(str(error).splitlines())
    if mistakes:
        raise UserError("\n".join(mistakes))


def _made(learner: str, make: Callable[[], Options]) -> Options:
    """Makes a configuration.

    Raises:
        UserError: If it refuses an option.
    """
    try:
        return make()
    except (TypeError, ValueError) as error:
        raise UserError(f"learner {learner}: {error}") from None


def _tuples(options: Mapping[str, Any]) -> dict[str, Any]:
    """Replaces the lists of JSON and TOML by tuples."""
    return {name: tuple(value) if isinstance(value, list) else value for name, value in options.items()}


def _default(field: Field[Any]) -> Any:
    """Default of a field; None if the field is required."""
    if field.default_factory is not MISSING:
        return field.default_factory()
    return None if field.default is MISSING else field.default


def _meanings(configuration: type) -> dict[str, str]:
    """Reads the docstring under each field of a configuration, by field name."""
    tables = [_parsed(kind) for kind in configuration.__mro__[-2::-1]]
    return {
        field.target.id: " ".join(line.value.value.split())
        for table in tables
        if isinstance(table, ast.ClassDef)
        for field, line in itertools.pairwise(table.body)
        if isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name)
        if isinstance(line, ast.Expr) and isinstance(line.value, ast.Constant) and isinstance(line.value.value, str)
    }


def _parsed(kind: type) -> ast.stmt | None:
    """Parses a class's source; None if there is none."""
    try:
        return ast.parse(textwrap.dedent(inspect.getsource(kind))).body[0]
    except (OSError, TypeError):
        return None
