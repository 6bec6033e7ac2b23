"""Updates that cannot poison a learner: where a number is not finite any more, the learner is what it was before."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from robometa.data import Trial
from robometa.learners.protocol import Learner
from robometa.learners.state import EXPERIENCE

NOTHING_SOUND = "every simulation of a task, which diverged"


def guarded_update(learner: Learner, trial: Trial) -> tuple[dict[str, float], list[str]]:
    """What an update logs, and the names of what came out of it not finite: then there is nothing to log.

    In that case the learner is put back to where it was, but for the experience that it keeps to learn from again: that
    happened, and is finite. A trial with a task whose simulations all diverged at every step teaches nothing either.
    """
    if any(bool(rollout.diverged.flatten(1).all(dim=1).any()) for rollout in trial.rollouts):
        return {}, [NOTHING_SOUND]
    before = {name: tensor.clone() for name, tensor in learner.state().items() if not name.startswith(EXPERIENCE)}
    try:
        metrics = learner.update(trial)
        bad = [name for name, value in metrics.items() if not math.isfinite(value)]
    except torch.linalg.LinAlgError as error:  # type: ignore[attr-defined] # what a factorisation makes of numbers that are none
        metrics, bad = {}, [str(error).splitlines()[0]]
    after = learner.state()
    bad += [
        name
        for name, tensor in after.items()
        if not name.startswith(EXPERIENCE) and not _finite(tensor) and (name not in before or _finite(before[name]))
    ]
    if not bad:
        return metrics, []
    learner.load(before | {name: tensor for name, tensor in after.items() if name.startswith(EXPERIENCE)})
    return {}, bad


def _finite(tensor: Tensor) -> bool:
    return not tensor.is_floating_point() or bool(torch.isfinite(tensor).all())
