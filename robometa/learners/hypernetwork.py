"""Recurrent hypernetworks: Beck et al. 2023, https://arxiv.org/abs/2309.14970.

Read `Network`: the memory's output generates the weights of actor and critic (`nn/generated.py`). The training is
`RecurrentLearner.update` in `rl/ppo_on_trials.py`, which RL^2 shares.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, ClassVar

import torch
from torch import Tensor, nn

from robometa.data import Spaces, Step
from robometa.errors import Search
from robometa.nn.actor_critic import Output
from robometa.nn.generated import Generated
from robometa.nn.networks import Perceptron
from robometa.nn.recurrent import Memory, RecurrentActorCritic
from robometa.noise import Noise
from robometa.rl.ppo_on_trials import RecurrentLearner, RecurrentOptions


@dataclass(frozen=True)
class Config(RecurrentOptions):
    """Options of the recurrent hypernetwork; the defaults are sized for a CPU."""

    memory_size: Annotated[int, "[1, inf)", Search(32, 256, log=True)] = 64
    hidden: Annotated[tuple[int, ...], "[1, inf)", Search(16, 64, log=True, depth=(1, 2))] = (32,)
    """Widths of the hidden layers of the generated networks, tanh."""
    epochs: Annotated[int, "[1, inf)", Search(1, 10)] = 2


PRESETS = {
    "cpu": Config(),
    "paper": Config(
        memory_size=256,
        hidden=(32, 32),
        backpropagation=10_000,
        minibatches=4,
        learning_rate=7e-4,
        final_learning_rate=7e-4,
    ),
}
"""Sizes for a CPU, and those of the paper."""


class Network(RecurrentActorCritic):
    """A memory of the trial so far, and two small networks of the observation with weights that it generates."""

    def __init__(self, config: Config, spaces: Spaces, generator: torch.Generator) -> None:
        """Untrained."""
        inputs = spaces.observation + spaces.action + 2
        memory = Memory(config.memory, inputs, config.memory_size, generator)
        super().__init__(memory, spaces.action, config.initial_std)
        widths = (spaces.observation, *config.hidden)
        actor = Perceptron((*widths, spaces.action), generator, nn.Tanh, last_limit=1e-3)
        critic = Perceptron((*widths, 1), generator, nn.Tanh)
        # Bias-HyperInit: at first the memory does not matter, and these networks come out.
        self.actor, self.critic = Generated(actor, config.memory_size), Generated(critic, config.memory_size)
        self.observation = spaces.observation

    def read(self, inputs: Tensor, start: Tensor) -> tuple[Output, Tensor]:
        """Actions and values along segments of trials, and the memory after them. `[n, time, inputs]`, `[n, state]`."""
        remembered, end = self.memory.read(inputs, start)  # [n, time, memory]
        # The policy itself sees the observation only; everything else reaches it through its weights.
        obs = inputs[..., : self.observation]
        return Output(self.actor(obs, remembered), self.log_std, self.critic(obs, remembered)[..., 0]), end


class Hypernetwork(RecurrentLearner):
    """Learns a memory that generates the policy; the adaptation is its state, which persists through a trial."""

    configuration: ClassVar[type] = Config
    network: Network

    def __init__(self, config: Config, spaces: Spaces, seed: int, device: torch.device | str = "cpu") -> None:
        """An untrained network, its weights drawn from `seed`."""
        generator = Noise(seed, ("learner",), 1, 1).torch_generator()
        network = Network(config, spaces, generator)
        super().__init__(config, network, spaces, config.backpropagation, device)

    @torch.no_grad()
    def act(self, adaptation: Tensor, step: Step, noise: Tensor) -> tuple[Tensor, Tensor]:
        """Actions, and the memory after the step. `[task, world, action]`, `[task, world, state]`."""
        state = self.remember(adaptation, step)
        # The memory's output generates the weights of the policy of this step.
        mean = self.network.actor(self.observations(step.obs), state[..., : self.network.memory.size])
        return mean + self.network.log_std.exp() * noise, state
