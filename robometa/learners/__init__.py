"""Learners: one file each, behind one protocol. Naming them loads none of them."""

from __future__ import annotations

import importlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from robometa.errors import UserError, unknown

if TYPE_CHECKING:
    from robometa.learners.protocol import Learner


@dataclass(frozen=True)
class Entry:
    """Where a learner is, and what it is in a sentence."""

    module: str
    name: str
    about: str
    paper: str

    def load(self) -> type[Learner]:
        """The learner's class."""
        learner: type[Learner] = getattr(importlib.import_module(self.module), self.name)
        return learner

    def presets(self) -> dict[str, Any]:
        """The learner's configurations by name; the first is the default."""
        module = importlib.import_module(self.module)
        presets: dict[str, Any] = getattr(module, "PRESETS", None) or {"default": module.Config()}
        return presets


LEARNERS = {
    "maml-trpo": Entry(
        "robometa.learners.maml_trpo",
        "MamlTrpo",
        "Learns a start from which one policy-gradient step adapts; trust-region outer steps through the inner one.",
        "Finn et al. 2017, https://arxiv.org/abs/1703.03400",
    ),
    "pearl": Entry(
        "robometa.learners.pearl",
        "Pearl",
        "Infers a latent task variable from context and acts on a sample of it; off-policy, with SAC.",
        "Rakelly et al. 2019, https://arxiv.org/abs/1903.08254",
    ),
    "random": Entry(
        "robometa.learners.random",
        "Random",
        "Acts uniformly at random and learns nothing: the floor that every other learner stands on.",
        "none",
    ),
}
"""Every learner by its name on the command line."""


def find(name: str) -> Entry:
    """The learner of this name.

    Raises: UserError: If there is none, naming the nearest.
    """
    if name not in LEARNERS:
        raise UserError(unknown("learner", name, LEARNERS))
    return LEARNERS[name]
