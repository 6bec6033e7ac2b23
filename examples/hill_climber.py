"""Hill climbing: a linear policy per task that takes a REINFORCE step, from a start that learns to be a good one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, ClassVar

import torch
from torch import Tensor

from robometa.data import Rollout, Spaces, Step, Trial
from robometa.errors import Options
from robometa.noise import Noise


@dataclass(frozen=True)
class Config(Options):
    """Options of hill climbing."""

    iterations: Annotated[int, "[1, inf)"] = 20
    """Training iterations."""
    tasks: Annotated[int, "[1, inf)"] = 20
    """Tasks of an iteration."""
    worlds: Annotated[int, "[1, inf)"] = 20
    """Worlds of each task, which climb together."""
    shots: Annotated[int, "[1, inf)"] = 1
    """Adaptations within a trial."""
    std: Annotated[float, "(0, inf)"] = 0.5
    """Standard deviation of the exploration."""
    discount: Annotated[float, "[0, 1]"] = 0.9
    """Of rewards, per step."""
    start_rate: Annotated[float, "(0, 1]"] = 0.3
    """How far the start moves towards where the tasks climbed to."""
    growth: Annotated[float, "(1, inf)"] = 1.3
    """Factor on the size of a step as long as climbing pays more than the time before; its inverse if not."""


class HillClimber:
    """Climbs each task's return by policy gradients; learns where to start from and how far to step."""

    configuration: ClassVar[type] = Config
    pools_worlds: ClassVar[bool] = True

    def __init__(self, config: Config, spaces: Spaces, seed: int, device: torch.device | str = "cpu") -> None:
        """A policy that stands still, and a small step."""
        self.config, self.device = config, torch.device(device)
        self.start = torch.zeros(spaces.observation + 1, spaces.action, device=self.device)  # a row per feature
        self.step_size = torch.tensor(0.1, device=self.device)
        self.direction = torch.tensor(1.0, device=self.device)  # whether the step size grows or shrinks
        self.gain = torch.tensor(-torch.inf, device=self.device)  # what climbing paid the time before

    def begin(self, tasks: int, worlds: int, noise: Noise) -> Tensor:
        """The start, for every task. `[task, feature, action]`."""
        return self.start.expand(tasks, -1, -1)

    def act(self, adaptation: Tensor, step: Step, noise: Tensor) -> tuple[Tensor, Tensor]:
        """What the task's policy does, and around it with noise. `[task, world, action]`."""
        return features(step.obs) @ adaptation + self.config.std * noise, adaptation

    def adapt(self, adaptation: Tensor, rollout: Rollout, noise: Noise) -> Tensor:
        """One step up the gradient of each task's return, of a length that is learned."""
        seen = features(rollout.obs).flatten(1, 2)  # [task, world * time, feature]
        tried = rollout.action.flatten(1, 2) - seen @ adaptation
        gradient = (seen * self._advantage(rollout).flatten(1, 2).unsqueeze(-1)).mT @ tried / self.config.std**2
        return adaptation + self.step_size * gradient / seen.shape[1]

    def update(self, trial: Trial) -> dict[str, float]:
        """Moves the start towards where the tasks climbed to, and the step size the way in which climbing pays more."""
        found = self.start.expand(len(trial.tasks), -1, -1)
        for rollout in trial.rollouts[:-1]:
            found = self.adapt(found, rollout, trial.noise)
        self.start = self.start + self.config.start_rate * (found.mean(dim=0) - self.start)
        gain = (trial.rollouts[-1].episode_return() - trial.rollouts[0].episode_return()).mean()
        if gain < self.gain:
            self.direction = -self.direction
        self.gain, self.step_size = gain, self.step_size * self.config.growth**self.direction
        return {"gain": float(gain), "step_size": float(self.step_size)}

    def state_dict(self) -> dict[str, Tensor]:
        """Start and step size; for training also where the hill climbing of the step size stands."""
        policy = {"start": self.start, "step_size": self.step_size}
        return policy | {"training/direction": self.direction, "training/gain": self.gain}

    def load_state_dict(self, state: dict[str, Tensor]) -> None:
        """Takes a state back, or the policy's part of one."""
        self.start, self.step_size = state["start"].clone(), state["step_size"].clone()
        self.direction = state.get("training/direction", self.direction).clone()
        self.gain = state.get("training/gain", self.gain).clone()

    def _advantage(self, rollout: Rollout) -> Tensor:
        """Discounted rewards to the episode's end, against the task's mean at the same time. `[task, world, time]`."""
        to_go, running = torch.zeros_like(rollout.reward), torch.zeros_like(rollout.reward[:, :, 0])
        for time in reversed(range(rollout.reward.shape[2])):
            running = rollout.reward[:, :, time] + self.config.discount * running * ~rollout.done[:, :, time]
            to_go[:, :, time] = running
        return to_go - to_go.mean(dim=1, keepdim=True)


def features(obs: Tensor) -> Tensor:
    """The observation and a one. `[..., obs + 1]`."""
    return torch.cat((obs, torch.ones_like(obs[..., :1])), dim=-1)
