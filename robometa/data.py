"""What learner and simulator hand each other. One order of axes everywhere: `[task, world, time, ...]`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from robometa.noise import Noise


@dataclass(frozen=True)
class Spaces:
    """How many numbers a learner sees and emits at a step."""

    observation: int
    action: int
    told: tuple[str, ...] = ()
    """What the last numbers of an oracle's observation are, of those that tasks hide."""

    @classmethod
    def read(cls, table: dict[str, Any]) -> Spaces:
        """From a manifest.

        Raises:
            AttributeError, TypeError: If it is not such a table.
        """
        return cls(**{**table, "told": tuple(table.get("told", ()))})

    def described(self) -> str:
        """In words."""
        told = self.told[:3] + (f"{len(self.told) - 3} more",) * (len(self.told) > 3)
        return f"{self.observation} observations and {self.action} actions" + (
            f", of the observations what a task hides: {', '.join(told)}" if told else ""
        )


@dataclass(frozen=True)
class Step:
    """What a learner sees before it acts."""

    obs: Tensor
    """Observation. `[task, world, obs]`, float32"""
    last_action: Tensor
    """The action before, zeros at the start of a trial. `[task, world, action]`"""
    last_reward: Tensor
    """What that action was paid. `[task, world]`"""
    last_done: Tensor
    """Whether that action ended an episode. `[task, world]`, bool"""

    def to(self, device: torch.device) -> Step:
        """The same on a device; itself if it is there already."""
        if self.obs.device == device:
            return self
        return Step(**{name: tensor.to(device) for name, tensor in vars(self).items()})


@dataclass(frozen=True)
class Rollout:
    """A batch of experience: what happened, not what the policy thought."""

    obs: Tensor
    """Observation before each action. `[task, world, time, obs]`, float32"""
    action: Tensor
    """The action as the learner emitted it; the engine clips it to -1..1. Zero where the simulation blew up.
    `[task, world, time, action]`"""
    reward: Tensor
    """What the action was paid. `[task, world, time]`, float32"""
    next_obs: Tensor
    """Observation that the action led to, before any reset. `[task, world, time, obs]`"""
    terminated: Tensor
    """The episode ended by the task's own rule (or by divergence): nothing follows. `[task, world, time]`, bool"""
    truncated: Tensor
    """The episode was cut by the time limit or the end of the rollout: a value follows. `[task, world, time]`, bool"""
    success: Tensor
    """The task's success condition held after the action. `[task, world, time]`, bool"""
    diverged: Tensor
    """The simulation blew up: the step is unpaid, ends the episode and is not learned from.
    `[task, world, time]`, bool"""

    def to(self, device: torch.device) -> Rollout:
        """The same on a device; itself if it is there already."""
        if self.obs.device == device:
            return self
        return Rollout(**{name: tensor.to(device) for name, tensor in vars(self).items()})

    @property
    def done(self) -> Tensor:
        """Whether the step ended an episode, for whatever reason. `[task, world, time]`, bool."""
        return self.terminated | self.truncated

    def seen(self) -> Step:
        """What the learner saw before each action of a trial's only rollout, and after the last.

        Each entry of the step has an axis for the time: `[task, world, time + 1, ...]`. At the start there was nothing
        before; after the last action is what it led to, as if the episode went on.
        """

        def shifted(values: Tensor) -> Tensor:
            return torch.cat((torch.zeros_like(values[:, :, :1]), values), dim=2)

        obs = torch.cat((self.obs, self.next_obs[:, :, -1:]), dim=2)
        done = shifted(self.done)
        done[:, :, -1] = False
        return Step(obs, shifted(self.action), shifted(self.reward), done)

    def blown_up(self) -> Tensor | None:
        """Where the simulation blew up, None if nowhere, which is nearly always. `[task, world, time]`, bool."""
        return self.diverged if bool(self.diverged.any()) else None

    def first_episode(self) -> Tensor:
        """Which steps belong to each world's first episode. `[task, world, time]`, bool."""
        ended_before = torch.cumsum(self.done.int(), dim=-1) - self.done.int()
        return ended_before == 0

    def episode_return(self) -> Tensor:
        """Undiscounted return of each world's first episode: a fixed quota of one each. `[task, world]`."""
        return (self.reward * self.first_episode()).sum(dim=-1)

    def episode_success(self) -> Tensor:
        """Whether the success condition held at any step of the first episode. `[task, world]`, bool."""
        return (self.success & self.first_episode()).any(dim=-1)

    def steps(self) -> int:
        """How many environment steps the rollout holds."""
        return self.reward.numel()


@dataclass(frozen=True)
class Trial:
    """Rollouts of the same tasks with an adaptation between each."""

    tasks: Tensor
    """Index in the suite's training tasks of each task of the batch; one may stand there twice. `[task]`, int64"""
    rollouts: tuple[Rollout, ...]
    """The rollout before any adaptation, and one after each."""
    noise: Noise
    """A source of random numbers for the update."""

    def joined(self) -> Rollout:
        """All rollouts one after the other in time."""
        names = vars(self.rollouts[0])
        return Rollout(**{name: torch.cat([vars(part)[name] for part in self.rollouts], dim=2) for name in names})

    def steps(self) -> int:
        """How many environment steps the trial holds."""
        return sum(rollout.steps() for rollout in self.rollouts)
