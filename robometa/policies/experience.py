"""Experience of a policy in a user's own loop, and its form as a rollout."""

from __future__ import annotations

from collections import deque
from dataclasses import is_dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.utils._pytree import tree_leaves

from robometa.data import Rollout

MAX_STEPS = 100_000
"""Latest steps that are kept for the next adaptation, so that a robot that never adapts does not fill the memory."""


class Transition(NamedTuple):
    """A step of every world."""

    obs: Tensor
    """Observation before the action. `[world, obs]`"""
    action: Tensor
    """Action as the learner emitted it. `[world, action]`"""
    reward: Tensor
    """NaN where none was measured. `[world]`"""
    next_obs: Tensor
    """Observation after the action, before any reset. `[world, obs]`"""
    done: Tensor
    """The action ended an episode. `[world]`, bool"""
    sampled: bool
    """The action was sampled; False for a mean action."""


class Experience:
    """Steps since the last adaptation. An episode that ends before the suite's horizon counts as terminated."""

    def __init__(self, worlds: int, horizon: int) -> None:
        """Starts without any step, at the beginning of an episode."""
        self._horizon = horizon
        self._kept: deque[tuple[Transition, Tensor]] = deque(maxlen=MAX_STEPS)
        self._steps = torch.zeros(worlds, dtype=torch.int64)

    def __len__(self) -> int:
        """Number of steps."""
        return len(self._kept)

    @property
    def sampled(self) -> bool:
        """True if any of the actions was sampled."""
        return any(transition.sampled for transition, _ in self._kept)

    @property
    def lacks_rewards(self) -> bool:
        """True if any reward is missing."""
        return any(bool(transition.reward.isnan().any()) for transition, _ in self._kept)

    def add(self, transition: Transition) -> None:
        """Appends a step."""
        self._steps = self._steps + 1
        self._kept.append((transition, transition.done & (self._steps >= self._horizon)))
        self._steps = self._steps.masked_fill(transition.done, 0)

    def clear(self) -> None:
        """Forgets the steps; an episode continues."""
        self._kept.clear()

    def rollout(self, side_by_side: bool) -> Rollout:
        """The steps as a rollout of one task; its end cuts the episodes that have not ended. `[1, world, time, ...]`.

        Args:
            side_by_side: Return each episode of a world as a world if all episodes are equally long, as a
                learner that pools worlds knows them from its training.
        """
        columns = zip(*(transition[:5] for transition, _ in self._kept), strict=True)
        obs, action, reward, next_obs, done = (torch.stack(column, dim=1).unsqueeze(0) for column in columns)
        truncated = torch.stack([late for _, late in self._kept], dim=1).unsqueeze(0)
        terminated = done & ~truncated
        truncated[..., -1] = ~terminated[..., -1]
        none = torch.zeros_like(done)
        rollout = Rollout(obs, action, reward, next_obs, terminated, truncated, success=none, diverged=none)
        length = _episode_length(rollout.done) if side_by_side else None
        if length is None:
            return rollout
        return Rollout(
            **{name: values.unflatten(2, (-1, length)).flatten(1, 2) for name, values in vars(rollout).items()}
        )


def _episode_length(done: Tensor) -> int | None:
    """Length of the episodes of all worlds; None if they differ. `[1, world, time]`."""
    time = done.shape[2]
    length = int(done[0, 0].int().argmax()) + 1
    places = torch.arange(1, time + 1, device=done.device) % length == 0
    return length if time % length == 0 and bool((done == places).all()) else None


def has_nan(value: Any) -> bool:
    """True if any number is NaN in tensors, containers and dataclasses of them."""
    if isinstance(value, Tensor):
        return value.is_floating_point() and bool(value.isnan().any())
    if is_dataclass(value) and not isinstance(value, type):
        return any(has_nan(part) for part in vars(value).values())
    leaves = tree_leaves(value)
    return any(has_nan(leaf) for leaf in leaves if leaf is not value)
