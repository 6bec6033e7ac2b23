"""A policy that sees what its task hides, trained with PPO: Schulman et al. 2017, https://arxiv.org/abs/1707.06347.

Read it as the policy without adaptation whose observations end with the task's parameters: the engine appends them
where the class says `sees_parameters`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, ClassVar

import torch
from torch import Tensor

from robometa.data import Rollout, Spaces, Step, Trial
from robometa.nn.actor_critic import Network
from robometa.nn.normalizer import Normalizer
from robometa.nn.state import Parts, load_state, state_of
from robometa.noise import Noise
from robometa.rl import ppo
from robometa.rl.ppo_on_episodes import experience


@dataclass(frozen=True)
class Config(ppo.Options):
    """Options of the oracle."""

    tasks: Annotated[int, "[1, inf)"] = 64
    """Tasks of an iteration."""
    worlds: Annotated[int, "[1, inf)"] = 4
    """Worlds of each task."""
    shots: Annotated[int, "[0, inf)"] = 0
    """Adaptations within a training trial, which change nothing."""
    minibatches: Annotated[int, "[1, inf)"] = 16
    """Gradient steps of a pass, each on its share of the experience."""
    learning_rate: Annotated[float, "(0, inf)"] = 1e-3
    """Learning rate of Adam."""
    drawn_tasks: Annotated[int, "[0, inf)"] = 1000
    """Tasks to train on, drawn from the suite's distributions if it has any; 0 uses the listed tasks. Given the hidden
    parameters, a policy overfits to a short list. The oracle is a reference, not a competitor of adaptive learners."""
    hidden: Annotated[tuple[int, ...], "[1, inf)"] = (128, 128)
    """Widths of the hidden layers of policy and value, tanh."""


class Oracle:
    """Learns a policy that observes the task's parameters; measures the value of full knowledge in equal training."""

    configuration: ClassVar[type] = Config
    pools_worlds: ClassVar[bool] = False
    sees_parameters: ClassVar[bool] = True

    def __init__(self, config: Config, spaces: Spaces, seed: int, device: torch.device | str = "cpu") -> None:
        """Untrained networks, their weights drawn from `seed`."""
        self.config, self.device = config, torch.device(device)
        generator = Noise(seed, ("learner",), 1, 1).torch_generator()
        self.network = Network(spaces.observation, spaces.action, config.hidden, config.initial_std, generator)
        self.network.to(self.device)
        self.optimizer = torch.optim.Adam(self.network.parameters(), lr=config.learning_rate, eps=1e-5, fused=True)
        self.observations = Normalizer(spaces.observation, device=self.device)
        self.returns = Normalizer(1, device=self.device)

    def begin(self, tasks: int, worlds: int, noise: Noise) -> None:
        """Returns no adaptation: the observation contains the task's parameters."""

    @torch.no_grad()
    def act(self, adaptation: None, step: Step, noise: Tensor) -> tuple[Tensor, None]:
        """Actions of the one policy. `[task, world, action]`."""
        mean, log_std = self.network.policy.distribution(self.network.actor, self.observations(step.obs))
        return mean + log_std.exp() * noise, adaptation

    def adapt(self, adaptation: None, rollout: Rollout, noise: Noise) -> None:
        """Changes nothing."""

    def update(self, trial: Trial) -> dict[str, float]:
        """PPO on all episodes of all tasks alike."""
        rollout = trial.joined()
        # Advantages and targets, then PPO's steps, then the statistics that the inputs go through.
        learned = experience(self.network, rollout, self.observations, self.returns, self.config)
        metrics = ppo.update(self.network, self.optimizer, learned, self.config, trial.noise.torch_generator())
        self.observations.include(rollout.obs)
        return metrics

    def state_dict(self) -> dict[str, Tensor]:
        """Networks and statistics; for training also the optimizer."""
        return state_of(self._parts())

    def load_state_dict(self, state: dict[str, Tensor]) -> None:
        """Restores a state, or the policy's part of one."""
        load_state(self._parts(), state)

    def _parts(self) -> Parts:
        return {
            "network": self.network,
            "observations": self.observations,
            "training/returns": self.returns,
            "training/optimiser": self.optimizer,
        }
