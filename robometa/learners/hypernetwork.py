"""Recurrent hypernetworks: Beck et al. 2023, https://arxiv.org/abs/2309.14970."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any, ClassVar

import torch
from torch import Tensor, nn

from robometa.compute.parallel import for_each_task, shares_of
from robometa.data import Rollout, Spaces, Step, Trial
from robometa.nn.actor_critic import Output
from robometa.nn.networks import Perceptron
from robometa.nn.normalizer import Normalizer
from robometa.nn.recurrent import Memory, pieces_of
from robometa.nn.state import Parts, load_state, state_of
from robometa.noise import Noise
from robometa.rl import ppo, ppo_on_trials


@dataclass(frozen=True)
class Config(ppo.Options):
    """Options of the recurrent hypernetwork; the defaults are sized for a CPU."""

    tasks: Annotated[int, "[1, inf)"] = 64
    """Tasks of an iteration."""
    worlds: Annotated[int, "[1, inf)"] = 2
    """Worlds of each task; each is a trial of its own."""
    shots: Annotated[int, "[0, inf)"] = 1
    """Episodes of a training trial after its first; the memory is carried from one into the next."""
    memory: Annotated[str, "{gru, lstm}"] = "gru"
    """The recurrent network: gru or lstm (the Meta-LSTM)."""
    memory_size: Annotated[int, "[1, inf)"] = 64
    """Numbers that it puts out."""
    backpropagation: Annotated[int, "[1, inf)"] = 100
    """Steps that gradients reach back through the memory: a trial is cut into equal pieces, at least so long."""
    hidden: Annotated[tuple[int, ...], "[1, inf)"] = (32,)
    """Widths of the hidden layers of the generated networks, tanh."""
    epochs: Annotated[int, "[1, inf)"] = 2
    """Passes over an iteration's experience."""
    minibatches: Annotated[int, "[1, inf)"] = 8
    """Gradient steps of a pass, each on its share of the trials' pieces."""
    learning_rate: Annotated[float, "(0, inf)"] = 1e-3
    """Of Adam."""


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
"""Sizes for a CPU, and the paper's."""
BLOCK = 512
"""Rows whose weights exist at the same time: they stay in cache."""


class Network(nn.Module):
    """A memory of the trial so far, and two small networks of the observation whose weights it generates."""

    def __init__(self, config: Config, spaces: Spaces, generator: torch.Generator) -> None:
        """Untrained."""
        super().__init__()
        self.memory = Memory(config.memory, spaces.observation + spaces.action + 2, config.memory_size, generator)
        widths = (spaces.observation, *config.hidden)
        actor = Perceptron((*widths, spaces.action), generator, nn.Tanh, last_limit=1e-3)
        critic = Perceptron((*widths, 1), generator, nn.Tanh)
        self.actor, self.critic = Generated(actor, config.memory_size), Generated(critic, config.memory_size)
        self.observation = spaces.observation
        self.log_std = nn.Parameter(torch.full((spaces.action,), config.initial_std).log())

    def forward(self, inputs: Tensor, start: Tensor) -> Output:
        """What it says along pieces of trials that begin with a memory. `[n, time, inputs]`, `[n, 1, state]`"""
        return self.read(inputs, start[:, 0])[0]

    def read(self, inputs: Tensor, start: Tensor) -> tuple[Output, Tensor]:
        """The same, and the memory at the end. `[n, time, inputs]`, `[n, state]`"""
        remembered, end = self.memory.read(inputs, start)
        obs = inputs[..., : self.observation]
        return Output(self.actor(obs, remembered), self.log_std, self.critic(obs, remembered)[..., 0]), end


