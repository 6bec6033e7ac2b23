"""Learners that are shown what tasks hide in training, and estimate it from their last steps in acting."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, ClassVar

import torch
from torch import Tensor

from robometa.compute.cuda_graphs import uploaded
from robometa.compute.parallel import descend, for_each_task, shares_of
from robometa.data import Rollout, Spaces, Step
from robometa.errors import Search, UserError
from robometa.nn.history import LEAST, HistoryEncoder, appended, histories
from robometa.nn.normalizer import Normalizer
from robometa.nn.state import Parts
from robometa.noise import Noise
from robometa.rl import ppo
from robometa.rl.learning_rate import adam, captured_steps
from robometa.rl.ppo_learner import Net, PpoLearner

CHUNK = 128
"""Histories that one thread computes together; the pieces are the same on every machine."""
MEASURED = 1024
"""Histories on which the error of an iteration's estimates is measured."""


@dataclass(frozen=True)
class Options(ppo.Options):
    """Options of the learners with an adaptation module; the defaults are sized for a CPU."""

    tasks: Annotated[int, "[1, inf)", Search(64, 512, log=True)] = 256
    """Tasks of an iteration; a module that learns from few of them learns these by heart."""
    worlds: Annotated[int, "[1, inf)"] = 1
    """Worlds of each task; each is a separate trial."""
    shots: Annotated[int, "[0, inf)"] = 0
    """Episodes of a training trial after its first; the history persists between them."""
    minibatches: Annotated[int, "[1, inf)", Search(4, 32, log=True)] = 16
    """Gradient steps of a pass, each on its share of the experience."""
    learning_rate: Annotated[float, "(0, inf)", Search(1e-4, 3e-3, log=True)] = 1e-3
    """Learning rate of Adam, for policy and values."""
    drawn_tasks: Annotated[int, "[0, inf)"] = 1000
    """Tasks to train on, drawn from the suite's distributions if it has any; 0 uses the listed tasks. Given the hidden
    parameters, a policy overfits to a short list."""
    hidden: Annotated[tuple[int, ...], "[1, inf)", Search(16, 256, log=True, depth=(1, 3))] = (128, 128)
    """Widths of the hidden layers of policy and values, tanh."""
    history: Annotated[int, f"[{LEAST}, 1000]", Search(40, 100)] = 50
    """Last steps that the adaptation module reads, across the ends of episodes."""
    reward_input: bool = False
    """Let the adaptation module read rewards, too: needed where tasks differ in their reward, not in their dynamics."""
    module_learning_rate: Annotated[float, "(0, inf)", Search(1e-4, 3e-3, log=True)] = 5e-4
    """Learning rate of Adam, for the adaptation module."""
    module_steps: Annotated[int, "[1, inf)", Search(5, 80, log=True)] = 20
    """Gradient steps of the adaptation module in an iteration that trains it."""
    module_batch: Annotated[int, "[1, inf)"] = 512
    """Histories of each of these steps, drawn from the iteration's trials."""


