"""RL^2: Duan et al. 2016, https://arxiv.org/abs/1611.02779; Wang et al. 2016, https://arxiv.org/abs/1611.05763.

Read `Network` and `act`: a policy on the output of a recurrent memory. The training is `RecurrentLearner.update` in
`rl/ppo_on_trials.py`, which the recurrent hypernetwork shares.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, ClassVar

import torch
from torch import Tensor, nn

from robometa.data import Spaces, Step
from robometa.errors import Search
from robometa.nn.actor_critic import Output
from robometa.nn.networks import Perceptron
from robometa.nn.recurrent import EncodedMemory, Memory, RecurrentActorCritic, check_transformer, memory_of
from robometa.nn.transformer import Transformer
from robometa.noise import Noise
from robometa.rl.ppo_on_trials import RecurrentLearner, RecurrentOptions


@dataclass(frozen=True)
class Config(RecurrentOptions):
    """Options of RL^2."""

    memory: Annotated[str, "{gru, lstm, transformer}", Search(choices=("gru", "lstm"))] = "gru"
    """The memory: gru, lstm (the Meta-LSTM), or transformer (causal, on the last `context` steps)."""
    memory_size: Annotated[int, "[1, inf)", Search(32, 256, log=True)] = 128
    """Hidden units of the GRU or LSTM, or width of the transformer."""
    encoder: Annotated[tuple[int, ...], "[1, inf)"] = ()
    """Widths of layers before the memory, tanh; none by default."""
    memory_layers: Annotated[int, "[1, 100]"] = 2
    """Layers of the transformer."""
    memory_heads: Annotated[int, "[1, 100]"] = 4
    """Heads of each layer of the transformer, which share keys and values."""
    context: Annotated[int, "[1, 100000]"] = 200
    """Earlier steps that a layer of the transformer sees, across the ends of episodes."""
    hidden: Annotated[tuple[int, ...], "[1, inf)", Search(16, 256, log=True, depth=(1, 3))] = (64,)
    """Widths of the layers from the memory to actions and to values, tanh."""
    blind: Annotated[tuple[int, ...], "[0, inf)"] = ()
    """Indices of observation entries hidden from the policy. An entry that identifies training tasks without bearing on
    their goals lets a memory overfit to them."""
    epochs: Annotated[int, "[1, inf)", Search(1, 10)] = 4

    def __post_init__(self) -> None:
        """Checks the options.

        Raises:
            UserError: If one is outside its range, is of a transformer where there is none, or heads do not fit.
        """
        super().__post_init__()
        check_transformer(self, "memory", self.memory)


PRESETS = {
    "gru": Config(),
    "lstm": Config(memory="lstm"),
    "transformer": Config(memory="transformer", memory_size=64),
    "upstream": Config(
        iterations=200,
        tasks=20,
        worlds=1,
        shots=9,
        encoder=(256, 256),
        memory_size=256,
        hidden=(),
        backpropagation=250,
        epochs=10,
        learning_rate=5e-4,
        final_learning_rate=5e-4,
        entropy_weight=5e-3,
        gradient_norm=1.0,
        initial_std=1.0,
    ),
}
"""Presets with a GRU, with an LSTM (the Meta-LSTM), with a transformer, and with the sizes of Meta-World's own
implementation: ML10 in 20 million steps."""


def encoded_memory(config: Config, inputs: int, generator: torch.Generator) -> Memory | Transformer | EncodedMemory:
    """Builds the memory that the options name, for inputs of so many numbers."""
    sizes = config.memory_size, config.memory_layers, config.memory_heads, config.context
    if not config.encoder:
        return memory_of(config.memory, inputs, *sizes, generator)
    encoder = Perceptron((inputs, *config.encoder), generator, nn.Tanh)
    return EncodedMemory(encoder, memory_of(config.memory, config.encoder[-1], *sizes, generator))


class Network(RecurrentActorCritic):
    """Policy and value on the output of the memory alone."""

    def __init__(self, config: Config, spaces: Spaces, generator: torch.Generator) -> None:
        """Untrained."""
        inputs = spaces.observation + spaces.action + 2
        super().__init__(encoded_memory(config, inputs, generator), spaces.action, config.initial_std)
        widths = (config.memory_size, *config.hidden)
        self.actor = Perceptron((*widths, spaces.action), generator, nn.Tanh, last_limit=1e-3)
        self.critic = Perceptron((*widths, 1), generator, nn.Tanh)

    def read(self, inputs: Tensor, start: Tensor) -> tuple[Output, Tensor]:
        """Actions and values along segments of trials, and the memory after them. `[n, time, inputs]`, `[n, state]`."""
        remembered, end = self.memory.read(inputs, start)  # [n, time, memory]
        return Output(self.actor(remembered), self.log_std, self.critic(remembered)[..., 0]), end


class Rl2(RecurrentLearner):
    """Learns a recurrent policy; the adaptation is its memory state, which persists through a trial."""

    configuration: ClassVar[type] = Config
    network: Network

    def __init__(self, config: Config, spaces: Spaces, seed: int, device: torch.device | str = "cpu") -> None:
        """An untrained network, its weights drawn from `seed`."""
        generator = Noise(seed, ("learner",), 1, 1).torch_generator()
        network = Network(config, spaces, generator)
        super().__init__(config, network, spaces, config.backpropagation, device, blind=config.blind)

    @torch.no_grad()
    def act(self, adaptation: Tensor, step: Step, noise: Tensor) -> tuple[Tensor, Tensor]:
        """Actions, and the memory after the step. `[task, world, action]`, `[task, world, state]`."""
        state = self.remember(adaptation, step)
        # The state begins with the memory's output; an LSTM's cell or a transformer's cache follows.
        mean = self.network.actor(state[..., : self.network.memory.size])
        return mean + self.network.log_std.exp() * noise, state
