"""AMAGO-2: Grigsby et al. 2024, https://arxiv.org/abs/2411.11188.

Read `act`: a policy on the step and the output of a memory. Critics and actors learn from crops of replayed trials in
`rl/filtered_cloning.py`. Crops and targets are in `rl/trial_crops.py`, classifying critics in `nn/discounted.py`.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Annotated, ClassVar, NamedTuple

import torch
from torch import Tensor

from robometa.data import Rollout, Spaces, Step, Trial
from robometa.errors import Search, UserError
from robometa.nn.discounted import DiscountedActorCritic
from robometa.nn.normalizer import Normalizer
from robometa.nn.recurrent import check_transformer, memory_of
from robometa.nn.state import Parts, load_state, state_of
from robometa.noise import Noise
from robometa.rl.exploration import Exploration
from robometa.rl.filtered_cloning import FilteredCloning, Options
from robometa.rl.gradient_samples import with_samples
from robometa.rl.memory_input import memory_input
from robometa.rl.trial_crops import Sequences, TrialCrops, rows_of


@dataclass(frozen=True)
class Config(Options):
    """Options of AMAGO-2; the defaults are sized for a CPU."""

    encoder: Annotated[str, "{gru, transformer}"] = "gru"
    """Encoder of the trial: gru, or transformer (causal, on the last `context` steps)."""
    memory_size: Annotated[int, "[1, inf)", Search(32, 256, log=True)] = 64
    """Hidden units of the GRU, or width of the transformer."""
    memory_layers: Annotated[int, "[1, 100]"] = 3
    """Layers of the transformer."""
    memory_heads: Annotated[int, "[1, 100]"] = 8
    """Heads of each layer of the transformer, which share keys and values."""
    context: Annotated[int, "[1, 100000]"] = 256
    """Earlier steps that a layer of the transformer sees, across the ends of episodes."""
    step_hidden: Annotated[tuple[int, ...], "[1, inf)", Search(32, 256, log=True, depth=(1, 2))] = (64,)
    """Widths of the layers from a step to the trial's encoder, ReLU."""
    hidden: Annotated[tuple[int, ...], "[1, inf)", Search(32, 256, log=True, depth=(1, 3))] = (64, 64)
    """Widths of the hidden layers of actors and critics, ReLU."""
    bins: Annotated[int, "[2, 10000]", Search(64, 256, log=True)] = 80
    """Bins of returns; coarse ones lose the difference between two actions."""
    lowest_return: Annotated[float, "(-inf, inf)"] = -500.0
    """Discounted return of the lowest bin; lower ones are clipped."""
    highest_return: Annotated[float, "(-inf, inf)"] = 500.0
    """Discounted return of the highest bin; higher ones are clipped."""
    capacity: Annotated[int, "[1, inf)"] = 2000
    """Trials that the replay keeps."""
    epsilon: Annotated[float, "[0, inf)", Search(0.3, 1.0)] = 1.0
    """Standard deviation of exploration in the beginning, at a trial's start; each trial draws a factor, 0 to 1."""
    epsilon_at_end: Annotated[float, "[0, inf)"] = 0.8
    """Standard deviation at a trial's end, on the same schedule."""
    final_epsilon: Annotated[float, "[0, inf)"] = 0.1
    """Standard deviation of the noise after `anneal` iterations, at a trial's start."""
    final_epsilon_at_end: Annotated[float, "[0, inf)"] = 0.1
    """Standard deviation at a trial's end, on the same schedule."""
    anneal: Annotated[int, "[1, inf)", Search(20, 200, log=True)] = 40
    """Iterations over which the noise falls."""

    def __post_init__(self) -> None:
        """Checks the options.

        Raises:
            UserError: If one is outside its range, is of a transformer where there is none, or does not fit another.
        """
        super().__post_init__()
        if self.subset > self.critics:
            raise UserError(f"option subset must be at most critics, {self.critics}, not {self.subset}")
        check_transformer(self, "encoder", self.encoder)


CLONING = Config(pessimism="mean", clone_weight=1.0, ascent_weight=0.0, final_epsilon=0.05, final_epsilon_at_end=0.01)
"""Filtered cloning alone, with AMAGO-2's last noise."""
PRESETS = {
    "cpu": Config(),
    "filtered": replace(
        CLONING,
        tasks=20,
        discounts=(0.9, 0.99),
        trace=0.9,
        value_samples=2,
        sequence=64,
        gradient_steps=100,
        learning_rate=3e-3,
        lead=240,
        target_rate=0.05,
        bins=100,
        lowest_return=-2000.0,
        highest_return=2000.0,
        anneal=50,
    ),
    "transformer": Config(encoder="transformer", memory_layers=2, memory_heads=4, context=32),
    "paper": replace(
        CLONING,
        encoder="transformer",
        iterations=1000,
        tasks=24,
        memory_size=256,
        step_hidden=(512, 512),
        hidden=(256, 256),
        discounts=(0.1, 0.9, 0.95, 0.97, 0.99, 0.995, 0.999),
        critics=4,
        value_samples=3,
        bins=128,
        lowest_return=-100_000.0,
        highest_return=100_000.0,
        sequence=256,
        batch=24,
        gradient_steps=1000,
        capacity=25_000,
        trace=0.0,
        lead=0,
        warm_up=500,
        learning_rate=5e-4,
        target_rate=0.003,
        gradient_norm=1.0,
        anneal=500,
    ),
}
"""Sizes for a CPU with either loss and encoder, and those of the paper on Meta-World, but for the bins."""


