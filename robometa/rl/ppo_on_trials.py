"""PPO on whole trials, for learners with a memory (Duan et al. 2016, https://arxiv.org/abs/1611.02779)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, ClassVar, TypeVar

import torch
from torch import Tensor

from robometa.compute.cuda_graphs import CapturedFunction
from robometa.compute.parallel import for_each_task, shares_of
from robometa.data import Rollout, Spaces, Step, Trial
from robometa.errors import Search
from robometa.nn.actor_critic import Output
from robometa.nn.networks import normal_log_density
from robometa.nn.normalizer import Normalizer
from robometa.nn.recurrent import RecurrentActorCritic, segments_of
from robometa.nn.state import Parts
from robometa.noise import Noise
from robometa.rl import ppo
from robometa.rl.memory_input import memory_input
from robometa.rl.ppo_learner import Net, PpoLearner

Adaptation = TypeVar("Adaptation")


@dataclass(frozen=True)
class Options(ppo.Options):
    """Options of every learner that trains with PPO on whole trials."""

    tasks: Annotated[int, "[1, inf)", Search(16, 128, log=True)] = 64
    """Tasks of an iteration."""
    worlds: Annotated[int, "[1, inf)"] = 2
    """Worlds of each task; each is a separate trial."""
    shots: Annotated[int, "[0, inf)"] = 1
    """Episodes of a training trial after its first; the memory persists between them."""
    minibatches: Annotated[int, "[1, inf)", Search(2, 32, log=True)] = 8
    """Gradient steps of a pass, each on its share of the trials' segments."""
    learning_rate: Annotated[float, "(0, inf)", Search(1e-4, 3e-3, log=True)] = 1e-3
    """Learning rate of Adam."""


@dataclass(frozen=True)
class RecurrentOptions(Options):
    """Options of the learners with a recurrent policy."""

    memory: Annotated[str, "{gru, lstm}", Search()] = "gru"
    """The recurrent network: gru or lstm (the Meta-LSTM)."""
    memory_size: Annotated[int, "[1, inf)", Search(32, 256, log=True)] = 128
    """Hidden units of the GRU or LSTM."""
    backpropagation: Annotated[int, "[1, inf)", Search(50, 400, log=True)] = 100
    """Steps of backpropagation through time: minimum length of a trial's equal segments."""


class TrialLearner(PpoLearner[Net]):
    """A learner with a memory of the trial as adaptation; PPO trains its policy on whole trials."""

    pools_worlds: ClassVar[bool] = False
    adapts_within_episode: ClassVar[bool] = True

    def __init__(
        self,
        config: ppo.Options,
        network: Net,
        spaces: Spaces,
        device: torch.device | str,
        blind: tuple[int, ...] = (),
    ) -> None:
        """Like `PpoLearner`, with empty statistics of rewards."""
        super().__init__(config, network, spaces, device, blind)
        self.rewards = Normalizer(1, device=self.device)
        self.credited = CapturedFunction(credited, self.device)

    def adapt(self, adaptation: Adaptation, rollout: Rollout, noise: Noise) -> Adaptation:
        """Returns the memory unchanged, since `act` has updated it."""
        return adaptation

    def _parts(self) -> Parts:
        return {**super()._parts(), "rewards": self.rewards}

    def _include(self, rollout: Rollout) -> None:
        """Adds a trial to the statistics of observations and rewards."""
        self.observations.include(rollout.obs)
        self.rewards.include(rollout.reward[~rollout.diverged])

    def _experience(self, trial: Trial, taken: tuple[Tensor, ...], old: Output) -> ppo.Experience:
        """PPO's experience from whole trials, by `experience`."""
        return experience(trial, taken, old, self.returns, self.config, self.credited)

    def _inputs(self, step: Step) -> Tensor:
        """Input of the memory at a step. `[..., obs + action + 2]`."""
        return memory_input(step, self.observations, self.rewards)


