"""A learner's options: its preset's, the suite file's on top, the user's on top of these."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from robometa.errors import UserError, of_kind, unknown
from robometa.registry import learners, user_file
from robometa.suites.suite import Suite


def resolve_options(suite: Suite, learner: str, options: dict[str, Any], preset: str | None = None) -> dict[str, Any]:
    """The learner's options: the preset's, the suite file's on top, the user's on top of these.

    Raises: UserError: Naming every option that the learner does not have, or that is of another kind.
    """
    presets = learners.find(learner).presets()
    if preset is not None and preset not in presets:
        raise UserError(unknown("preset", preset, presets))
    resolved = asdict(presets[preset] if preset is not None else next(iter(presets.values())))
    mistakes = [
        unknown("learner", name, learners.LEARNERS, suite.path.name)
        for name in suite.learner
        if name not in learners.LEARNERS and not user_file.is_reference(name)
    ]
    learner = user_file.short(learner)
    from_suite = suite.learner.get(learner, {})
    for source, where in ((from_suite, f"[learner.{learner}] of {suite.path.name}"), (options, f"learner {learner}")):
        mistakes += [unknown("option", name, resolved, where) for name in source if name not in resolved]
        known = {name: value for name, value in source.items() if name in resolved}
        known = {name: tuple(value) if isinstance(value, list) else value for name, value in known.items()}
        mistakes += [
            f"option {name} of {where} must be something like {resolved[name]}, not {value!r}"
            for name, value in known.items()
            if not of_kind(value, resolved[name])
        ]
        resolved |= known
    if mistakes:
        raise UserError("\n".join(mistakes))
    return resolved


def check_options(suite: Suite) -> None:
    """Returns if the options that a suite's file has for learners are sound.

    Raises: UserError: With all that is wrong with them.
    """
    mistakes: dict[str, None] = {}  # what is said for every learner is said once
    for name in ("random", *(name for name in suite.learner if name in learners.LEARNERS)):
        try:
            learners.find(name).load().configuration(**resolve_options(suite, name, {}))
        except UserError as error:
            mistakes |= dict.fromkeys(str(error).splitlines())
    if mistakes:
        raise UserError("\n".join(mistakes))