class Generated(nn.Module):
    """A perceptron each of whose weights is a linear function of a memory's output, another one in every row.

    It begins as Bias-HyperInit has it (Beck et al. 2022, https://arxiv.org/abs/2210.11348): the function's factors are
    0 and its constants are an ordinary perceptron's weights, so whatever the memory says, that perceptron comes out.
    """

    def __init__(self, perceptron: Perceptron, size: int) -> None:
        """Weights that are those of `perceptron` whatever the `size` numbers of the memory are."""
        super().__init__()
        linear = [layer for layer in perceptron if isinstance(layer, nn.Linear)]
        constants = [torch.cat((layer.weight.detach().T, layer.bias.detach().unsqueeze(0))) for layer in linear]
        self.constants = nn.ParameterList(constants)  # [into + 1, out]
        self.factors = nn.ParameterList(torch.zeros(size, part.numel()) for part in constants)

    def forward(self, x: Tensor, memory: Tensor) -> Tensor:
        """What each row's own network makes of its `x`. `[..., into], [..., size] -> [..., out]`"""
        shape, x, memory = x.shape[:-1], x.flatten(0, -2), memory.flatten(0, -2)
        for index, (factor, constant) in enumerate(zip(self.factors, self.constants, strict=True)):
            x = GeneratedLayer.apply(torch.tanh(x) if index else x, memory, factor, constant)
        return x.unflatten(0, shape)


