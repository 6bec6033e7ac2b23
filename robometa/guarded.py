"""Updates that cannot poison a learner: where a number is not finite any more, the learner is what it was before."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from robometa.data import Trial
from robometa.learners.protocol import Learner
from robometa.learners.state import EXPERIENCE

NOTHING_SOUND = "every simulation of a task diverged"


def guarded_update(learner: Learner, trial: Trial) -> tuple[dict[str, float], str]:
    """What an update logs, and an empty text; or nothing to log, and why the update was skipped.

    Where something came out not finite the learner is put back to where it was, but for the experience that it keeps to
    learn from again: that happened, and is finite. A trial with a task whose simulations all diverged at every step
    teaches nothing either.
    """
    if any(bool(rollout.diverged.flatten(1).all(dim=1).any()) for rollout in trial.rollouts):
        return {}, NOTHING_SOUND
    seen = [
        name
        for name in ("obs", "action", "reward", "next_obs")
        if not all(_finite(getattr(rollout, name)) for rollout in trial.rollouts)
    ]
    if seen:  # or it would stay in what is kept to learn from again
        return {}, _not_finite(seen)
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
        return metrics, ""
    learner.load(before | {name: tensor for name, tensor in after.items() if name.startswith(EXPERIENCE)})
    return {}, _not_finite(bad)


def _not_finite(names: list[str]) -> str:
    """The first few of these names, and what is wrong with them."""
    more = f" and {len(names) - 3} more" if len(names) > 3 else ""
    return f"{', '.join(names[:3])}{more} not finite"


def _finite(tensor: Tensor) -> bool:
    return not tensor.is_floating_point() or bool(torch.isfinite(tensor).all())
