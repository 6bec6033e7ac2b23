"""Guarded updates: one that yields a number that is not finite is undone."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from robometa.data import Trial
from robometa.learners.protocol import Learner
from robometa.nn.state import EXPERIENCE

ALL_DIVERGED = "every simulation of a task diverged"
"""Reason to skip an update."""
SEEN_BY_LEARNER = ("obs", "action", "reward", "next_obs")
"""Fields of a rollout that must be finite."""


def guarded_update(learner: Learner, trial: Trial) -> tuple[dict[str, float], str]:
    """Updates a learner, unless the trial or the result is not finite.

    An undone update leaves the learner's replay, because its experience is finite. A
    trial with a task that diverged in every simulation at every step is skipped too.

    Returns:
        The update's metrics and an empty text; or no metrics, and the reason why the update was skipped.
    """
    all_diverged, not_finite = _unfit(trial)
    if all_diverged:
        return {}, ALL_DIVERGED
    if not_finite:  # or it would stay in the replay
        return {}, _not_finite(not_finite)
    before = {name: tensor.clone() for name, tensor in learner.state_dict().items() if not name.startswith(EXPERIENCE)}
    try:
        metrics = learner.update(trial)
        bad = [name for name, value in metrics.items() if not math.isfinite(value)]
    except torch.linalg.LinAlgError as error:  # type: ignore[attr-defined] # what a factorisation makes of numbers that are none
        metrics, bad = {}, [str(error).splitlines()[0]]
    after = learner.state_dict()
    spoilt = _spoilt({name: tensor for name, tensor in after.items() if not name.startswith(EXPERIENCE)})
    bad += [name for name in spoilt if name not in before or not _spoilt({name: before[name]})]
    if not bad:
        return metrics, ""
    learner.load_state_dict(before | {name: tensor for name, tensor in after.items() if name.startswith(EXPERIENCE)})
    return {}, _not_finite(bad)


def _unfit(trial: Trial) -> tuple[bool, list[str]]:
    """Checks if a task diverged at every step in all worlds, and lists the trial's tensors that are not finite."""
    rollouts = trial.rollouts
    marks = [torch.stack([rollout.diverged.flatten(1).all(dim=1).any() for rollout in rollouts]).any()]
    for name in SEEN_BY_LEARNER:
        marks.append(torch.stack([~getattr(rollout, name).isfinite().all() for rollout in rollouts]).any())
    all_diverged, *spoilt = torch.stack(marks).tolist()  # one synchronisation with the device
    return all_diverged, [name for name, bad in zip(SEEN_BY_LEARNER, spoilt, strict=True) if bad]


def _not_finite(names: list[str]) -> str:
    """Describes the tensors that are not finite, by the first three names."""
    more = f" and {len(names) - 3} more" if len(names) > 3 else ""
    return f"{', '.join(names[:3])}{more} not finite"


def _spoilt(tensors: dict[str, Tensor]) -> list[str]:
    """Names of tensors with a number that is not finite; synchronises once with each device."""
    floating = {name: tensor for name, tensor in tensors.items() if tensor.is_floating_point()}
    names: dict[torch.device, list[str]] = {}
    for name, tensor in floating.items():
        names.setdefault(tensor.device, []).append(name)
    bad = {
        name
        for on_device in names.values()
        for name, fine in zip(
            on_device, torch.stack([floating[key].isfinite().all() for key in on_device]).tolist(), strict=True
        )
        if not fine
    }
    return [name for name in floating if name in bad]
