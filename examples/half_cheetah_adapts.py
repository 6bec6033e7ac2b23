"""Lets a shipped policy adapt after ten episodes: MAML-TRPO finds out in which direction it is to run."""

from __future__ import annotations

from typing import Any

import gymnasium
import numpy as np

import robometa

EPISODES = 10
"""Exploring episodes before the adaptation: with 5 of them it fails for most seeds."""


def episode(env: Any, policy: robometa.Policy, direction: float, before: tuple[Any, Any], sample: bool) -> Any:
    """Runs an episode; returns its return, the last observation, and the last action's reward and end."""
    obs, _ = env.reset()
    (reward, done), total = before, 0.0
    while True:
        action = policy.act(np.roll(obs, -1), reward, done, sample=sample)
        obs, _, terminated, truncated, info = env.step(action)
        reward = direction * info["x_velocity"] - 0.05 * np.square(action).sum()
        done = terminated or truncated
        total += reward
        if done:
            return total, np.roll(obs, -1), (reward, done)


def run(policy: robometa.Policy, direction: float, seed: int = 0) -> tuple[float, float]:
    """Mean return of exploring episodes, and the return of an episode after the adaptation to them."""
    env = gymnasium.make("HalfCheetah-v5", max_episode_steps=200, exclude_current_positions_from_observation=False)
    env.reset(seed=seed)
    policy.reset(seed=seed)
    outcome, returns = (None, None), []
    for _ in range(EPISODES):
        total, last_obs, outcome = episode(env, policy, direction, outcome, sample=True)
        returns.append(total)
    policy.adapt(last_obs, *outcome)
    after, _, _ = episode(env, policy, direction, (None, None), sample=False)
    env.close()
    return float(np.mean(returns)), after


if __name__ == "__main__":
    trained = robometa.load("policies/half-cheetah-direction-maml-trpo")
    for direction, word in ((1, "forward"), (-1, "backward")):
        before, after = run(trained, direction)
        print(f"{word}: return {before:.1f} exploring, {after:.1f} after the adaptation")