class HistoryLearner(PpoLearner[Net]):
    """A learner with a history as adaptation, which a module estimates hidden numbers from.

    A subclass defines `act` and `update`.
    """

    pools_worlds: ClassVar[bool] = False
    trains_on_parameters: ClassVar[bool] = True
    adapts_within_episode: ClassVar[bool] = True
    config: Options

    def __init__(
        self,
        config: Options,
        network: Net,
        estimates: int,
        spaces: Spaces,
        generator: torch.Generator,
        device: torch.device | str,
    ) -> None:
        """Like `PpoLearner`, with a module that estimates so many numbers, its weights from the generator."""
        super().__init__(config, network, spaces, device)
        self.spaces = spaces
        self.parameters = Normalizer(len(spaces.privileged), device=self.device)
        self.rewards = Normalizer(1, device=self.device)
        self.inputs = spaces.observation + spaces.action + 1 + config.reward_input
        self.module = HistoryEncoder(self.inputs, config.history, estimates, generator).to(self.device)
        self.module_optimizer = adam(self.module, config.module_learning_rate, self.device)
        self.captured_module = captured_steps(self._module_step, self.module, self.module_optimizer, 1, self.device)

    def begin(self, tasks: int, worlds: int, noise: Noise) -> Tensor:
        """An empty history for each world. `[task, world, step, input]`."""
        return torch.zeros(tasks, worlds, self.config.history, self.inputs, device=self.device)

    def adapt(self, adaptation: Tensor, rollout: Rollout, noise: Noise) -> Tensor:
        """Returns the history unchanged, since `act` has appended every step."""
        return adaptation

    def estimate(self, history: Tensor) -> Tensor:
        """Estimates from histories. `[n, step, input] -> [n, estimate]`."""
        return self.module(history)

    def _remembered(self, history: Tensor, step: Step) -> tuple[Tensor, Tensor]:
        """History after one more step, and the estimate from it. `[task, world, ...]`."""
        history = appended(history, self._row(step))
        return history, self.estimate(history.flatten(0, 1)).unflatten(0, history.shape[:2])

    def _row(self, step: Step) -> Tensor:
        """A step of the history: observation, previous action and end, and perhaps reward. `[..., input]`."""
        obs = self.observations(step.obs[..., : self.spaces.observation])
        parts = [obs, step.last_action, step.last_done.unsqueeze(-1).float()]
        if self.config.reward_input:
            parts.append(self.rewards(step.last_reward.unsqueeze(-1)))
        return torch.cat(parts, dim=-1)

    def _told(self, obs: Tensor) -> Tensor:
        """Normalised observation of training, the hidden numbers at its end. `[..., obs + hidden]`."""
        size = self.spaces.observation
        return torch.cat((self.observations(obs[..., :size]), self.parameters(obs[..., size:])), dim=-1)

    def _parts(self) -> Parts:
        return {
            **super()._parts(),
            "parameters": self.parameters,
            "rewards": self.rewards,
            "module": self.module,
            "training/module_optimiser": self.module_optimizer,
        }

    def _include(self, rollout: Rollout) -> None:
        """Adds a trial to the statistics of observations, hidden numbers and rewards."""
        size = self.spaces.observation
        self.observations.include(rollout.obs[..., :size])
        self.parameters.include(rollout.obs[..., size:])
        self.rewards.include(rollout.reward[~rollout.diverged])

    def _histories(self, rollout: Rollout) -> Tensor:
        """History before each action of a trial, as when it acted. `[trial, time, step, input]`."""
        rows = self._row(rollout.seen())[:, :, :-1].flatten(0, 1)
        return histories(rows, self.config.history)

    def _fit(self, rollout: Rollout, wanted: Tensor, noise: Noise, *, steps: int) -> dict[str, float]:
        """Takes gradient steps of the module towards the wanted estimates, and returns metrics.

        Args:
            rollout: The trial.
            wanted: `[task, world, time, estimate]`
            noise: Source of the histories that are drawn.
            steps: Gradient steps; 0 only measures.

        Returns:
            `estimate_error`, the mean squared error on new experience before the steps, and `constant_error`, that of
            the best constant.
        """
        # A trial with a step that diverged is left out, because no task explains it.
        sound = ~rollout.diverged.flatten(0, 1).any(dim=1)
        seen, wanted = self._histories(rollout)[sound], wanted.flatten(0, 1)[sound]
        if not len(seen):
            return {"estimate_error": 0.0, "constant_error": 0.0}
        generator, (trials, time) = noise.torch_generator(), wanted.shape[:2]

        def drawn(count: int) -> tuple[Tensor, Tensor]:
            trial, moment = (
                uploaded(torch.randint(most, (count,), generator=generator), self.device) for most in (trials, time)
            )
            return seen[trial, moment], wanted[trial, moment]

        history, goal = drawn(MEASURED)
        error = (self._estimates(history) - goal).square().mean()
        constant = (goal - goal.mean(dim=0)).square().mean()
        rows = [drawn(self.config.module_batch) for _ in range(steps)]
        if rows and self.captured_module is not None:
            self.captured_module.run([[torch.stack(part) for part in zip(*rows, strict=True)]], steps)
        else:
            for row in rows:
                self._module_step(*row)
        measured = torch.stack((error, constant)).tolist()
        return dict(zip(("estimate_error", "constant_error"), measured, strict=True))

    def _module_samples(self, rollout: Rollout, steps: int) -> int:
        """Gradient samples of `_fit`."""
        return 0 if bool(rollout.diverged.flatten(0, 1).any(dim=1).all()) else steps * self.config.module_batch

    def _estimates(self, history: Tensor) -> Tensor:
        """Estimates without gradients, computed in chunks. `[n, step, input] -> [n, estimate]`."""

        def of_piece(piece: Tensor) -> Tensor:
            with torch.no_grad():
                return self.estimate(piece)

        return torch.cat(for_each_task(of_piece, shares_of(history, CHUNK)))

    def _module_step(self, history: Tensor, wanted: Tensor) -> Tensor:
        """Takes one gradient step of the module and returns its loss. `[n, step, input], [n, estimate] -> [1]`."""

        def of_piece(history: Tensor, goal: Tensor) -> tuple[Tensor, Tensor]:
            loss = (self.estimate(history) - goal).square().sum() / wanted.numel()
            return loss, loss.reshape(1)

        pieces = (shares_of(part, CHUNK) for part in (history, wanted))
        loss = descend(of_piece, list(self.module.parameters()), *pieces)
        self.module_optimizer.step()
        return loss


def require_privileged(spaces: Spaces, name: str) -> None:
    """Checks that the tasks hide numbers.

    Raises:
        UserError: If they hide none.
    """
    if not spaces.privileged:
        raise UserError(f"{name} needs a suite whose training tasks differ in numbers that it can be shown in training")