class RecurrentLearner(TrialLearner[RecurrentActorCritic]):
    """A trial learner with the policy's recurrent state as memory. A subclass builds the network and defines `act`."""

    def __init__(
        self,
        config: ppo.Options,
        network: RecurrentActorCritic,
        spaces: Spaces,
        backpropagation: int,
        device: torch.device | str,
        blind: tuple[int, ...] = (),
    ) -> None:
        """Like `TrialLearner`; gradients reach back at least `backpropagation` steps through the memory."""
        super().__init__(config, network, spaces, device, blind)
        self.backpropagation = backpropagation

    def begin(self, tasks: int, worlds: int, noise: Noise) -> Tensor:
        """An empty memory for each world. `[task, world, state]`."""
        return torch.zeros(tasks, worlds, self.network.memory.state_size, device=self.device)

    def remember(self, adaptation: Tensor, step: Step) -> Tensor:
        """Memory after one more step; its first numbers are its output. `[task, world, state]`."""
        seen = self._inputs(step).flatten(0, 1)  # [task * world, inputs]
        return self.network.memory.step(seen, adaptation.flatten(0, 1)).reshape(adaptation.shape)

    def update(self, trial: Trial) -> dict[str, float]:
        """PPO on whole trials: later episodes credit an earlier one with what it finds out."""
        rollout = trial.joined()
        inputs = self._inputs(rollout.seen()).flatten(0, 1)  # [trial, time + 1, inputs]
        old, starts = self._read(inputs)
        whole = self._experience(trial, (inputs[:, :-1], starts), old)
        # From here on a sequence is a segment of a trial: gradients reach back to its beginning.
        segments = ppo.cut(whole, starts.shape[1])  # [trial * segment, time / segment, ...]
        metrics = self._trained_on(segments, trial.noise)
        # The statistics change last: old and new probabilities must come from the same inputs.
        self._include(rollout)
        return metrics

    def _read(self, inputs: Tensor) -> tuple[Output, Tensor]:
        """Network output along whole trials, and the memory at the start of each segment.

        Args:
            inputs: `[trial, time + 1, inputs]`

        Returns:
            Outputs `[trial, time + 1]`, and memories `[trial, segment, state]`.
        """
        count = segments_of(inputs.shape[1] - 1, self.backpropagation)

        def of_chunk(trials: Tensor) -> tuple[Tensor, ...]:
            state = trials.new_zeros(len(trials), self.network.memory.state_size)
            # The memory passes from segment to segment; the last one is the step after the trial.
            starts, outputs = [], []
            for segment in (*trials[:, :-1].chunk(count, dim=1), trials[:, -1:]):
                starts.append(state)
                with torch.no_grad():  # the switch is separate in every thread
                    output, state = self.network.read(segment, state)
                outputs.append(output)
            mean, value = (torch.cat([getattr(part, name) for part in outputs], dim=1) for name in ("mean", "value"))
            return mean, value, torch.stack(starts[:-1], dim=1)

        mean, value, starts = (
            torch.cat(parts)
            for parts in zip(*for_each_task(of_chunk, shares_of(inputs, self.config.chunk)), strict=True)
        )
        return Output(mean, self.network.log_std.detach(), value), starts


def experience(
    trial: Trial,
    taken: tuple[Tensor, ...],
    old: Output,
    returns: Normalizer,
    options: ppo.Options,
    credited: Callable[..., Tensor],
) -> ppo.Experience:
    """Builds PPO's experience from whole trials.

    Returns continue across the ends of episodes, and bootstrap at the end of the trial: otherwise nothing would credit
    exploration for a later episode. Only the first episode of each rollout counts, as in evaluation: a robot that falls
    loses the rest of the rollout, although its world begins another episode. The memory sees that episode, but PPO
    excludes it; otherwise the critic would confuse rewarded starts with unrewarded ones. Divergence of the simulation
    ends the rewarded part of a rollout, with its charge. A step that diverged by an unfit action is excluded; its
    charge counts in the returns of the steps before.

    Args:
        trial: Rollouts of the trial.
        taken: Inputs of the network for each trial. `[task * world, time or segments, ...]`
        old: Outputs of the network that acted, including after the last step. `[task * world, time + 1]`
        returns: Normalises values; updated with the new returns.
        options: Discount and lambda.
        credited: `credited` or a graph of it.
    """
    # One sequence for each world: all rollouts of the trial in a row. [trial, time, ...]
    whole = trial.joined()
    action, actionless = whole.action.flatten(0, 1), whole.actionless().flatten(0, 1)
    # Steps that count, and whether the last of them is followed by more.
    counted = torch.cat([rollout.first_episode() for rollout in trial.rollouts], dim=2).flatten(0, 1)
    goes_on = counted[:, -1] & ~whole.terminated[:, :, -1].flatten()
    value = returns.undo(old.value)
    advantage = credited(whole.reward.flatten(0, 1), value, counted, goes_on, options.discount, options.gae_lambda)
    # Targets of the critic, in its own units.
    target = advantage + value[:, :-1]
    sound = counted & ~actionless
    returns.include(target[sound])
    return ppo.Experience(
        inputs=taken,
        action=action,
        log_density=normal_log_density(action, old.mean[:, :-1], old.log_std),
        advantage=(advantage - advantage[sound].mean()) / (advantage[sound].std() + 1e-8),
        target=returns(target),
        weight=None if bool(sound.all()) else sound / sound.to(advantage).mean(),
    )


def credited(
    reward: Tensor,
    value: Tensor,
    counted: Tensor,
    goes_on: Tensor,
    discount: float,
    gae_lambda: float,
) -> Tensor:
    """Generalised advantage estimates along trials, over the steps that count.

    delta_t = r_t + discount^n * V_s - V_t and A_t = delta_t + discount^n * gae_lambda * A_s, where s is the next step
    that counts, n steps later: the others only discount.

    Args:
        reward: `[trial, time]`
        value: Predicted return before each action, and after the last. `[trial, time + 1]`
        counted: Mask of the steps that count. `[trial, time]`, bool
        goes_on: True to bootstrap at the end of the trial. `[trial]`, bool
        discount: Per step, in (0, 1].
        gae_lambda: In 0..1.

    Returns:
        0 for steps that do not count. `[trial, time]`
    """
    result = torch.empty_like(reward)
    running, ahead = torch.zeros_like(reward[:, 0]), torch.where(goes_on, value[:, -1], 0.0)
    # Backwards in time; where a step does not count, only the discount applies.
    for time in reversed(range(reward.shape[1])):
        counts, here = counted[:, time], value[:, time]
        delta = reward[:, time] + discount * ahead - here
        running = torch.where(counts, delta + discount * gae_lambda * running, discount * running)
        ahead = torch.where(counts, here, discount * ahead)
        result[:, time] = running
    return result * counted
