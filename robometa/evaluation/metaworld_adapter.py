"""A learner in Meta-World's own few-shot evaluation: what `metaworld.evaluation.metalearning_evaluation` asks for."""

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

Array = NDArray[Any]

ACTION = 4
SEEN = 39
"""Numbers of an observation; with what a memory needs it ends with the last action, its reward and whether it ended
the episode."""
PAID = SEEN + ACTION
"""Where the reward then stands."""


class MetaWorldAdapter:
    """Upstream's `MetaLearningAgent` around a learner: each environment is a task with one world.

    Episodes of the adaptation are learned from one by one, or side by side at its end if the learner pools them. Every
    scored episode goes out from the same adaptation. Upstream tells neither what an episode's last action led to, for
    which the observation before it stands in, nor what scored episodes pay; a learner that needs to know that is told
    by observations, from environments made with `recurrent_info_in_obs=True`.
    """

    def __init__(
        self, learner: Learner, environments: int, seed: int = 0, explore: bool = False, divisor: float = 10.0
    ) -> None:
        """Nothing is known of the tasks.

        Args:
            learner: Acts and adapts; it is not changed.
            environments: How many there are in upstream's vector.
            seed: Of exploration.
            explore: Whether scored episodes are acted in with noise.
            divisor: Of the rewards in observations: 1 if upstream's `normalize_reward_in_recurrent_info` is off.
        """
        self.learner, self.explore, self.divisor = learner, explore, divisor
        self._noise = Noise(seed, ("upstream",), environments, 1)
        self._rounds = 0
        self.init()

    def init(self) -> None:
        """Forgets the tasks: others have been drawn."""
        count = self._noise.tasks
        self._source = self._noise.fork(self._rounds)
        self._rounds += 1
        self._acts = self._adaptations = 0
        self._now: Adaptation = self.learner.begin(count, 1, self._source.fork("begin"))
        self._last = (torch.zeros(count, 1, ACTION), torch.zeros(count, 1), torch.zeros(count, 1, dtype=torch.bool))
        self._steps: list[tuple[Tensor, ...]] = []
        self._episodes: list[Rollout] = []
        self._fresh = torch.ones(count, 1, dtype=torch.bool)
        self._keep()

    def adapt_action(self, observations: Array) -> tuple[Array, dict[str, Array]]:
        """An exploring action for each environment, in an episode of the adaptation. `[environment, 4]`"""
        self._check_paid(observations)
        action = self._act(observations, explore=True)
        return action, {}

    def step(self, timestep: Any) -> None:
        """Remembers what an action of the adaptation led to.

        Raises: UserError: If an episode ends in some of the environments only.
        """
        action, paid = self._last[0], _column(timestep.reward)
        done = _column(timestep.terminated | timestep.truncated)
        self._last = (action, paid, done)
        self._steps.append((_seen(timestep.observation), action, paid, _column(timestep.terminated)))
        if not done.any():
            return
        if not done.all():
            raise UserError("episodes of the adaptation must end together, as upstream's do after 500 steps")
        episode = _rollout(self._steps)
        self._steps = []
        if self.learner.pools_worlds:
            self._episodes.append(episode)
        else:
            self._learn_from(episode)

    def adapt(self) -> None:
        """Ends a round of adaptation; scored episodes go out from here."""
        if self._episodes:
            names = vars(self._episodes[0])
            pooled = {name: torch.cat([vars(episode)[name] for episode in self._episodes], dim=1) for name in names}
            self._learn_from(Rollout(**pooled))
            self._episodes = []
        self._keep()

    def eval_action(self, observations: Array) -> Array:
        """An action for each environment, in an episode that is scored. `[environment, 4]`"""
        action, paid, done = self._last
        told = observations.shape[1] > SEEN
        if told:
            within = ~self._fresh
            paid = torch.where(within, _column(observations[:, PAID]) * self.divisor, paid)
            self._last = (action, paid, done & self._fresh)
        chosen = self._act(observations, explore=self.explore)
        self._fresh = torch.zeros_like(self._fresh)
        return chosen

    def reset(self, env_mask: Array) -> None:
        """Begins a scored episode in some environments: whatever was seen since the adaptation. `[environment]`"""
        begins = torch.from_numpy(np.asarray(env_mask, dtype=bool)).unsqueeze(1)
        self._fresh = self._fresh | begins
        rows = begins[:, 0].to(self.learner.device)

        def put_back(now: Any, kept: Any) -> Any:
            if not isinstance(now, Tensor):
                return now
            return torch.where(rows.reshape(-1, *(1,) * (now.dim() - 1)), kept, now)

        self._now = tree_map(put_back, self._now, self._kept)
        action, paid, done = map(put_back, self._last, self._kept_last)
        self._last = (action, paid, done)

    def _act(self, observations: Array, explore: bool) -> Array:
        """The learner's actions, within their bounds. `[environment, 4]`"""
        source = self._source.fork("action", self._acts)
        self._acts += 1
        noise = source.normal(ACTION) if explore else torch.zeros(*self._last[0].shape)
        device, before = self.learner.device, self._now
        with torch.no_grad():
            step = Step(_seen(observations), *self._last).to(device)
            action, self._now = self.learner.act(self._now, step, noise.to(device))
        if self._now is not before and observations.shape[1] == SEEN:
            raise UserError(
                "this learner goes on learning while it acts, and upstream tells what was paid in observations only: "
                "make the environments with recurrent_info_in_obs=True"
            )
        action = action.cpu()
        self._last = (action, *self._last[1:])
        return action[:, 0].clamp(-1.0, 1.0).numpy()

    def _learn_from(self, rollout: Rollout) -> None:
        source = self._source.fork("adapt", self._adaptations)
        self._adaptations += 1
        worlds = rollout.reward.shape[1]
        source = Noise(source.seed, source.purpose, source.tasks, worlds)
        self._now = self.learner.adapt(self._now, rollout.to(self.learner.device), source)

    def _keep(self) -> None:
        """Remembers the adaptation, from which every scored episode goes out."""
        self._kept, self._kept_last = self._now, self._last

    def _check_paid(self, observations: Array) -> None:
        """Raises: UserError: If observations tell of rewards on another scale than was said."""
        if observations.shape[1] == SEEN or not self._steps:
            return
        told, paid = _column(observations[:, PAID]) * self.divisor, self._last[1]
        if not torch.allclose(told, paid, rtol=1e-4, atol=1e-4):
            ratio = float((paid / told * self.divisor).nanmedian())
            raise UserError(f"observations tell of rewards divided by {ratio:g}, not by {self.divisor:g}: pass divisor")


def _seen(observations: Array) -> Tensor:
    """What the learner sees. `[environment, 1, 39]`"""
    return torch.from_numpy(np.asarray(observations[:, :SEEN], dtype=np.float32)).unsqueeze(1)


def _column(values: Array) -> Tensor:
    """A number of each environment. `[environment, 1]`"""
    found = torch.from_numpy(np.array(values)).unsqueeze(1)
    return found if found.dtype == torch.bool else found.float()


def _rollout(steps: list[tuple[Tensor, ...]]) -> Rollout:
    """An episode in every environment. `[environment, 1, time, ...]`"""
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
