"""What goes wrong through a user's input: one class, one readable message, exit code 2."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class UserError(Exception):
    """A mistake in what the user asked for; its message names the value and the allowed ones."""


def unknown(kind: str, name: object, known: Iterable[str], where: str = "") -> str:
    """The message for an unknown name: the name, where it stands, the nearest known name, all known names."""
    names = sorted(known)
    near = difflib.get_close_matches(str(name), names, n=1)
    guess = f" (did you mean {near[0]!r}?)" if near else ""
    place = f" in {where}" if where else ""
    return f"unknown {kind} {str(name)!r}{place}{guess}; known: {', '.join(names) or 'none'}"