class Remembered(NamedTuple):
    """The adaptation: the memory of each world's trial, and what its exploration depends on."""

    memory: Tensor
    """State of the trial's encoder, its output first. `[task, world, state]`"""
    time: Tensor
    """Steps of the trial so far. `[task, world, 1]`"""
    draw: Tensor
    """Standard normal number; its rank is a factor on the trial's noise. `[task, world, 1]`"""


class Amago:
    """Learns a policy with a memory off-policy: it climbs classifying critics, and clones what they find better."""

    configuration: ClassVar[type] = Config
    pools_worlds: ClassVar[bool] = False
    adapts_within_episode: ClassVar[bool] = True

    def __init__(self, config: Config, spaces: Spaces, seed: int, device: torch.device | str = "cpu") -> None:
        """Untrained networks, their weights drawn from `seed`."""
        self.config, self.spaces, self.device = config, spaces, torch.device(device)
        generator, size = Noise(seed, ("learner",), 1, 1).torch_generator(), config.memory_size
        sizes = size, config.memory_layers, config.memory_heads, config.context
        memory = memory_of(config.encoder, size, *sizes, generator)
        seen = spaces.observation + spaces.action + 2
        network = DiscountedActorCritic(config, seen, spaces.action, memory, generator).to(self.device)
        self.observations, self.rewards = (Normalizer(n, device=self.device) for n in (spaces.observation, 1))
        self.replay = TrialCrops(config.capacity, Sequences.width(spaces), self.device)
        self.exploration, self.network = Exploration(config), network
        self.cloning = FilteredCloning(network, config, spaces, self.replay, self._inputs, self.device)

    def begin(self, tasks: int, worlds: int, noise: Noise) -> Remembered:
        """An empty memory for each world, and the draw of its trial."""
        draw = noise.normal(1).to(self.device)
        empty = torch.zeros(tasks, worlds, self.network.memory.state_size, device=self.device)
        return Remembered(empty, torch.zeros_like(draw), draw)

    @torch.no_grad()
    def act(self, adaptation: Remembered, step: Step, noise: Tensor) -> tuple[Tensor, Remembered]:
        """Actions of the last discount's policy, with noise that falls along the trial. `[task, world, action]`."""
        memory, time, draw = adaptation
        inputs = self._inputs(step)
        state = self.network.remember(inputs.flatten(0, 1), memory.flatten(0, 1)).unflatten(0, time.shape[:2])
        action = self.exploration.action(*self.network.policy(inputs, state), noise, self.exploration.scale(time, draw))
        return action, Remembered(state, time + 1, draw)

    def adapt(self, adaptation: Remembered, rollout: Rollout, noise: Noise) -> Remembered:
        """Returns the memory unchanged, since `act` has updated it."""
        return adaptation

    def update(self, trial: Trial) -> dict[str, float]:
        """Stores the trial, then takes gradient steps on sequences drawn from the replay."""
        whole = trial.joined()
        self.replay.add(rows_of(trial))
        self.observations.include(whole.obs)
        self.rewards.include(whole.reward[~whole.diverged])
        self.exploration.count(trial)
        metrics, config = self.cloning.run(trial.noise.torch_generator()), self.config
        return with_samples(metrics, config.gradient_steps * config.batch * config.sequence)

    def state_dict(self) -> dict[str, Tensor]:
        """Encoders, actors and critics; for training also targets, optimizer and replay."""
        return state_of(self._parts())

    def load_state_dict(self, state: dict[str, Tensor]) -> None:
        """Restores a state, or the policy's part of one."""
        load_state(self._parts(), state)
        self.cloning.forget()

    def _parts(self) -> Parts:
        return {
            "network": self.network,
            "observations": self.observations,
            "rewards": self.rewards,
            "exploration": self.exploration,
            **self.cloning.parts(),
            "training/replay": self.replay,
        }

    def _inputs(self, step: Step) -> Tensor:
        """Input of the step's encoder: observation, and previous action, reward and end. `[..., obs + action + 2]`."""
        return memory_input(step, self.observations, self.rewards)
