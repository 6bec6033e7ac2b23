"""PPO on whole episodes, for policies without memory."""

from __future__ import annotations

from collections.abc import Callable
from typing import ClassVar

import torch
from torch import Tensor

from robometa.data import Rollout, Spaces, Step, Trial
from robometa.nn.actor_critic import ActorCritic, Network
from robometa.nn.networks import normal_log_density
from robometa.nn.normalizer import Normalizer
from robometa.noise import Noise
from robometa.rl import ppo
from robometa.rl.ppo_learner import PpoLearner
from robometa.rl.returns import generalised_advantages


class EpisodeLearner(PpoLearner[Network]):
    """A learner that trains a policy without memory with PPO, on independent episodes."""

    def __init__(
        self,
        config: ppo.Options,
        hidden: tuple[int, ...],
        spaces: Spaces,
        seed: int,
        device: torch.device | str,
        networks: Callable[[torch.Generator], Network] | None = None,
    ) -> None:
        """Draws the networks' weights from `seed`.

        Args:
            config: Options of the learner.
            hidden: Widths of the hidden layers of policy and value.
            spaces: Sizes of observations and actions.
            seed: Seed of the weights.
            device: Device of the learner.
            networks: Makes policy and value from a generator, if they are not those on all of an observation.
        """
        generator = Noise(seed, ("learner",), 1, 1).torch_generator()
        if networks is None:
            network = Network(spaces.observation, spaces.action, hidden, config.initial_std, generator)
        else:
            network = networks(generator)
        super().__init__(config, network, spaces, device)

    def _trained(self, rollout: Rollout, noise: Noise) -> dict[str, float]:
        """Trains on all episodes of all tasks alike, and returns metrics."""
        # Advantages and targets, then PPO's steps, then the statistics that the inputs go through.
        learned = experience(self.network, rollout, self.observations, self.returns, self.config)
        metrics = self._trained_on(learned, noise)
        self.observations.include(rollout.obs)
        return metrics


class OnePolicy(EpisodeLearner):
    """A learner of one policy for all tasks; its adaptation is None."""

    pools_worlds: ClassVar[bool] = False

    def begin(self, tasks: int, worlds: int, noise: Noise) -> None:
        """Returns no adaptation."""

    @torch.no_grad()
    def act(self, adaptation: None, step: Step, noise: Tensor) -> tuple[Tensor, None]:
        """Actions of the one policy. `[task, world, action]`."""
        known = self.network.known(self.observations(step.obs))
        mean, log_std = self.network.policy.distribution(self.network.actor, known)
        return mean + log_std.exp() * noise, adaptation

    def adapt(self, adaptation: None, rollout: Rollout, noise: Noise) -> None:
        """Changes nothing."""

    def update(self, trial: Trial) -> dict[str, float]:
        """PPO on all episodes of all tasks alike."""
        return self._trained(trial.joined(), trial.noise)


def experience(
    network: ActorCritic,
    rollout: Rollout,
    observations: Callable[[Tensor], Tensor],
    returns: Normalizer,
    options: ppo.Options,
) -> ppo.Experience:
    """Builds PPO's experience from a rollout of independent episodes.

    A termination has no bootstrap value; a time limit bootstraps. Divergence of the simulation is a termination. A step
    that diverged by an unfit action is excluded; its charge counts in the returns of the steps before.

    Args:
        network: Network that acted.
        rollout: Rollout of that network.
        observations: Normalises observations.
        returns: Normalises values; updated with the new returns.
        options: Discount and lambda.
    """
    obs, action = observations(rollout.obs).flatten(0, 1), rollout.action.flatten(0, 1)  # [task * world, time, ...]
    # The values of the network that acted, in units of returns. [task, world, time]
    old = ppo.outputs(network, obs, options.chunk)
    value = returns.undo(old.value).unflatten(0, rollout.reward.shape[:2])
    left_out = rollout.left_out()
    # Bootstrap values: of what each action led to, before any reset.
    following = ppo.outputs(network, observations(rollout.next_obs).flatten(0, 1), options.chunk).value
    advantage = generalised_advantages(
        rollout.reward,
        value,
        returns.undo(following).unflatten(0, rollout.reward.shape[:2]),
        rollout.terminated,
        rollout.truncated,
        options.discount,
        options.gae_lambda,
    )
    # Steps that are left out count in no statistic.
    target = advantage + value
    counted = slice(None) if left_out is None else ~left_out
    returns.include(target[counted])
    learned = ppo.Experience(
        inputs=(obs,),
        action=action,
        log_density=normal_log_density(action, old.mean, old.log_std),
        advantage=((advantage - advantage[counted].mean()) / (advantage[counted].std() + 1e-8)).flatten(0, 1),
        target=returns(target).flatten(0, 1),
        weight=None if left_out is None else (~left_out).to(advantage).flatten(0, 1),
    )
    # Steps are independent for a network without memory: short segments mix well.
    return ppo.shortened(learned)
