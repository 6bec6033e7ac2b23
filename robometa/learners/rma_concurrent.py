"""RMA in one phase: Margolis and Agrawal 2022, https://arxiv.org/abs/2212.03238; Ji et al. 2022, https://arxiv.org/abs/2202.05481.

Read `Network`: the policy is given an estimate of what the task hides, the critic the truth. `update` trains both with
PPO, and the module of `rl/history_learner.py` that makes the estimate.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar

import torch
from torch import Tensor, nn

from robometa.data import Spaces, Step, Trial
from robometa.nn.actor_critic import Output
from robometa.nn.networks import Perceptron
from robometa.noise import Noise
from robometa.rl import history_learner
from robometa.rl.gradient_samples import with_samples
from robometa.rl.history_learner import HistoryLearner, require_privileged
from robometa.rl.ppo_on_episodes import experience


@dataclass(frozen=True)
class Config(history_learner.Options):
    """Options of RMA in one phase; the defaults are sized for a CPU."""


PRESETS = {
    "cpu": Config(),
    "paper": Config(
        tasks=4000,
        worlds=1,
        drawn_tasks=100_000,
        hidden=(512, 256, 128),
        history=40,
        minibatches=4,
        entropy_weight=0.01,
        final_learning_rate=1e-3,
        gradient_norm=1.0,
        initial_std=1.0,
        module_learning_rate=1e-3,
    ),
}
"""Sizes for a CPU, and those of walk-these-ways where this learner has them."""


class Network(nn.Module):
    """A policy on observation and estimate, and values on observation and truth."""

    def __init__(self, config: Config, spaces: Spaces, generator: torch.Generator) -> None:
        """Untrained."""
        super().__init__()
        self.sizes = spaces.observation, len(spaces.privileged), len(spaces.privileged)
        widths = (sum(self.sizes[:2]), *config.hidden)
        self.actor = Perceptron((*widths, spaces.action), generator, nn.Tanh, last_limit=1e-3)
        self.critic = Perceptron((*widths, 1), generator, nn.Tanh)
        self.log_std = nn.Parameter(torch.full((spaces.action,), config.initial_std).log())

    def forward(self, known: Tensor) -> Output:
        """Actions and values along episodes. `[n, time, obs + hidden + estimate]`."""
        obs, truth, estimate = known.split(self.sizes, dim=-1)
        mean, value = self.actor(torch.cat((obs, estimate), dim=-1)), self.critic(torch.cat((obs, truth), dim=-1))
        return Output(mean, self.log_std, value[..., 0])


class RmaConcurrent(HistoryLearner[Network]):
    """Learns a policy on an estimate of what tasks hide, and the estimate from the last steps, at the same time."""

    configuration: ClassVar[type] = Config
    config: Config

    def __init__(self, config: Config, spaces: Spaces, seed: int, device: torch.device | str = "cpu") -> None:
        """Untrained networks, their weights drawn from `seed`."""
        require_privileged(spaces, "rma-concurrent")
        generator = Noise(seed, ("learner",), 1, 1).torch_generator()
        network = Network(config, spaces, generator)
        super().__init__(config, network, len(spaces.privileged), spaces, generator, device)

    @torch.no_grad()
    def act(self, adaptation: Tensor, step: Step, noise: Tensor) -> tuple[Tensor, Tensor]:
        """Actions, and the history after the step. `[task, world, action]`, `[task, world, step, input]`."""
        history, estimate = self._remembered(adaptation, step)
        obs = self.observations(step.obs[..., : self.spaces.observation])
        mean = self.network.actor(torch.cat((obs, estimate), dim=-1))
        return mean + self.network.log_std.exp() * noise, history

    def update(self, trial: Trial) -> dict[str, float]:
        """PPO given the estimates that acted, then regression of the module onto the truth."""
        rollout = trial.joined()
        # Estimates as they were when it acted. [task, world, time, hidden]
        estimate = self._estimates(self._histories(rollout).flatten(0, 1)).reshape(*rollout.reward.shape, -1)
        known = replace(
            rollout,
            obs=torch.cat((rollout.obs, estimate), dim=-1),
            next_obs=torch.cat((rollout.next_obs, estimate), dim=-1),  # values do not read it
        )
        learned = experience(self.network, known, self._known, self.returns, self.config)
        metrics = self._trained_on(learned, trial.noise)
        self._include(rollout)
        wanted = self.parameters(rollout.obs[..., self.spaces.observation :])
        steps = self.config.module_steps
        metrics |= self._fit(rollout, wanted, trial.noise.fork("module"), steps=steps)
        return with_samples(metrics, self._module_samples(rollout, steps))

    def _known(self, known: Tensor) -> Tensor:
        """Input of the network: normalised observation and truth, and the estimate. `[..., obs + 2 * hidden]`."""
        told, estimate = known.tensor_split((self.spaces.observation + len(self.spaces.privileged),), dim=-1)
        return torch.cat((self._told(told), estimate), dim=-1)
