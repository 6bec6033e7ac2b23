"""Worlds of a task that upstream's own function rewards: its first reward version, and a yardstick in tests."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from robometa.sim.metaworld.group import Group
from robometa.sim.metaworld.upstream import Start, Template, reset

Array = NDArray[Any]


class Fallback(Group):
    """A group with an environment of upstream's around the simulation of each world."""

    def __init__(self, template: Template) -> None:
        """Holds no world yet."""
        super().__init__(template, contacts=False)  # its reward looks for itself

    def hold(self, starts: Sequence[Start], worlds: Array, lender: Group | None = None) -> None:
        """Takes worlds in; a model is never lent, as upstream's reset changes it."""
        super().hold(starts, worlds)
        self._shells = [self.template.shell(self.model, data) for data in self.datas]

    def begin(self, index: int) -> None:
        """Starts an episode in one of the worlds, by upstream's own reset: its reward looks at what that leaves."""
        self._set_model.set_to(self.starts[index])  # so that what the reset changes is what is set anyway
        reset(self._shells[index], self.starts[index].goal)
        super().begin(index)

    def judge(self, seen: Array, action: Array) -> tuple[Array, Array]:
        """Reward and success of a step. `[world, 39]` and `[world, 4]` to `[world]` and `[world]`."""
        judged = []
        for start, shell, *pair in zip(self.starts, self._shells, seen, action, strict=True):
            self._set_model.set_to(start)
            judged.append(shell.evaluate_state(*pair))
        return (
            np.array([reward for reward, _ in judged], dtype=np.float64),
            np.array([info["success"] > 0 for _, info in judged]),
        )
