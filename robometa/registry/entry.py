"""Registry entry of a learner: its module and class, and a sentence about it."""

from __future__ import annotations

import importlib
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from robometa.learners.protocol import Learner, Options


@dataclass(frozen=True)
class Entry:
    """Module and class of a learner, a sentence about it, and its paper."""

    module: str
    name: str
    about: str
    paper: str
    overrides: dict[str, Any] = field(default_factory=dict, kw_only=True, hash=False)
    """Options that this name sets in every configuration; they suffice to define a variant of another method."""

    def load(self) -> type[Learner]:
        """Imports the learner's class."""
        from robometa.learners.protocol import completed

        return completed(getattr(importlib.import_module(self.module), self.name))

    def presets(self) -> dict[str, Options]:
        """The learner's configurations by name; the first is the default."""
        module = importlib.import_module(self.module)
        presets: dict[str, Options] = getattr(module, "PRESETS", None) or {"default": module.Config()}
        return {name: replace(preset, **self.overrides) for name, preset in presets.items()}

    def fingerprint(self) -> str | None:
        """SHA-256 of the file of a user's learner; None for a shipped one."""
        return None


def label(name: str) -> str:
    """Short name of a learner: its name, or the class in a user's file."""
    return name.rpartition(":")[2]
