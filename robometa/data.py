"""Data that learner and simulator exchange. Axes are always ordered `[task, world, time, ...]`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import torch
from torch import Tensor

from robometa.noise import Noise


@dataclass(frozen=True)
class Meaning:
    """Meaning of an observation's numbers, as far as a model of the dynamics can use it; empty where it is unknown."""

    free: tuple[int, ...] = ()
    """Places of the observation on which neither dynamics nor reward depend, such as a runner's x."""
    pitch: int | None = None
    """Place of the body's pitch, rad, which may grow beyond a turn."""
    reward: Callable[[Tensor, Tensor, Tensor], Tensor] | None = None
    """Reward of (obs, action, next obs) where the objective hides nothing: the objective's own function. `[n, obs]`,
    `[n, action]`, `[n, obs] -> [n]`"""


def shortened(names: tuple[str, ...]) -> str:
    """The first names of many, and the count of the others."""
    return ", ".join(names[:3] + (f"{len(names) - 3} more",) * (len(names) > 3)) or "nothing"


@dataclass(frozen=True)
class Spaces:
    """Sizes of the observation and the action at a step."""

    observation: int
    action: int
    revealed: tuple[str, ...] = ()
    """Names of the hidden task parameters at the end of an oracle's observation."""
    privileged: tuple[str, ...] = ()
    """Names of the hidden task parameters that follow the observation in training only; they are not among its
    numbers."""
    meaning: Meaning = field(default_factory=Meaning, compare=False, repr=False)
    """Meaning of the observation's numbers; no part of a policy's manifest."""

    def described(self) -> str:
        """Describes the sizes in words."""

        def listed(words: str, names: tuple[str, ...]) -> str:
            return f", {words}: {shortened(names)}" if names else ""

        return (
            f"{self.observation} observations and {self.action} actions"
            + listed("of the observations what a task hides", self.revealed)
            + listed("in training also what a task hides", self.privileged)
        )


@dataclass(frozen=True)
class Step:
    """Input of a learner before it acts."""

    obs: Tensor
    """Observation. `[task, world, obs]`, float32"""
    last_action: Tensor
    """Previous action; zeros at the start of a trial. `[task, world, action]`"""
    last_reward: Tensor
    """Reward of the previous action. `[task, world]`"""
    last_done: Tensor
    """True if the previous action ended an episode. `[task, world]`, bool"""

    def to(self, device: torch.device) -> Step:
        """Copies the step to a device; returns itself if it is already there."""
        if self.obs.device == device:
            return self
        return Step(**{name: tensor.to(device) for name, tensor in vars(self).items()})


@dataclass(frozen=True)
class Rollout:
    """A batch of experience, without anything that the policy computed."""

    obs: Tensor
    """Observation before each action. `[task, world, time, obs]`, float32"""
    action: Tensor
    """Action as the learner emitted it; the engine clips it to -1..1. Zero where it was no action: not finite, or too
    large for a simulation. `[task, world, time, action]`"""
    reward: Tensor
    """Reward of the action; where the simulation diverged, a charge that no honest episode falls below.
    `[task, world, time]`, float32"""
    next_obs: Tensor
    """Observation after the action, before any reset. `[task, world, time, obs]`"""
    terminated: Tensor
    """The task's own rule, or divergence, ended the episode: no value follows. `[task, world, time]`, bool"""
    truncated: Tensor
    """The time limit or the rollout's end cut the episode: a value follows. `[task, world, time]`, bool"""
    success: Tensor
    """True where the task's success condition was met after the action. `[task, world, time]`, bool"""
    diverged: Tensor
    """The simulation diverged: the step ends the episode, which is no success. `[task, world, time]`, bool"""

    def to(self, device: torch.device) -> Rollout:
        """Copies the rollout to a device; returns itself if it is already there."""
        if self.obs.device == device:
            return self
        return Rollout(**{name: tensor.to(device) for name, tensor in vars(self).items()})

    @property
    def done(self) -> Tensor:
        """Marks the steps that ended an episode, for any reason. `[task, world, time]`, bool."""
        return self.terminated | self.truncated

    def seen(self) -> Step:
        """Inputs of the learner before each action of a trial's only rollout, and after the last action.

        Entries have an axis for time: `[task, world, time + 1, ...]`. The first has zeros for the previous action and
        reward. The last holds the outcome of the last action, as if the episode went on.
        """

        def shifted(values: Tensor) -> Tensor:
            return torch.cat((torch.zeros_like(values[:, :, :1]), values), dim=2)

        obs = torch.cat((self.obs, self.next_obs[:, :, -1:]), dim=2)
        done = shifted(self.done)
        done[:, :, -1] = False
        return Step(obs, shifted(self.action), shifted(self.observed_reward()), done)

    def observed_reward(self) -> Tensor:
        """Reward that a policy sees in acting: the engine's, 0 where the simulation diverged. `[task, world, time]`."""
        return self.reward.masked_fill(self.diverged, 0.0)

    def actionless(self) -> Tensor:
        """Marks the steps that diverged by an unfit action; nothing learns from them. `[task, world, time]`, bool."""
        return self.diverged & (self.action == 0).all(dim=-1)

    def left_out(self) -> Tensor | None:
        """Marks the steps to leave out of gradients, which are the `actionless`; None if there are none, as usual."""
        marked = self.actionless()
        return marked if bool(marked.any()) else None

    def first_episode(self) -> Tensor:
        """Marks the steps of each world's first episode. `[task, world, time]`, bool."""
        ended_before = torch.cumsum(self.done.int(), dim=-1) - self.done.int()
        return ended_before == 0

    def episode_return(self) -> Tensor:
        """Undiscounted return of each world's first episode, the charge of divergence included. `[task, world]`."""
        return (self.reward * self.first_episode()).sum(dim=-1)

    def episode_success(self) -> Tensor:
        """Marks the first episodes that met the success condition at any step. `[task, world]`, bool.

        An episode that diverged is no success.
        """
        return (self.success & self.first_episode()).any(dim=-1) & ~self.episode_diverged()

    def episode_diverged(self) -> Tensor:
        """Marks the first episodes that ended by divergence. `[task, world]`, bool."""
        return (self.diverged & self.first_episode()).any(dim=-1)

    def steps(self) -> int:
        """Number of environment steps in the rollout."""
        return self.reward.numel()


@dataclass(frozen=True)
class Trial:
    """Rollouts of the same tasks with an adaptation between each."""

    tasks: Tensor
    """Index of each task among the suite's training tasks; one may occur twice. `[task]`, int64"""
    rollouts: tuple[Rollout, ...]
    """The rollout before any adaptation, and one after each."""
    noise: Noise
    """Source of random numbers for the update."""
    experts: tuple[Tensor, ...] | None = None
    """Action of the policy that a dataset's trial was collected with, beside the action that was taken, in each
    rollout; None for a trial of the learner itself. `[task, world, time, action]`"""

    def joined(self) -> Rollout:
        """Concatenates all rollouts along time."""
        names = vars(self.rollouts[0])
        return Rollout(**{name: torch.cat([vars(part)[name] for part in self.rollouts], dim=2) for name in names})

    def steps(self) -> int:
        """Number of environment steps in the trial."""
        return sum(rollout.steps() for rollout in self.rollouts)
