"""Demonstrations: trials of a policy in which noise takes its place, in fewer steps from episode to episode.

A learning history is made of a policy and a noise schedule, without any learning (Zisman et al. 2024,
https://arxiv.org/abs/2312.12275). At each step the policy's own action is kept beside the action that was taken.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
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
    "full": lambda share: 1.0,
}
"""Share of noise by the share of a trial's episodes that are over, from the first (0) to the last (1)."""
UNIFORM, OTHER_TASKS = "uniform", "other-tasks"
NOISES = (UNIFORM, OTHER_TASKS)
"""Kinds of noise: actions drawn uniformly in -1..1, and an oracle's actions for other tasks."""
CHANGES = 4
"""Times that the other task changes in an episode, on average; before and after each the noise may begin or end."""


def shares_of_noise(schedule: str, episodes: int) -> tuple[float, ...]:
    """Returns the share of random actions in each episode of a trial."""
    return tuple(round(SCHEDULES[schedule](number / max(episodes - 1, 1)), 6) for number in range(episodes))


class Demonstrator:
    """Acts by a learner's mean action, or by noise, and keeps what the learner would have done."""

    def __init__(self, learner: Learner, others: Tensor | None = None) -> None:
        """Takes the learner, which is not changed.

        Args:
            learner: Acts.
            others: What an oracle observes of each task that its noise acts for, `[any, number]`; None for noise that
                is uniform.
        """
        self.learner, self.device, self._others = learner, learner.device, others
        self.share, self._draws, self.experts = 0.0, torch.empty(0), list[Tensor]()

    def __getattr__(self, name: str) -> Any:
        """Everything else is the learner's."""
        return getattr(self.learner, name)

    def prepare(self, share: float, horizon: int, action: int, noise: Noise) -> None:
        """Begins an episode with this share of noise."""
        self.share, self.experts = share, []
        if self._others is None:
            self._draws = noise.fork("random").uniform(horizon, action + 1).float()
            return
        draws = noise.fork("others").uniform(horizon, 3).float()
        begins = (draws[..., 0] < CHANGES / horizon) * torch.arange(horizon)  # a stretch's first step, or 0
        stretch = begins.cummax(dim=2).values.unsqueeze(-1).expand(-1, -1, -1, 2)
        self._draws = draws[..., 1:].gather(2, stretch)  # [task, world, time, 2]

    def act(self, adaptation: Adaptation, step: Step, noise: Tensor) -> tuple[Tensor, Adaptation]:
        """The mean action, or noise. `[task, world, action]`."""
        expert, after = self.learner.act(adaptation, step, torch.zeros_like(noise))
        draw = self._draws[:, :, len(self.experts)].to(expert.device)
        self.experts.append(expert.cpu())
        wrong = 2 * draw[..., 1:] - 1 if self._others is None else self._for_others(adaptation, step, draw[..., 1])
        return torch.where(draw[..., :1] < self.share, wrong, expert), after

    def _for_others(self, adaptation: Adaptation, step: Step, draw: Tensor) -> Tensor:
        """Mean actions of the oracle in these states for other tasks, drawn by numbers in 0..1. `[task, world]`."""
        assert self._others is not None
        others = self._others.to(step.obs.device)
        shown = others[(draw * len(others)).long().clamp(max=len(others) - 1)]
        obs = torch.cat((step.obs[..., : -others.shape[1]], shown), dim=-1)
        silent = torch.zeros(*step.last_action.shape, device=obs.device)
        return self.learner.act(adaptation, replace(step, obs=obs), silent)[0]


def demonstrate(
    engine: Engine,
    learner: Learner,
    tasks: Sequence[Task],
    shares: Sequence[float],
    noise: Noise,
    observation: int,
    others: Tensor | None = None,
) -> dict[str, Tensor]:
    """Collects the trials of some tasks, one for each world.

    Args:
        engine: Steps the worlds.
        learner: Acts.
        tasks: A task for each of the engine's.
        shares: Share of noise in each episode.
        noise: Source of all random numbers; its first task is the first of these.
        observation: Numbers of an observation to keep, without what only an oracle sees.
        others: As `Demonstrator`'s.

    Returns:
        Tensors of a shard. `[trial, episode, time, ...]`
    """
    engine.assign(tasks)
    demonstrator, rollouts, experts = Demonstrator(learner, others), list[Rollout](), list[Tensor]()
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
