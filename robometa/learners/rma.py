"""RMA, rapid motor adaptation: Kumar et al. 2021, https://arxiv.org/abs/2107.04034.

Read `Network`, a policy on the bottleneck of what the task hides, which phase one trains with PPO. `update` has both
phases: the second trains the module of `rl/history_learner.py` to estimate the bottleneck while it drives the robot.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Annotated, ClassVar

import torch
from torch import Tensor, nn

from robometa.data import Spaces, Step, Trial, shortened
from robometa.errors import Search, UserError
from robometa.nn.actor_critic import Output, PerceptronActorCritic
from robometa.nn.bottleneck import Bottleneck, ToldPolicy
from robometa.nn.state import Parts
from robometa.noise import Noise
from robometa.rl import history_learner, ppo
from robometa.rl.gradient_samples import with_samples
from robometa.rl.history_learner import HistoryLearner, require_privileged
from robometa.rl.ppo_on_episodes import experience


@dataclass(frozen=True)
class Config(history_learner.Options):
    """Options of RMA; the defaults are sized for a CPU."""

    policy_share: Annotated[float, "(0, 1)", Search(0.4, 0.9)] = 0.7
    """Share of the iterations that train the policy, in the beginning; the others train the adaptation module."""
    policy_end: Annotated[int, "[0, inf)"] = 0
    """Iteration at which phase one ends; 0 is by `policy_share`, so a longer run has a longer phase one."""
    bottleneck: Annotated[int, "[1, inf)", Search(2, 16, log=True)] = 8
    """Numbers that stand for what a task hides."""
    encoder_hidden: Annotated[tuple[int, ...], "[1, inf)", Search(16, 256, log=True, depth=(1, 3))] = (64, 64)
    """Widths of the hidden layers from the hidden parameters to the bottleneck, tanh."""

    def policy_iterations(self) -> int:
        """Iterations of phase one."""
        return self.policy_end or max(round(self.policy_share * self.iterations), 1)


PRESETS = {
    "cpu": Config(),
    "paper": Config(
        tasks=1000,
        worlds=1,
        drawn_tasks=100_000,
        hidden=(128, 128, 128),
        encoder_hidden=(256, 128),
        discount=0.998,
        learning_rate=5e-4,
        final_learning_rate=5e-4,
        minibatches=4,
        module_steps=100,
        module_batch=4096,
    ),
}
"""Sizes for a CPU, and the networks of the paper."""


class Network(nn.Module):
    """Policy and values on the observation and the bottleneck, and the encoder of the hidden numbers."""

    def __init__(self, config: Config, spaces: Spaces, generator: torch.Generator) -> None:
        """Untrained."""
        super().__init__()
        self.observation = spaces.observation
        self.encoder = Bottleneck(len(spaces.privileged), config.encoder_hidden, config.bottleneck, generator)
        inputs, std = spaces.observation + config.bottleneck, config.initial_std
        self.policy = PerceptronActorCritic(inputs, spaces.action, config.hidden, std, generator, glorot=True)

    def forward(self, told: Tensor) -> Output:
        """Actions and values along episodes, shown what the task hides. `[n, time, obs + hidden]`."""
        obs, parameters = told[..., : self.observation], told[..., self.observation :]
        result: Output = self.policy(torch.cat((obs, self.encoder(parameters)), dim=-1))
        return result


class Count:
    """Updates so far of either phase, which say in what phase a learner is."""

    def __init__(self) -> None:
        """Begins at 0."""
        self.updates, self.of_module = 0, 0

    def state_dict(self) -> dict[str, Tensor]:
        """The counts."""
        return {"updates": torch.tensor(self.updates), "of_module": torch.tensor(self.of_module)}

    def load_state_dict(self, state: dict[str, Tensor]) -> None:
        """Restores the counts."""
        self.updates, self.of_module = int(state["updates"]), int(state["of_module"])


class Rma(HistoryLearner[Network]):
    """Learns a policy given a bottleneck of what tasks hide, then to estimate the bottleneck from the last steps."""

    configuration: ClassVar[type] = Config
    config: Config

    def __init__(self, config: Config, spaces: Spaces, seed: int, device: torch.device | str = "cpu") -> None:
        """Untrained networks, their weights drawn from `seed`."""
        require_privileged(spaces, "rma")
        generator = Noise(seed, ("learner",), 1, 1).torch_generator()
        network = Network(config, spaces, generator)
        super().__init__(config, network, config.bottleneck, spaces, generator, device)
        self.count = Count()
        # The learning rate decays over the iterations that train the policy.
        self.options = replace(config, decay_end=config.decay_end or config.policy_iterations())

    @torch.no_grad()
    def start_from(self, other: ToldPolicy) -> None:
        """Takes the policy of another learner in place of that of phase one, and begins with phase two.

        Raises:
            UserError: If the other one is told other numbers, or its layers are of other widths.
        """
        if other.names != self.spaces.privileged:
            raise UserError(f"it is told {shortened(other.names)}; rma is told {shortened(self.spaces.privileged)}")
        actor = [layer for layer in self.network.policy.actor if isinstance(layer, nn.Linear)]
        own = ToldPolicy(
            self.network.encoder,
            [(layer.weight, layer.bias) for layer in actor],
            self.network.policy.log_std,
            self.network.policy.critic,
            self.observations,
            self.parameters,
            self.spaces.privileged,
        )
        if own.widths() != other.widths():
            raise UserError(
                f"its encoder and actor have layers of {' and '.join(map(str, other.widths()))}, and rma's options "
                f"encoder_hidden, bottleneck and hidden make {' and '.join(map(str, own.widths()))}"
            )
        for layer, (weight, bias) in zip(actor, other.actor, strict=True):
            layer.weight.copy_(weight)
            layer.bias.copy_(bias)
        own.log_std.copy_(other.log_std)
        for part, source in (
            (own.encoder, other.encoder),
            (own.critic, other.critic),
            (own.observations, other.observations),
            (own.hidden, other.hidden),
        ):
            part.load_state_dict(source.state_dict())
        self.count.of_module = 1  # phase one is over

    @property
    def trains_policy(self) -> bool:
        """True in phase one, to which a run that is given a later end does not go back."""
        return not self.count.of_module and self.count.updates < self.config.policy_iterations()

    def estimate(self, history: Tensor) -> Tensor:
        """Estimates of the bottleneck. `[n, step, input] -> [n, bottleneck]`."""
        return torch.tanh(self.module(history))

    @torch.no_grad()
    def act(self, adaptation: Tensor, step: Step, noise: Tensor) -> tuple[Tensor, Tensor]:
        """Actions, and the history after the step. `[task, world, action]`, `[task, world, step, input]`."""
        history, bottleneck = self._remembered(adaptation, step)
        obs, parameters = step.obs.tensor_split((self.spaces.observation,), dim=-1)
        training = parameters.shape[-1] > 0
        if training and self.trains_policy:
            bottleneck = self.network.encoder(self.parameters(parameters))
        mean = self.network.policy.actor(torch.cat((self.observations(obs), bottleneck), dim=-1))
        if training and not self.trains_policy:
            return mean, history  # phase two follows the mean actions
        return mean + self.network.policy.log_std.exp() * noise, history

    def update(self, trial: Trial) -> dict[str, float]:
        """PPO given the bottleneck in phase one; in phase two, regression of the module onto the bottleneck."""
        rollout, metrics, steps = trial.joined(), dict[str, float](), self.config.module_steps
        if self.trains_policy:
            learned = experience(self.network, rollout, self._told, self.returns, self.config)
            generator = trial.noise.torch_generator()
            metrics = ppo.update(self.network, self.optimizer, learned, self.options, generator, self.captured)
            self._include(rollout)
            steps = 0
        else:
            self.count.of_module += 1
            if not self.rewards.count:  # of a policy that was taken over
                self.rewards.include(rollout.reward[~rollout.diverged])
        with torch.no_grad():
            wanted = self.network.encoder(self.parameters(rollout.obs[..., self.spaces.observation :]))
        metrics |= self._fit(rollout, wanted, trial.noise.fork("module"), steps=steps)
        self.count.updates += 1
        return with_samples(metrics, self._module_samples(rollout, steps))

    def _parts(self) -> Parts:
        return {**super()._parts(), "progress": self.count}
