"""My learner: a linear policy for each task, which takes a policy gradient step from a start that is learned.

Replace what its methods do, and keep what they take and return. `robometa learners FILE.py:MyLearner --check` runs it
and names what breaks the protocol.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, ClassVar

import torch
from torch import Tensor

from robometa.data import Rollout, Spaces, Step, Trial
from robometa.errors import Options, Search
from robometa.noise import Noise


@dataclass(frozen=True)
class Config(Options):
    """Options of the learner; each is an option of `robometa train` too, with its range and its docstring as help."""

    iterations: Annotated[int, "[1, inf)"] = 20
    """Training iterations."""
    tasks: Annotated[int, "[1, inf)"] = 20
    """Tasks of an iteration."""
    worlds: Annotated[int, "[1, inf)"] = 20
    """Worlds of each task, side by side."""
    shots: Annotated[int, "[0, inf)"] = 1
    """Adaptations within a trial."""
    std: Annotated[float, "(0, inf)", Search(0.1, 1.0, log=True)] = 0.5
    """Standard deviation of the exploration."""
    discount: Annotated[float, "[0, 1]", Search(0.5, 1.0)] = 0.9
    """Discount of rewards per step."""
    step_size: Annotated[float, "(0, inf)", Search(0.01, 1.0, log=True)] = 0.1
    """Length of an adaptation's step."""
    start_rate: Annotated[float, "(0, 1]", Search(0.05, 1.0)] = 0.3
    """Share of the way from the start to the adapted policies that an update goes."""


class MyLearner:
    """Adapts a linear policy to each task by a policy gradient step, and learns where to start from."""

    configuration: ClassVar[type] = Config
    pools_worlds: ClassVar[bool] = True
    """True: an adaptation learns from all worlds of its task. False: each world is a separate trial."""

    def __init__(self, config: Config, spaces: Spaces, seed: int, device: torch.device | str = "cpu") -> None:
        """Makes an untrained learner, on a device; `seed` is for random weights, of which this learner has none."""
        self.config, self.device = config, torch.device(device)
        self.start = torch.zeros(spaces.observation + 1, spaces.action, device=self.device)

    def begin(self, tasks: int, worlds: int, noise: Noise) -> Tensor:
        """The adaptation before any data: here the weights of each task's policy. `[task, feature, action]`."""
        return self.start.expand(tasks, -1, -1)

    def act(self, adaptation: Tensor, step: Step, noise: Tensor) -> tuple[Tensor, Tensor]:
        """An action in -1..1 for each world, and the adaptation to carry on with, which a memory changes.

        Args:
            adaptation: As `begin` or `adapt` returned it; it is not to be changed.
            step: Observation, and the action, reward and end of the step before. `[task, world, ...]`
            noise: Standard normal numbers; zeros ask for the mean action. `[task, world, action]`
        """
        return features(step.obs) @ adaptation + self.config.std * noise, adaptation

    def adapt(self, adaptation: Tensor, rollout: Rollout, noise: Noise) -> Tensor:
        """The adaptation after a rollout. The rollout's tensors are `[task, world, time, ...]`."""
        seen = features(rollout.obs).flatten(1, 2)  # [task, world * time, feature]
        tried = rollout.action.flatten(1, 2) - seen @ adaptation
        credit = self._advantage(rollout).flatten(1, 2).unsqueeze(-1)
        gradient = (seen * credit).mT @ tried / self.config.std**2
        return adaptation + self.config.step_size * gradient / seen.shape[1]

    def update(self, trial: Trial) -> dict[str, float]:
        """Learns from a whole trial, its rollouts before and after each adaptation; returns numbers to log."""
        adapted = self.begin(len(trial.tasks), self.config.worlds, trial.noise)
        for rollout in trial.rollouts[:-1]:
            adapted = self.adapt(adapted, rollout, trial.noise)
        self.start = self.start + self.config.start_rate * (adapted.mean(dim=0) - self.start)
        return {"start_norm": float(self.start.norm())}

    def state_dict(self) -> dict[str, Tensor]:
        """Tensors by name; those that only training needs, such as an optimizer's, begin with `training/`."""
        return {"start": self.start}

    def load_state_dict(self, state: dict[str, Tensor]) -> None:
        """Takes back what `state_dict` returned, with or without the part that only training needs."""
        self.start = state["start"].clone()

    def _advantage(self, rollout: Rollout) -> Tensor:
        """Discounted rewards to the episode's end, minus their mean over the worlds. `[task, world, time]`."""
        to_go, running = torch.zeros_like(rollout.reward), torch.zeros_like(rollout.reward[:, :, 0])
        for time in reversed(range(rollout.reward.shape[2])):
            running = rollout.reward[:, :, time] + self.config.discount * running * ~rollout.done[:, :, time]
            to_go[:, :, time] = running
        return to_go - to_go.mean(dim=1, keepdim=True)


def features(obs: Tensor) -> Tensor:
    """The observation and a one. `[..., obs + 1]`."""
    return torch.cat((obs, torch.ones_like(obs[..., :1])), dim=-1)
