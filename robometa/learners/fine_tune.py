"""One policy for all tasks, trained on to each with PPO: Schulman et al. 2017, https://arxiv.org/abs/1707.06347.

Read `update` (PPO on all tasks alike, in `rl/ppo.py`), then `_tuned`: the PPO steps of one task on its own copy of the
policy.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Annotated, ClassVar

import torch
from torch import Tensor

from robometa.compute.parallel import for_each_task
from robometa.data import Rollout, Spaces, Step, Trial
from robometa.errors import Search
from robometa.noise import Noise
from robometa.rl import ppo
from robometa.rl.policy_gradient import Batch, rollout_batches
from robometa.rl.ppo_on_episodes import EpisodeLearner


@dataclass(frozen=True)
class Config(ppo.Options):
    """Options of fine-tuning."""

    tasks: Annotated[int, "[1, inf)", Search(8, 64, log=True)] = 12
    """Tasks of an iteration."""
    worlds: Annotated[int, "[1, inf)"] = 20
    """Worlds of each task; an adaptation pools them."""
    shots: Annotated[int, "[0, inf)"] = 0
    """Adaptations within a training trial; training optimises the policy before any."""
    tuning_steps: Annotated[int, "[1, inf)", Search(20, 400, log=True)] = 100
    """Gradient steps of an adaptation."""
    tuning_minibatches: Annotated[int, "[1, inf)", Search(2, 16, log=True)] = 8
    """Minibatches of a task's experience over all worlds; the steps cycle through them."""
    tuning_rate: Annotated[float, "(0, inf)", Search(1e-4, 1e-2, log=True)] = 1e-3
    """Learning rate of Adam in an adaptation."""
    minibatches: Annotated[int, "[1, inf)", Search(4, 32, log=True)] = 16
    """Gradient steps of a pass, each on its share of the experience."""
    learning_rate: Annotated[float, "(0, inf)", Search(1e-4, 3e-3, log=True)] = 1e-3
    """Learning rate of Adam."""
    hidden: Annotated[tuple[int, ...], "[1, inf)", Search(16, 256, log=True, depth=(1, 3))] = (128, 128)
    """Widths of the hidden layers of policy and value, tanh."""


class FineTune(EpisodeLearner):
    """Learns the policy that is best for the mean over tasks; the adaptation is a copy of it, fine-tuned to a task."""

    configuration: ClassVar[type] = Config
    config: Config
    pools_worlds: ClassVar[bool] = True

    def __init__(self, config: Config, spaces: Spaces, seed: int, device: torch.device | str = "cpu") -> None:
        """Untrained networks, their weights drawn from `seed`."""
        super().__init__(config, config.hidden, spaces, seed, device)

    def begin(self, tasks: int, worlds: int, noise: Noise) -> Tensor:
        """The one policy, for each task. `[task, parameter]`."""
        return self.network.actor.detach().clone().expand(tasks, -1)

    @torch.no_grad()
    def act(self, adaptation: Tensor, step: Step, noise: Tensor) -> tuple[Tensor, Tensor]:
        """Actions of each task's policy. `[task, world, action]`."""
        mean, log_std = self.network.policy.distribution(adaptation, self.observations(step.obs))
        return mean + log_std.exp() * noise, adaptation

    def adapt(self, adaptation: Tensor, rollout: Rollout, noise: Noise) -> Tensor:
        """Some PPO steps for each task, over the task's own baseline. `[task, parameter]`."""
        seen = replace(rollout, obs=self.observations(rollout.obs))
        batches = rollout_batches(seen, self.config.discount, self.config.gae_lambda, action_scale=1.0)
        return torch.stack(for_each_task(self._tuned, adaptation, batches))

    def update(self, trial: Trial) -> dict[str, float]:
        """PPO on all episodes of all tasks alike."""
        # The rollouts after the first acted with policies that were tuned.
        return self._trained(trial.rollouts[0], trial.noise)

    @torch.enable_grad()
    def _tuned(self, start: Tensor, batch: Batch) -> Tensor:
        """A task's policy after the steps of an adaptation. `[parameter]`."""
        if not len(batch.obs):  # every simulation of the task blew up at once
            return start
        policy, clip = self.network.policy, self.config.clip
        before = policy.log_likelihood(start, batch.obs, batch.output).detach()
        tuned = start.detach().clone().requires_grad_()
        optimizer = torch.optim.Adam([tuned], lr=self.config.tuning_rate)
        shares = min(self.config.tuning_minibatches, len(before))
        for step in range(self.config.tuning_steps):
            share = slice(step % shares, None, shares)  # of all worlds and times alike
            # Clipped surrogate on a share of the task's experience.
            ratio = (policy.log_likelihood(tuned, batch.obs[share], batch.output[share]) - before[share]).exp()
            advantage = batch.advantage[share]
            gain = torch.minimum(ratio * advantage, ratio.clamp(1 - clip, 1 + clip) * advantage)
            (tuned.grad,) = torch.autograd.grad(-gain.mean(), tuned)
            optimizer.step()
        return tuned.detach()
