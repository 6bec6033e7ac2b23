"""Updates that cannot poison a learner: where a number is not finite any more, the learner is what it was before."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from robometa.data import Trial
from robometa.learners.protocol import Learner
from robometa.nn.state import EXPERIENCE

NOTHING_SOUND = "every simulation of a task diverged"
SEEN = ("obs", "action", "reward", "next_obs")
"""Numbers of a rollout that a learner sees."""


def guarded_update(learner: Learner, trial: Trial) -> tuple[dict[str, float], str]:
    """What an update logs, and an empty text; or nothing to log, and why the update was skipped.

    Where something came out not finite the learner is put back to where it was, but for the experience that it keeps to
    learn from again: that happened, and is finite. A trial with a task whose simulations all diverged at every step
    teaches nothing either.
    """
    lost, seen = _unfit(trial)
    if lost:
        return {}, NOTHING_SOUND
    if seen:  # or it would stay in what is kept to learn from again
        return {}, _not_finite(seen)
    before = {name: tensor.clone() for name, tensor in learner.state().items() if not name.startswith(EXPERIENCE)}
    try:
        metrics = learner.update(trial)
        bad = [name for name, value in metrics.items() if not math.isfinite(value)]
    except torch.linalg.LinAlgError as error:  # type: ignore[attr-defined] # what a factorisation makes of numbers that are none
        metrics, bad = {}, [str(error).splitlines()[0]]
    after = learner.state()
    spoilt = _spoilt({name: tensor for name, tensor in after.items() if not name.startswith(EXPERIENCE)})
    bad += [name for name in spoilt if name not in before or not _spoilt({name: before[name]})]
    if not bad:
        return metrics, ""
    learner.load(before | {name: tensor for name, tensor in after.items() if name.startswith(EXPERIENCE)})
    return {}, _not_finite(bad)


def _unfit(trial: Trial) -> tuple[bool, list[str]]:
    """Whether a task's simulations all diverged at every step, and the names of what is not finite in the trial."""
    rollouts = trial.rollouts
    marks = [torch.stack([rollout.diverged.flatten(1).all(dim=1).any() for rollout in rollouts]).any()]
    for name in SEEN:
        marks.append(torch.stack([~getattr(rollout, name).isfinite().all() for rollout in rollouts]).any())
    lost, *spoilt = torch.stack(marks).tolist()  # the device is asked once
    return lost, [name for name, bad in zip(SEEN, spoilt, strict=True) if bad]


def _not_finite(names: list[str]) -> str:
    """The first few of these names, and what is wrong with them."""
    more = f" and {len(names) - 3} more" if len(names) > 3 else ""
    return f"{', '.join(names[:3])}{more} not finite"


def _spoilt(tensors: dict[str, Tensor]) -> list[str]:
    """The names of those with a number that is not finite; every device is asked once, about all that it holds."""
    floating = {name: tensor for name, tensor in tensors.items() if tensor.is_floating_point()}
    names: dict[torch.device, list[str]] = {}
    for name, tensor in floating.items():
        names.setdefault(tensor.device, []).append(name)
    bad = {
        name
        for held in names.values()
        for name, fine in zip(held, torch.stack([floating[key].isfinite().all() for key in held]).tolist(), strict=True)
        if not fine
    }
    return [name for name in floating if name in bad]
