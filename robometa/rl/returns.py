"""Returns, baselines and advantages."""

from __future__ import annotations

import torch
from torch import Tensor


def discounted_returns(reward: Tensor, done: Tensor, discount: float) -> Tensor:
    """Discounted sum of the rewards from each step to the end of its episode.

    R_t = r_t + discount * R_{t+1}, and R_t = r_t where the step ended the episode.

    Args:
        reward: `[task, world, time]`
        done: True where the step ended an episode. `[task, world, time]`
        discount: Per step, in 0..1.

    Returns:
        `[task, world, time]`
    """
    # Backwards in time: nothing is carried over an episode's end.
    result = torch.empty_like(reward)
    running = torch.zeros_like(reward[..., 0])
    carry = discount * (~done).to(reward.dtype)
    for time in reversed(range(reward.shape[-1])):
        running = reward[..., time] + carry[..., time] * running
        result[..., time] = running
    return result


def linear_baseline(obs: Tensor, target: Tensor, ridge: float = 1e-5, left_out: Tensor | None = None) -> Tensor:
    """Predictions of a linear function of (o, o^2, t, t^2, t^3, 1), fitted to each task's targets.

    Solved in float64 with a ridge: the normal equations are singular where two features are equal or episodes few.

    Args:
        obs: Clipped to -10..10. `[task, world, time, obs]`
        target: Returns. `[task, world, time]`
        ridge: Added to the diagonal, relative to the number of samples.
        left_out: Steps that it is not fitted to, if any. `[task, world, time]`, bool

    Returns:
        `[task, world, time]` Source: Duan et al. 2016, https://arxiv.org/abs/1604.06778, appendix.
    """
    # Features of an observation and of time, in units of 100 steps.
    tasks, worlds, horizon, _ = obs.shape
    seen = obs.clamp(-10, 10)
    time = (torch.arange(horizon, dtype=obs.dtype, device=obs.device) / 100).expand(tasks, worlds, -1).unsqueeze(-1)
    feature = torch.cat((seen, seen**2, time, time**2, time**3, torch.ones_like(time)), dim=-1)
    feature = feature.reshape(tasks, worlds * horizon, -1).double()  # [task, sample, feature]
    # Normal equations with a ridge, for each task. [task, feature, feature]
    wanted = target.reshape(tasks, -1, 1).double()
    fitted = feature if left_out is None else feature * ~left_out.reshape(tasks, -1, 1)
    square = fitted.mT @ fitted
    square.diagonal(dim1=-2, dim2=-1).add_(ridge * worlds * horizon)
    weight = torch.linalg.solve(square, fitted.mT @ wanted)
    return (feature @ weight).reshape(target.shape).to(target.dtype)


def advantages(
    reward: Tensor,
    value: Tensor,
    next_value: Tensor,
    terminated: Tensor,
    truncated: Tensor,
    discount: float,
    gae_lambda: float,
    left_out: Tensor | None = None,
) -> Tensor:
    """Generalised advantage estimates, with mean 0 and standard deviation 1 within each task. `[task, world, time]`."""
    plain = generalised_advantages(reward, value, next_value, terminated, truncated, discount, gae_lambda)
    return normalized(plain, left_out)


def generalised_advantages(
    reward: Tensor,
    value: Tensor,
    next_value: Tensor,
    terminated: Tensor,
    truncated: Tensor,
    discount: float,
    gae_lambda: float,
) -> Tensor:
    """Generalised advantage estimates, not standardised.

    A_t = delta_t + discount * gae_lambda * A_{t+1}, delta_t = r_t + discount * V(next)_t - V_t;
    nothing after a termination counts, and a truncation bootstraps. Divergence of the simulation
    is a termination, with the charge as reward.

    Args:
        reward: Reward of each action. `[task, world, time]`
        value: Predicted return before each action. `[task, world, time]`
        next_value: Predicted return of what each action led to, before any reset. `[task, world, time]`
        terminated: `[task, world, time]`
        truncated: `[task, world, time]`
        discount: Per step, in (0, 1].
        gae_lambda: In 0..1.

    Returns:
        `[task, world, time]`

    Raises:
        ValueError: If `discount` is outside (0, 1] or `gae_lambda` outside [0, 1]. Source: Schulman et al. 2016,
            https://arxiv.org/abs/1506.02438, eq. 16.
    """
    if not 0 < discount <= 1 or not 0 <= gae_lambda <= 1:
        raise ValueError(f"discount must be in (0, 1] and gae_lambda in [0, 1], not {discount} and {gae_lambda}")
    # One-step errors; no bootstrap after a termination.
    delta = reward + discount * (~terminated).to(reward.dtype) * next_value - value
    carry = discount * gae_lambda * (~(terminated | truncated)).to(reward.dtype)
    result = torch.empty_like(reward)
    # Backwards in time: A_t = delta_t + carry_t * A_{t+1}.
    running = torch.zeros_like(reward[..., 0])
    for time in reversed(range(reward.shape[-1])):
        running = delta[..., time] + carry[..., time] * running
        result[..., time] = running
    return result


def normalized(value: Tensor, left_out: Tensor | None = None) -> Tensor:
    """Standardises values within each task; 0 at steps that are left out. `[task, ...]`."""
    if left_out is not None:
        parts = zip(value, left_out, strict=True)
        return torch.stack([torch.zeros_like(part).masked_scatter(~out, _counted(part[~out])) for part, out in parts])
    flat = value.flatten(1)
    shape = (-1, *(1 for _ in value.shape[1:]))
    return (value - flat.mean(dim=1).reshape(shape)) / (flat.std(dim=1, correction=0).reshape(shape) + 1e-8)


def _counted(values: Tensor) -> Tensor:
    """Standardises the values of one task, possibly none. `[n]`."""
    return normalized(values.unsqueeze(0))[0] if len(values) else values
