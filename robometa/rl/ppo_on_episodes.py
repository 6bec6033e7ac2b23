"""What PPO learns from whole episodes of a policy without memory."""

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
    """What PPO learns from a rollout whose episodes each stand for themselves.

    Nothing follows a termination; where the time limit cut an episode its value goes on, and so it does where the
    simulation diverged: that step itself is not learned from.

    Args:
        network: The one that acted.
        rollout: Its experience.
        observations: What the network sees goes through it.
        returns: What the network's values stand for; takes in the returns found here.
        options: Discount and lambda.
    """
    obs, action = observations(rollout.obs).flatten(0, 1), rollout.action.flatten(0, 1)  # [task * world, time, ...]
    # The values of the network that acted, in units of returns. [task, world, time]
    old = ppo.outputs(network, obs)
    value = returns.undo(old.value).unflatten(0, rollout.reward.shape[:2])
    diverged = rollout.blown_up()
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
        diverged,
    )
    # Steps that diverged count in no statistic.
    target = advantage + value
    counted = slice(None) if diverged is None else ~diverged
    returns.include(target[counted])
    learned = ppo.Experience(
        inputs=(obs,),
        action=action,
        log_density=normal_log_density(action, old.mean, old.log_std),
        advantage=((advantage - advantage[counted].mean()) / (advantage[counted].std() + 1e-8)).flatten(0, 1),
        target=returns(target).flatten(0, 1),
        weight=None if diverged is None else (~diverged).to(advantage).flatten(0, 1),
    )
    # What is learned of a step does not depend on those around it: short pieces mix well.
    return ppo.shortened(learned)
