"""An agent for Meta-World's own few-shot evaluation, `metaworld.evaluation.metalearning_evaluation`."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils._pytree import tree_map

from robometa.data import Rollout, Step
from robometa.errors import UserError
from robometa.learners.protocol import Adaptation, Learner
from robometa.noise import Noise
from robometa.trials.trial import trial_loop

Array = NDArray[Any]

ACTION = 4
SEEN = 39
"""Numbers of an observation without `recurrent_info_in_obs`; with it, the last action, its reward and its end of the
episode follow."""
REWARD = SEEN + ACTION
"""Index of that reward in an observation."""


class MetaWorldAdapter:
    """Upstream's `MetaLearningAgent` around a learner: each environment is a task with one world.

    The learner adapts to each episode as it ends, or to all of them side by side if it pools worlds. Every scored
    episode starts from the same adaptation. Upstream hands out no observation after an episode's last action; the one
    before it takes its place. Upstream hands out no rewards of scored episodes either; a learner that needs them reads
    them in the observations of environments made with `recurrent_info_in_obs=True`.
    """

    def __init__(
        self, learner: Learner, environments: int, seed: int = 0, explore: bool = False, divisor: float = 10.0
    ) -> None:
        """Begins a trial on unknown tasks.

        Args:
            learner: Acts and adapts; it is not changed.
            environments: Number of environments in upstream's vector.
            seed: Seed of the exploration.
            explore: Act with noise in scored episodes too.
            divisor: Divisor of the rewards in observations: 1 if upstream's `normalize_reward_in_recurrent_info` is
                off.
        """
        self.learner, self.explore, self.divisor = learner, explore, divisor
        self._noise = Noise(seed, ("upstream",), environments, 1)
        self._rounds = 0
        self.init()

    def init(self) -> None:
        """Begins the next trial: upstream has drawn other tasks."""
        count = self._noise.tasks
        self._source = self._noise.fork(self._rounds)
        self._rounds += 1
        self._acts = 0
        self._trial = trial_loop(self.learner, self._source, shots=None)  # upstream decides how many there are
        self._shot = next(self._trial)
        self._now: Adaptation = self._shot.adaptation
        self._last = (torch.zeros(count, 1, ACTION), torch.zeros(count, 1), torch.zeros(count, 1, dtype=torch.bool))
        self._steps: list[tuple[Tensor, ...]] = []
        self._episodes: list[Rollout] = []
        self._fresh = torch.ones(count, 1, dtype=torch.bool)
        self._keep()

    def adapt_action(self, observations: Array) -> tuple[Array, dict[str, Array]]:
        """Returns an exploring action for each environment, in an episode of the adaptation. `[environment, 4]`."""
        self._check_scale(observations)
        action = self._act(observations, explore=True)
        return action, {}

    def step(self, timestep: Any) -> None:
        """Stores a step of the adaptation, and adapts at the end of an episode.

        Raises:
            UserError: If an episode ends in some of the environments only.
        """
        action, reward = self._last[0], _column(timestep.reward)
        done = _column(timestep.terminated | timestep.truncated)
        self._last = (action, reward, done)
        self._steps.append((_seen(timestep.observation), action, reward, _column(timestep.terminated)))
        if not done.any():
            return
        if not done.all():
            raise UserError("episodes of the adaptation must end together, as upstream's do after 500 steps")
        episode = _rollout(self._steps)
        self._steps = []
        if self.learner.pools_worlds:
            self._episodes.append(episode)
        else:
            self._adapt_to(episode)

    def adapt(self) -> None:
        """Ends the adaptation, from which every scored episode starts."""
        if self._episodes:
            names = vars(self._episodes[0])
            pooled = {name: torch.cat([vars(episode)[name] for episode in self._episodes], dim=1) for name in names}
            self._adapt_to(Rollout(**pooled))
            self._episodes = []
        self._keep()

    def eval_action(self, observations: Array) -> Array:
        """Returns an action for each environment, in a scored episode. `[environment, 4]`."""
        action, reward, done = self._last
        if observations.shape[1] > SEEN:
            observed = _column(observations[:, REWARD]) * self.divisor
            self._last = (action, torch.where(self._fresh, reward, observed), done & self._fresh)
        action_to_take = self._act(observations, explore=self.explore)
        self._fresh = torch.zeros_like(self._fresh)
        return action_to_take

    def reset(self, env_mask: Array) -> None:
        """Begins a scored episode in some environments, from the adaptation as `adapt` left it. `[environment]`."""
        begins = torch.from_numpy(np.asarray(env_mask, dtype=bool)).unsqueeze(1)
        self._fresh = self._fresh | begins
        rows = begins[:, 0].to(self.learner.device)

        def put_back(now: Any, kept: Any) -> Any:
            if not isinstance(now, Tensor):
                return now
            return torch.where(rows.reshape(-1, *(1,) * (now.dim() - 1)), kept, now)

        self._now = tree_map(put_back, self._now, self._kept)
        action, reward, done = map(put_back, self._last, self._kept_last)
        self._last = (action, reward, done)

    def _act(self, observations: Array, explore: bool) -> Array:
        """Returns the learner's actions, within their bounds. `[environment, 4]`."""
        source = self._source.fork("action", self._acts)
        self._acts += 1
        noise = source.normal(ACTION) if explore else torch.zeros(*self._last[0].shape)
        device, before = self.learner.device, self._now
        with torch.no_grad():
            step = Step(_seen(observations), *self._last).to(device)
            action, self._now = self.learner.act(self._now, step, noise.to(device))
        if self._now is not before and observations.shape[1] == SEEN:
            raise UserError(
                "this learner goes on learning while it acts, and upstream hands out rewards in observations only: "
                "make the environments with recurrent_info_in_obs=True"
            )
        action = action.cpu()
        self._last = (action, *self._last[1:])
        return action[:, 0].clamp(-1.0, 1.0).numpy()

    def _adapt_to(self, rollout: Rollout) -> None:
        """Completes the trial's shot with a rollout, and takes the next."""
        self._shot.complete(rollout.to(self.learner.device), self._now)
        self._shot = next(self._trial)
        self._now = self._shot.adaptation

    def _keep(self) -> None:
        """Keeps the adaptation that every scored episode starts from."""
        self._kept, self._kept_last = self._now, self._last

    def _check_scale(self, observations: Array) -> None:
        """Compares the rewards in observations with upstream's own.

        Raises:
            UserError: If their scale does not match `divisor`.
        """
        if observations.shape[1] == SEEN or not self._steps:
            return
        observed, reward = _column(observations[:, REWARD]) * self.divisor, self._last[1]
        if not torch.allclose(observed, reward, rtol=1e-4, atol=1e-4):
            ratio = float((reward / observed * self.divisor).nanmedian())
            raise UserError(f"rewards in observations are divided by {ratio:g}, not by {self.divisor:g}: pass divisor")


def _seen(observations: Array) -> Tensor:
    """Converts upstream's observations to the learner's. `[environment, 1, 39]`."""
    return torch.from_numpy(np.asarray(observations[:, :SEEN], dtype=np.float32)).unsqueeze(1)


def _column(values: Array) -> Tensor:
    """Converts a number or flag of each environment to a tensor. `[environment, 1]`."""
    column = torch.from_numpy(np.array(values)).unsqueeze(1)
    return column if column.dtype == torch.bool else column.float()


def _rollout(steps: list[tuple[Tensor, ...]]) -> Rollout:
    """Joins the steps of an episode in every environment. `[environment, 1, time, ...]`."""
    obs, action, reward, terminated = (torch.stack(parts, dim=2) for parts in zip(*steps, strict=True))
    truncated = torch.zeros_like(terminated)
    truncated[:, :, -1] = ~terminated[:, :, -1]
    return Rollout(
        obs=obs,
        action=action,
        reward=reward,
        next_obs=torch.cat((obs[:, :, 1:], obs[:, :, -1:]), dim=2),
        terminated=terminated,
        truncated=truncated,
        success=torch.zeros_like(terminated),
        diverged=torch.zeros_like(terminated),
    )
