"""Descriptions of tasks for a video."""

from __future__ import annotations

from robometa.suites.objective_file import objective_of
from robometa.suites.objectives import MINUS
from robometa.suites.task import Task
from robometa.suites.variations import VARIATIONS

MAX_NUMBERS_LISTED = 3
"""Numbers of a variation that a description lists one by one."""


def in_words(task: Task) -> str:
    """Describes a task's target and variations, such as `target speed 1.25 m/s`."""
    display = objective_of(task).display
    phrases = [
        display.words(value) if name == display.parameter else _in_words(name, value) for name, value in task.parameters
    ]
    if display.parameter is not None and display.parameter not in dict(task.parameters):
        phrases.append(f"follow a commanded {display.parameter.replace('_', ' ')}")
    return ", ".join(phrases) or display.words(())


def _in_words(name: str, value: tuple[float, ...]) -> str:
    """Describes a variation, or a parameter that the display does not show."""
    if name in VARIATIONS:
        return _variation_in_words(name, value)
    return f"{name.replace('_', ' ')} {' '.join(f'{entry:.2g}' for entry in value)}".replace("-", MINUS)


def _variation_in_words(name: str, value: tuple[float, ...]) -> str:
    """Describes a variation: one number if all are equal, each if they are few or only 0 and 1, else the range."""
    words = name.replace("_", " ")
    if len(set(value)) == 1:
        value = value[:1]
    if len(value) <= MAX_NUMBERS_LISTED or set(value) <= {0.0, 1.0}:
        unit = VARIATIONS[name].unit
        numbers = " ".join(f"{entry:.2g}" for entry in value)
        return f"{words} {numbers}{' ' if unit else ''}{unit}".replace("-", MINUS)
    return f"{words} {min(value):.2g} to {max(value):.2g}"
