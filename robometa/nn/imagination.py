"""Action sequences played in learned models: what a plan is expected to earn."""

from __future__ import annotations

import torch
from torch import Tensor

from robometa.nn.dynamics_model import DynamicsModel, joined_from, split_over


def imagined(
    model: DynamicsModel,
    parameters: Tensor,
    obs: Tensor,
    inputs: Tensor,
    particles: int = 1,
    flip_penalty: float = 0.0,
) -> Tensor:
    """Total predicted reward of action sequences. `[world, candidate]`.

    Every sequence is played by so many members of an ensemble, each with its mean prediction; the members take turns.

    Args:
        model: Model of dynamics and reward.
        parameters: Of members that all worlds share, `[member, parameter]`; or of each world, `[member, world,
            parameter]`.
        obs: Initial observation. `[world, obs]`
        inputs: Actions, and the context of each. `[world, candidate, time, action + context]`
        particles: Members that play each sequence, at most all.
        flip_penalty: Loss of reward at a step that ends with the body beyond a quarter turn of pitch.
    """
    worlds, count, time, _ = inputs.shape
    members = len(parameters)
    played = inputs if particles == 1 else inputs.repeat_interleave(particles, dim=1)
    dealt = split_over(played, members)  # [member, world, row, time, input]
    start = obs.expand(members, *obs.shape).unsqueeze(2).expand(-1, -1, dealt.shape[2], -1)
    if parameters.dim() == 3:  # a group of rows for each world
        groups, rows = members * worlds, dealt.shape[2]
    else:
        groups, rows = members, worlds * dealt.shape[2]
    # Time before rows: each step's inputs are one block. [group, time, row, input]
    flat = dealt.reshape(groups, rows, time, -1).transpose(1, 2)
    earned = _played(model, parameters.reshape(groups, -1), start.reshape(groups, rows, -1), flat, flip_penalty)
    value = joined_from(earned.reshape(members, worlds, -1), count * particles)
    return value if particles == 1 else value.unflatten(1, (count, particles)).mean(dim=2)


def _played(model: DynamicsModel, parameters: Tensor, obs: Tensor, inputs: Tensor, flip_penalty: float) -> Tensor:
    """Total predicted reward of each row. `[group, row]`.

    Args:
        model: Model of dynamics and reward.
        parameters: `[group, parameter]`
        obs: Initial observation. `[group, row, obs]`
        inputs: Actions and context. `[group, time, row, action + context]`
        flip_penalty: As for `imagined`.
    """
    width, features, limit, pitch = obs.shape[2], model.features, model.seen.limit, model.pitch
    # Normalisation as a single product, and its inverse within the last layer.
    factor, offset = model.seen.affine()
    scale, shift = (part[: model.targets] for part in model.outcome.affine_inverse())
    *layers, (weight, bias) = model.cut(parameters)
    layers.append((weight[..., : model.targets] * scale, bias[..., : model.targets] * scale + shift))
    (first, first_bias), *rest = layers
    # The part of the first layer that does not depend on predictions, for all steps at once. [group, row, hidden]
    ahead = torch.baddbmm(first_bias, inputs.flatten(1, 2), first[:, features:]).unflatten(1, inputs.shape[1:3])
    first = first[:, :features]
    # The state: the observation, and the reward so far where it is predicted. [group, row, target]
    state = obs if model.targets == width else torch.nn.functional.pad(obs, (0, 1))
    states = [state]
    for begun in ahead.unbind(1):
        seen = state[..., :width]
        x = torch.addcmul(offset, seen, factor).clamp_(-limit, limit)
        if pitch is not None:
            angle = seen[..., pitch : pitch + 1]
            x = torch.cat((x, angle.sin(), angle.cos()), dim=-1)
        x = torch.baddbmm(begun, x, first)
        for weight, bias in rest:
            x = torch.baddbmm(bias, model.activation(x), weight)
        state = state + x
        states.append(state)
    return _earned(model, torch.stack(states), inputs, flip_penalty)


def _earned(model: DynamicsModel, states: Tensor, inputs: Tensor, flip_penalty: float) -> Tensor:
    """Sums the rewards along predicted states. `[time + 1, group, row, target] -> [group, row]`."""
    reward, action = model.meaning.reward, model.widths[1]
    if reward is None:
        earned = states[-1, ..., -1]
    else:
        actions = inputs[..., :action].movedim(1, 0)  # [time, group, row, action]
        before, after = (part.flatten(0, 2) for part in (states[:-1], states[1:]))
        earned = reward(before, actions.flatten(0, 2), after).unflatten(0, actions.shape[:3]).sum(dim=0)
    if flip_penalty and model.pitch is not None:
        upside_down = states[1:, ..., model.pitch].cos() < 0
        earned = earned - flip_penalty * upside_down.sum(dim=0)
    return earned
