"""Drives Gymnasium's own HalfCheetah-v5 with a shipped policy, which has to find out the speed that is asked for."""

from __future__ import annotations

import gymnasium
import numpy as np

import robometa


def run(policy: robometa.Policy, speed: float, seed: int = 0) -> float:
    """One episode of 200 steps at a speed that only the reward knows, m/s; returns its return."""
    env = gymnasium.make("HalfCheetah-v5", exclude_current_positions_from_observation=False)
    obs, _ = env.reset(seed=seed)
    policy.reset(seed=seed)
    reward, total = None, 0.0
    for _ in range(200):
        action = policy.act(np.roll(obs, -1), reward)  # the suite has the torso's x last, Gymnasium has it first
        obs, _, _, _, info = env.step(action)
        reward = -abs(info["x_velocity"] - speed) - 0.05 * np.square(action).sum()
        total += reward
    env.close()
    return total


if __name__ == "__main__":
    trained = robometa.load("policies/half-cheetah-velocity-rl2")
    print(trained.spaces)
    for speed in (0.5, 1.5, 2.5):
        print(f"{speed} m/s: return {run(trained, speed):.1f}")
