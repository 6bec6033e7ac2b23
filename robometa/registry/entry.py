"""What the registry says of a learner: where it is, and what it is in a sentence."""

from __future__ import annotations

import importlib
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from robometa.learners.protocol import Learner


@dataclass(frozen=True)
class Entry:
    """Where a learner is, and what it is in a sentence."""

    module: str
    name: str
    about: str
    paper: str
    overrides: dict[str, Any] = field(default_factory=dict, kw_only=True, hash=False)
    """Options that this name sets in every configuration; a variant of another method needs no more."""

    def load(self) -> type[Learner]:
        """The learner's class."""
        from robometa.learners.protocol import completed

        return completed(getattr(importlib.import_module(self.module), self.name))

    def presets(self) -> dict[str, Any]:
        """The learner's configurations by name; the first is the default."""
        module = importlib.import_module(self.module)
        presets: dict[str, Any] = getattr(module, "PRESETS", None) or {"default": module.Config()}
        return {name: replace(preset, **self.overrides) for name, preset in presets.items()}

    def fingerprint(self) -> str | None:
        """SHA-256 of the learner's file if it is one of the user's own; None for a shipped one."""
        return None


def label(name: str) -> str:
    """What a learner is called where space is short: its name, or the class of a file of the user's own."""
    return name.rpartition(":")[2]
