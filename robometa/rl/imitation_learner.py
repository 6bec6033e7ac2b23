"""Learners that imitate the trials of a dataset: a memory of the trial, and a Gaussian over actions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Annotated, ClassVar

import torch
from torch import Tensor, nn

from robometa import errors
from robometa.compute.cuda_graphs import uploaded
from robometa.compute.parallel import descend, for_each_task, shares_of
from robometa.data import Rollout, Spaces, Step, Trial
from robometa.errors import Search
from robometa.nn.networks import Perceptron
from robometa.nn.normalizer import Normalizer
from robometa.nn.recurrent import memory_of
from robometa.nn.state import Parts, load_state, state_of
from robometa.noise import Noise
from robometa.rl.learning_rate import adam, decayed, set_learning_rate, steps_taken
from robometa.rl.memory_input import memory_input

CHUNK = 8
"""Trials that one thread computes together; the pieces are the same on every machine."""
MIDDLE, REACH = -1.5, 2.5
"""Log standard deviations of actions are within REACH of MIDDLE."""
PARTS = 4
"""Parts of a trial in which the error is measured."""


@dataclass(frozen=True)
class Options(errors.Options):
    """Options of the learners that imitate; the defaults are sized for a CPU."""

    iterations: Annotated[int, "[1, inf)"] = 60
    """Training iterations."""
    tasks: Annotated[int, "[1, inf)", Search(32, 256, log=True)] = 64
    """Trials that an iteration draws from the dataset."""
    worlds: Annotated[int, "[1, inf)"] = 1
    """Factor on the number of these trials."""
    shots: Annotated[int, "[0, inf)"] = 3
    """Episodes of a trial after its first, spread evenly over those of the dataset."""
    drawn_tasks: ClassVar[int] = 0
    batch: Annotated[int, "[1, inf)", Search(8, 64, log=True)] = 16
    """Trials of a gradient step."""
    gradient_steps: Annotated[int, "[1, inf)", Search(4, 64, log=True)] = 20
    """Gradient steps of an iteration."""
    learning_rate: Annotated[float, "(0, inf)", Search(3e-4, 1e-2, log=True)] = 3e-3
    """Learning rate of Adam, which falls to a tenth over the run."""
    gradient_norm: Annotated[float, "(0, inf)"] = 1.0
    """Norm to which a larger gradient is cut."""
    memory: Annotated[str, "{gru, transformer}", Search()] = "transformer"
    """The memory: transformer (causal, on the last `context` steps) or gru."""
    memory_size: Annotated[int, "[1, inf)", Search(32, 256, log=True)] = 32
    """Width of the transformer, or hidden units of the GRU."""
    memory_layers: Annotated[int, "[1, 100]"] = 2
    """Layers of the transformer."""
    memory_heads: Annotated[int, "[1, 100]"] = 4
    """Heads of each layer of the transformer, which share keys and values."""
    context: Annotated[int, "[1, 100000]"] = 400
    """Earlier steps that a layer of the transformer sees, across the ends of episodes."""
    hidden: Annotated[tuple[int, ...], "[1, inf)", Search(16, 256, log=True, depth=(1, 3))] = (64,)
    """Widths of the layers from the memory to actions, tanh."""


class Network(nn.Module):
    """A memory, and a Gaussian over actions on its output and a query."""

    def __init__(self, config: Options, inputs: int, query: int, action: int, generator: torch.Generator) -> None:
        """Untrained, for inputs of the memory and queries of so many numbers."""
        super().__init__()
        sizes = config.memory_size, config.memory_layers, config.memory_heads, config.context
        self.memory = memory_of(config.memory, inputs, *sizes, generator)
        widths = (config.memory_size + query, *config.hidden, 2 * action)
        self.head = Perceptron(widths, generator, nn.Tanh, last_limit=1e-2)

    def gaussian(self, remembered: Tensor, query: Tensor) -> tuple[Tensor, Tensor]:
        """Means and log standard deviations of actions. `[..., action]` each."""
        mean, width = self.head(torch.cat((remembered, query), dim=-1)).chunk(2, dim=-1)
        return mean, MIDDLE + REACH * torch.tanh(width)


class ImitationLearner:
    """A network, its optimizer and statistics; a subclass defines `begin`, `act`, `_sequences` and `_outputs`."""

    pools_worlds: ClassVar[bool] = False
    adapts_within_episode: ClassVar[bool] = True
    learns_offline: ClassVar[bool] = True
    sees_parameters: ClassVar[bool] = False
    trains_on_parameters: ClassVar[bool] = False

    def __init__(
        self, config: Options, spaces: Spaces, inputs: int, query: int, seed: int, device: torch.device | str
    ) -> None:
        """An untrained network, for inputs of the memory and queries of so many numbers."""
        self.config, self.spaces, self.device = config, spaces, torch.device(device)
        generator = Noise(seed, ("learner",), 1, 1).torch_generator()
        self.network = Network(config, inputs, query, spaces.action, generator).to(self.device)
        self.optimizer = adam(self.network, config.learning_rate, self.device)
        self.observations = Normalizer(spaces.observation, device=self.device)
        self.rewards = Normalizer(1, device=self.device)

    def adapt(self, adaptation: Tensor, rollout: Rollout, noise: Noise) -> Tensor:
        """Returns the adaptation unchanged, since `act` has updated it."""
        return adaptation

    def update(self, trial: Trial) -> dict[str, float]:
        """Gradient steps towards the actions of trials; a trial without an expert is its own."""
        rollout = trial.joined()
        experts = rollout.action if trial.experts is None else torch.cat(trial.experts, dim=2)
        self.observations.include(rollout.obs)
        self.rewards.include(rollout.reward[~rollout.diverged])
        generator = trial.noise.torch_generator()
        sequences = self._sequences(rollout, experts.clamp(-1.0, 1.0), generator)
        metrics = self._errors(sequences)
        self._decay()
        losses = []
        for _ in range(self.config.gradient_steps):
            rows = uploaded(torch.randperm(len(sequences[0]), generator=generator), self.device)
            losses.append(self._step([part[rows[: self.config.batch]] for part in sequences]))
        return {"loss": float(torch.stack(losses).mean()), **metrics}

    def state_dict(self) -> dict[str, Tensor]:
        """Network and statistics; for training also the parts under `training/`."""
        return state_of(self._parts())

    def load_state_dict(self, state: dict[str, Tensor]) -> None:
        """Restores a state, or the policy's part of one."""
        load_state(self._parts(), state)

    def _parts(self) -> Parts:
        return {
            "network": self.network,
            "observations": self.observations,
            "rewards": self.rewards,
            "training/optimiser": self.optimizer,
        }

    def _sequences(self, rollout: Rollout, experts: Tensor, generator: torch.Generator) -> tuple[Tensor, ...]:
        """Sequences of trials: inputs of the memory, queries, wanted actions, the expert's, and weights.

        Args:
            rollout: All episodes in a row. `[task, world, time, ...]`
            experts: `[task, world, time, action]`
            generator: Source of random numbers.

        Returns:
            `[trial, step, ...]` each; the memory's inputs may have a step less.
        """
        raise NotImplementedError

    def _outputs(self, inputs: Tensor, query: Tensor) -> tuple[Tensor, Tensor]:
        """Means and log standard deviations along sequences. `[trial, step, action]` each."""
        raise NotImplementedError

    def _row(self, step: Step) -> Tensor:
        """Observation, previous action within -1..1, reward and end. `[..., obs + action + 2]`."""
        applied = replace(step, last_action=step.last_action.clamp(-1.0, 1.0))
        return memory_input(applied, self.observations, self.rewards)

    def _rows(self, rollout: Rollout) -> Tensor:
        """Row before each action of a trial, as when acting. `[trial, time, obs + action + 2]`."""
        return self._row(rollout.seen())[:, :, :-1].flatten(0, 1)

    def _decay(self) -> None:
        """Sets the learning rate by the gradient steps taken so far."""
        rate, all_steps = self.config.learning_rate, self.config.iterations * self.config.gradient_steps
        set_learning_rate(self.optimizer, decayed(rate, rate / 10, steps_taken(self.optimizer) / all_steps))

    def _step(self, sequences: Sequence[Tensor]) -> Tensor:
        """Takes a gradient step on some trials, and returns the loss. `[trial, step, ...]`."""
        total = sequences[-1].sum().clamp(min=1.0) * self.spaces.action

        def of_piece(inputs: Tensor, query: Tensor, wanted: Tensor, _: Tensor, weight: Tensor) -> tuple[Tensor, Tensor]:
            mean, log_std = self._outputs(inputs, query)
            surprise = 0.5 * ((wanted - mean) * (-log_std).exp()).square() + log_std
            loss = (surprise * weight.unsqueeze(-1)).sum() / total
            return loss, loss.reshape(1)

        parameters = [weight for weight in self.network.parameters() if weight.requires_grad]
        loss = descend(of_piece, parameters, *(shares_of(part, CHUNK) for part in sequences))
        nn.utils.clip_grad_norm_(parameters, self.config.gradient_norm)
        self.optimizer.step()
        return loss

    def _errors(self, sequences: Sequence[Tensor]) -> dict[str, float]:
        """Mean squared error to the expert's actions in each part of the context, before the steps."""
        inputs, query, _, expert, weight = (part[: self.config.batch] for part in sequences)

        def of_piece(inputs: Tensor, query: Tensor) -> Tensor:
            with torch.no_grad():
                return self._outputs(inputs, query)[0]

        mean = torch.cat(for_each_task(of_piece, shares_of(inputs, CHUNK), shares_of(query, CHUNK)))
        error = (mean - expert).square().mean(dim=-1) * weight
        shares = [
            some.sum() / many.sum().clamp(min=1.0)
            for some, many in zip(error.tensor_split(PARTS, 1), weight.tensor_split(PARTS, 1), strict=True)
        ]
        return {f"expert_error_{part}": value for part, value in enumerate(torch.stack(shares).tolist())}
