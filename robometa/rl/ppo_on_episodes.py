"""PPO experience from whole episodes of a policy without memory."""

from __future__ import annotations

from robometa.data import Rollout
from robometa.nn.actor_critic import Network
from robometa.nn.networks import normal_log_density
from robometa.nn.normalizer import Normalizer
from robometa.rl import ppo
from robometa.rl.returns import generalised_advantages


def experience(
    network: Network, rollout: Rollout, observations: Normalizer, returns: Normalizer, options: ppo.Options
) -> ppo.Experience:
    """Builds PPO's experience from a rollout of independent episodes.

    A termination has no bootstrap value; a time limit bootstraps. Divergence of the simulation is a termination. A step
    that diverged by what was no action is excluded; its charge counts in the returns of the steps before.

    Args:
        network: Network that acted.
        rollout: Rollout of that network.
        observations: Normalises observations.
        returns: Normalises values; updated with the new returns.
        options: Discount and lambda.
    """
    obs, action = observations(rollout.obs).flatten(0, 1), rollout.action.flatten(0, 1)  # [task * world, time, ...]
    # The values of the network that acted, in units of returns. [task, world, time]
    old = ppo.outputs(network, obs)
    value = returns.undo(old.value).unflatten(0, rollout.reward.shape[:2])
    left_out = rollout.left_out()
    # Bootstrap values: of what each action led to, before any reset.
    following = ppo.outputs(network, observations(rollout.next_obs).flatten(0, 1)).value
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
    # Steps are independent for a network without memory: short pieces mix well.
    return ppo.shortened(learned)