class GeneratedLayer(torch.autograd.Function):
    """A layer whose weights are generated for each row.

    All rows' weights would be the largest tensor of the training by far. They are made a block of rows at a time, and
    made again for the gradient.
    """

    @staticmethod
    def forward(context: Any, x: Tensor, memory: Tensor, factor: Tensor, constant: Tensor) -> Tensor:
        """The layer's output. `[n, into], [n, size], [size, (into + 1) * out], [into + 1, out] -> [n, out]`"""
        context.save_for_backward(x, memory, factor, constant)
        outputs = []
        for part, remembered in zip(x.split(BLOCK), memory.split(BLOCK), strict=True):
            weights = _weights(remembered, factor, constant)
            outputs.append(torch.baddbmm(weights[:, -1:], part.unsqueeze(1), weights[:, :-1])[:, 0])
        return torch.cat(outputs)

    @staticmethod
    def backward(context: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        """The gradients of what went in."""
        x, memory, factor, constant = context.saved_tensors
        of_factor, of_constant = torch.zeros_like(factor), torch.zeros_like(constant)
        of_x, of_memory = [], []
        for part, remembered, gradient in zip(*(rows.split(BLOCK) for rows in (x, memory, *gradients)), strict=True):
            with_one = torch.cat((part, part.new_ones(len(part), 1)), dim=-1)
            of_weights = with_one.unsqueeze(2) * gradient.unsqueeze(1)  # [n, into + 1, out]
            of_constant += of_weights.sum(dim=0)
            of_factor.addmm_(remembered.T, of_weights.flatten(1))
            of_memory.append(of_weights.flatten(1) @ factor.T)
            if context.needs_input_grad[0]:
                weights = _weights(remembered, factor, constant)
                of_x.append((weights[:, :-1] @ gradient.unsqueeze(2))[..., 0])
        return torch.cat(of_x) if of_x else None, torch.cat(of_memory), of_factor, of_constant


class Hypernetwork:
    """Learns a memory that writes its policy: the adaptation is the memory's state, carried through a trial."""

    configuration: ClassVar[type] = Config
    pools_worlds: ClassVar[bool] = False

    def __init__(self, config: Config, spaces: Spaces, seed: int, device: torch.device | str = "cpu") -> None:
        """An untrained network, its weights drawn from `seed`."""
        self.config, self.device = config, torch.device(device)
        generator = Noise(seed, ("learner",), 1, 1).torch_generator()
        self.network = Network(config, spaces, generator).to(self.device)
        self.optimizer = torch.optim.Adam(self.network.parameters(), lr=config.learning_rate, eps=1e-5, fused=True)
        self.observations = Normalizer(spaces.observation, device=self.device)
        self.rewards = Normalizer(1, device=self.device)
        self.returns = Normalizer(1, device=self.device)

    def begin(self, tasks: int, worlds: int, noise: Noise) -> Tensor:
        """An empty memory for each world. `[task, world, state]`"""
        return torch.zeros(tasks, worlds, self.network.memory.state_size, device=self.device)

    @torch.no_grad()
    def act(self, adaptation: Tensor, step: Step, noise: Tensor) -> tuple[Tensor, Tensor]:
        """Actions, and the memory that has seen the step. `[task, world, action]`, `[task, world, state]`"""
        network, worlds = self.network, adaptation.shape[:2]
        state = network.memory.step(self._inputs(step).flatten(0, 1), adaptation.flatten(0, 1)).unflatten(0, worlds)
        mean = network.actor(self.observations(step.obs), state[..., : network.memory.size])
        return mean + network.log_std.exp() * noise, state

    def adapt(self, adaptation: Tensor, rollout: Rollout, noise: Noise) -> Tensor:
        """The same: the memory has seen the rollout."""
        return adaptation

    def update(self, trial: Trial) -> dict[str, float]:
        """PPO on whole trials: what an episode finds out is credited with what later episodes make of it."""
        config, rollout = self.config, trial.joined()
        inputs = self._inputs(rollout.seen()).flatten(0, 1)  # [trial, time + 1, inputs]
        old, starts = self._read(inputs)
        whole = ppo_on_trials.experience(trial, (inputs[:, :-1], starts), old, self.returns, config)
        experience = ppo.cut(whole, starts.shape[1])
        metrics = ppo.update(self.network, self.optimizer, experience, config, trial.noise.torch_generator())
        self.observations.include(rollout.obs)
        self.rewards.include(rollout.reward[~rollout.diverged])
        return metrics

    def state(self) -> dict[str, Tensor]:
        """Network and statistics; for training also the optimizer."""
        return state_of(self._parts())

    def load(self, state: dict[str, Tensor]) -> None:
        """Takes a state back, or the policy's part of one."""
        load_state(self._parts(), state)

    def _parts(self) -> Parts:
        return {
            "network": self.network,
            "observations": self.observations,
            "rewards": self.rewards,
            "training/returns": self.returns,
            "training/optimiser": self.optimizer,
        }

    def _read(self, inputs: Tensor) -> tuple[Output, Tensor]:
        """What the network says along whole trials, and the memories at the start of each of their pieces.

        Args:
            inputs: `[trial, time + 1, inputs]`
        Returns: Outputs `[trial, time + 1]`, and memories `[trial, piece, state]`.
        """
        count = pieces_of(inputs.shape[1] - 1, self.config.backpropagation)

        def of_some(some: Tensor) -> tuple[Tensor, ...]:
            state = some.new_zeros(len(some), self.network.memory.state_size)
            starts, said = [], []
            for piece in (*some[:, :-1].chunk(count, dim=1), some[:, -1:]):
                starts.append(state)
                with torch.no_grad():  # which each thread has to be told
                    output, state = self.network.read(piece, state)
                said.append(output)
            mean, value = (torch.cat([getattr(part, name) for part in said], dim=1) for name in ("mean", "value"))
            return mean, value, torch.stack(starts[:-1], dim=1)

        mean, value, starts = (
            torch.cat(parts) for parts in zip(*for_each_task(of_some, shares_of(inputs, ppo.CHUNK)), strict=True)
        )
        return Output(mean, self.network.log_std.detach(), value), starts

    def _inputs(self, step: Step) -> Tensor:
        """What the memory takes of a step. `[..., obs + action + 2]`"""
        return ppo_on_trials.inputs(step, self.observations, self.rewards)


def _weights(memory: Tensor, factor: Tensor, constant: Tensor) -> Tensor:
    """Each row's weights, and below them its biases. `[n, into + 1, out]`"""
    return torch.addmm(constant.flatten(), memory, factor).unflatten(-1, constant.shape)
