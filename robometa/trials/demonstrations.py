"""Demonstrations: trials of a policy whose random actions become fewer from episode to episode.

A learning history is made of a policy and a noise schedule, without any learning (Zisman et al. 2024,
https://arxiv.org/abs/2312.12275). At each step the policy's own action is kept beside the action that was taken.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, cast

import torch
from torch import Tensor

from robometa.data import Rollout, Step
from robometa.learners.protocol import Adaptation, Learner
from robometa.noise import Noise
from robometa.sim.engine import Engine
from robometa.suites.task import Task
from robometa.trials.dataset import FIELDS
from robometa.trials.trial import collect, torch_on, trial_loop

SCHEDULES: dict[str, Callable[[float], float]] = {
    "linear": lambda share: 1.0 - share,
    "cosine": lambda share: 0.5 + 0.5 * math.cos(math.pi * share),
    "none": lambda share: 0.0,
}
"""Share of random actions by the share of a trial's episodes that are over, from the first (0) to the last (1)."""


def shares_of_noise(schedule: str, episodes: int) -> tuple[float, ...]:
    """Returns the share of random actions in each episode of a trial."""
    return tuple(round(SCHEDULES[schedule](number / max(episodes - 1, 1)), 6) for number in range(episodes))


class Demonstrator:
    """Acts by a learner's mean action, or at random, and keeps what the learner would have done."""

    def __init__(self, learner: Learner) -> None:
        """Takes the learner, which is not changed."""
        self.learner, self.device = learner, learner.device
        self.share, self._draws, self.experts = 0.0, torch.empty(0), list[Tensor]()

    def __getattr__(self, name: str) -> Any:
        """Everything else is the learner's."""
        return getattr(self.learner, name)

    def prepare(self, share: float, horizon: int, action: int, noise: Noise) -> None:
        """Begins an episode with this share of random actions."""
        self.share, self.experts = share, []
        self._draws = noise.fork("random").uniform(horizon, action + 1).float()

    def act(self, adaptation: Adaptation, step: Step, noise: Tensor) -> tuple[Tensor, Adaptation]:
        """The mean action, or one that is uniform in -1..1. `[task, world, action]`."""
        expert, adaptation = self.learner.act(adaptation, step, torch.zeros_like(noise))
        draw = self._draws[:, :, len(self.experts)].to(expert.device)
        self.experts.append(expert.cpu())
        at_random = draw[..., :1] < self.share
        return torch.where(at_random, 2 * draw[..., 1:] - 1, expert), adaptation


def demonstrate(
    engine: Engine, learner: Learner, tasks: Sequence[Task], shares: Sequence[float], noise: Noise, observation: int
) -> dict[str, Tensor]:
    """Collects the trials of some tasks, one for each world.

    Args:
        engine: Steps the worlds.
        learner: Acts.
        tasks: A task for each of the engine's.
        shares: Share of random actions in each episode.
        noise: Source of all random numbers; its first task is the first of these.
        observation: Numbers of an observation to keep, without what only an oracle sees.

    Returns:
        Tensors of a shard. `[trial, episode, time, ...]`
    """
    engine.assign(tasks)
    demonstrator, rollouts, experts = Demonstrator(learner), list[Rollout](), list[Tensor]()
    actor = cast(Learner, demonstrator)  # all else than its acting is the learner's
    with torch_on(1):
        for shot in trial_loop(actor, noise, len(shares) - 1):
            demonstrator.prepare(shares[shot.number], engine.horizon, engine.spaces.action, shot.noise)
            rollout, adaptation = collect(
                engine,
                actor,
                shot.adaptation,
                shot.noise,
                explore=False,
                previous=shot.previous,
                place=shot.place,
            )
            shot.complete(rollout, adaptation)
            rollouts.append(rollout)
            experts.append(torch.stack(demonstrator.experts, dim=2))

    def of_trials(episodes: list[Tensor]) -> Tensor:
        return torch.stack([one.cpu().flatten(0, 1) for one in episodes], dim=1).contiguous()

    shard = {name: of_trials([getattr(rollout, name) for rollout in rollouts]) for name in FIELDS}
    shard["expert"] = of_trials(experts).nan_to_num().clamp(-1.0, 1.0)
    for name in ("obs", "next_obs"):
        shard[name] = shard[name][..., :observation].contiguous()
    trials = len(shard["reward"])
    shard["task"] = (noise.first + torch.arange(noise.tasks)).repeat_interleave(noise.worlds)
    shard["episode"] = torch.arange(len(shares)).expand(trials, -1).contiguous()
    return shard
