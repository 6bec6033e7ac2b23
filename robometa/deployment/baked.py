"""A learner whose trials begin with an adaptation that is baked in."""

from __future__ import annotations

from contextlib import closing
from typing import Any

import torch
from torch import Tensor
from torch.utils._pytree import tree_map

from robometa.compute.hardware import Hardware
from robometa.data import Rollout, Step
from robometa.errors import UserError
from robometa.learners.protocol import Adaptation, Learner
from robometa.noise import Noise
from robometa.suites.suite import Suite
from robometa.suites.task import Task
from robometa.trials.make import engine_for
from robometa.trials.trial import collect, trial_loop


class Baked:
    """Delegates to a learner, except that a trial begins with a given adaptation, and `adapt` changes nothing."""

    def __init__(self, learner: Learner, adaptation: Adaptation) -> None:
        """Takes the adaptation of one task and one world."""
        self._learner, self._adaptation = learner, adaptation

    def __getattr__(self, name: str) -> Any:
        """Attributes of the learner."""
        return getattr(self._learner, name)

    def begin(self, tasks: int, worlds: int, noise: Noise) -> Adaptation:
        """The baked adaptation, for every task and world."""

        def repeated(part: Tensor) -> Tensor:
            sizes = (tasks, -1) if part.dim() == 2 else (tasks, worlds, -1)
            return part.expand(sizes)

        return tree_map(repeated, self._adaptation)

    def act(self, adaptation: Adaptation, step: Step, noise: Tensor) -> tuple[Tensor, Adaptation]:
        """Acts as the learner does."""
        return self._learner.act(adaptation, step, noise)

    def adapt(self, adaptation: Adaptation, rollout: Rollout, noise: Noise) -> Adaptation:
        """Returns the adaptation unchanged."""
        return adaptation


def baked(learner: Learner, suite: Suite, task: Task, shots: int) -> Baked:
    """Adapts a learner to a task in simulation, by so many shots.

    Args:
        learner: Adapts; it is not changed.
        suite: Suite of the task.
        task: Task to adapt to.
        shots: Adaptations, at least 1.

    Raises:
        UserError: If the learner has no adaptation.
    """
    worlds = learner.config.worlds if learner.pools_worlds else 1
    noise = Noise(0, ("export", "baked"), 1, worlds)
    adaptation: Adaptation = None
    with closing(engine_for(learner, suite, 1, worlds, Hardware(threads=1))) as engine:
        engine.assign([task])
        for shot in trial_loop(learner, noise, shots):
            adaptation = shot.adaptation
            if shot.number < shots:
                shot.complete(
                    *collect(engine, learner, adaptation, shot.noise, previous=shot.previous, place=shot.place)
                )
    if adaptation is None:
        raise UserError("there is no adaptation to bake in: leave out --after-shots")
    return Baked(learner, tree_map(lambda part: part.detach() if isinstance(part, torch.Tensor) else part, adaptation))
