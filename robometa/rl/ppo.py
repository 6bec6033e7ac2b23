"""Proximal policy optimisation (Schulman et al. 2017, https://arxiv.org/abs/1707.06347) on batches of sequences."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from typing import Annotated, Any, NamedTuple

import torch
from torch import Tensor, nn

from robometa import errors
from robometa.compute.cuda_graphs import CapturedSteps, uploaded
from robometa.compute.parallel import descend, for_each_task, shares_of
from robometa.errors import Search
from robometa.nn.actor_critic import ActorCritic, Output
from robometa.nn.networks import normal_log_density
from robometa.rl.gradient_samples import with_samples
from robometa.rl.learning_rate import captured_steps, decayed, set_learning_rate, steps_taken

LONGEST = 25
"""Longest segment of an episode in a minibatch, for networks without a memory. Steps."""


@dataclass(frozen=True)
class Options(errors.Options):
    """Options of every learner that trains with PPO."""

    iterations: Annotated[int, "[1, inf)"] = 200
    """Training iterations."""
    epochs: Annotated[int, "[1, inf)", Search(1, 10)] = 5
    """Passes over an iteration's experience."""
    minibatches: Annotated[int, "[1, inf)", Search(2, 32, log=True)] = 4
    """Gradient steps of a pass, each on an equal share of the sequences."""
    clip: Annotated[float, "(0, 1)", Search(0.1, 0.4)] = 0.2
    """Clipping range of the probability ratio, to either side of 1."""
    learning_rate: Annotated[float, "(0, inf)", Search(1e-4, 3e-3, log=True)] = 7e-4
    """Initial learning rate of Adam."""
    final_learning_rate: Annotated[float, "(0, inf)", Search(1e-5, 1e-3, log=True)] = 1e-4
    """Learning rate at the end of a linear decay."""
    decay_end: Annotated[int, "[0, inf)"] = 0
    """Iteration at which the decay ends; 0 is the last one, so a longer run decays more slowly."""
    discount: Annotated[float, "(0, 1]", Search(0.95, 0.999)] = 0.99
    """Discount per step."""
    gae_lambda: Annotated[float, "[0, 1]", Search(0.8, 1.0)] = 0.95
    """Lambda of generalised advantage estimation."""
    entropy_weight: Annotated[float, "[0, inf)", Search(0.0, 0.02)] = 0.0
    """Weight of the policy's entropy in the loss."""
    value_weight: Annotated[float, "[0, inf)"] = 0.5
    """Weight of the value's squared error in the loss."""
    gradient_norm: Annotated[float, "(0, inf)"] = 0.5
    """Maximum norm of a gradient; longer ones are scaled down."""
    initial_std: Annotated[float, "(0, inf)", Search(0.3, 1.0, log=True)] = 0.6
    """Initial standard deviation of the actions; it is learned."""
    chunk: Annotated[int, "[1, inf)"] = 64
    """Sequences of PPO's minibatches that one thread computes together, the same on every machine. Smaller chunks keep
    more cores busy, and change the last bits of the gradients. A GPU takes all at once."""


class Experience(NamedTuple):
    """Samples for `update`."""

    inputs: tuple[Tensor, ...]
    """Inputs of the network. `[n, time or longer, ...]` each"""
    action: Tensor
    """Actions, before any clipping. `[n, time, action]`"""
    log_density: Tensor
    """Log density of the actions under the policy that acted. `[n, time]`"""
    advantage: Tensor
    """`[n, time]`"""
    target: Tensor
    """Returns, normalised as the network's values are. `[n, time]`"""
    weight: Tensor | None = None
    """Weight of each step in the loss, 0 for excluded steps; None if all count equally. `[n, time]`"""


def outputs(network: ActorCritic, inputs: Tensor, chunk: int) -> Output:
    """Network outputs on all sequences, without gradients, computed in chunks of so many. `[n, time, ...]`."""

    def of_chunk(sequences: Tensor) -> Output:
        with torch.no_grad():
            return network(sequences)

    of_chunks = for_each_task(of_chunk, shares_of(inputs, chunk))
    mean, log_std, value = zip(*of_chunks, strict=True)
    return Output(torch.cat(mean), log_std[0].detach(), torch.cat(value))


def cut(experience: Experience, segments: int) -> Experience:
    """Cuts every sequence into equal segments, each a sequence again."""

    def shorter(part: Tensor) -> Tensor:
        return part.unflatten(1, (segments, -1)).flatten(0, 1)

    inputs = tuple(shorter(part) for part in experience.inputs)
    weight = None if experience.weight is None else shorter(experience.weight)
    _, action, log_density, advantage, target, _ = experience
    return Experience(inputs, shorter(action), shorter(log_density), shorter(advantage), shorter(target), weight)


def shortened(experience: Experience) -> Experience:
    """Cuts sequences into short segments, which mix minibatches better; for networks without a memory."""
    time = experience.action.shape[1]
    return cut(experience, next(segments for segments in range(-(-time // LONGEST), time + 1) if time % segments == 0))


METRICS = ("policy_loss", "value_loss", "entropy", "kl", "clipped", "gradient_norm")


def update(
    network: ActorCritic,
    optimizer: torch.optim.Optimizer,
    experience: Experience,
    options: Options,
    generator: torch.Generator,
    captured: CapturedSteps | None = None,
) -> dict[str, float]:
    """Takes the gradient steps of an iteration and returns metrics.

    Except on a GPU, threads share a minibatch in chunks; the gradients are added up in a fixed order.

    Args:
        network: Network to train.
        optimizer: Its optimizer.
        experience: Samples.
        options: Options of the learner.
        generator: Draws the minibatches.
        captured: Steps of `captured_update` for this network; used if all minibatches are of one size.
    """
    _set_learning_rate(optimizer, options)
    count = len(experience.action)
    # One permutation for each pass.
    orders = torch.stack([torch.randperm(count, generator=generator) for _ in range(options.epochs)])
    orders, parts = uploaded(orders, experience.action.device), min(options.minibatches, count)
    if captured is not None and count % parts == 0:
        logged = captured.run((_in_rows(experience, order, parts) for order in orders), options.epochs * parts)
    else:
        pick = partial(_members, experience)
        minibatches = [members for order in orders for members in order.tensor_split(parts)]
        logged = torch.stack(
            [
                _step(network, optimizer, options, pick, shares_of(members, options.chunk), len(members))
                for members in minibatches
            ]
        )
    used = experience.advantage.numel() if experience.weight is None else int((experience.weight > 0).sum())
    return with_samples(dict(zip(METRICS, logged.mean(dim=0).tolist(), strict=True)), options.epochs * used)


def captured_update(
    network: nn.Module, optimizer: torch.optim.Optimizer, options: Options, device: torch.device
) -> CapturedSteps | None:
    """The gradient step of `update` for a CUDA graph; None where nothing is captured."""

    def step(*row: Tensor) -> Tensor:
        batch = Experience(row[:-5], *row[-5:])
        return _step(network, optimizer, options, lambda whole: whole, (batch,), len(batch.action))

    return captured_steps(step, network, optimizer, len(METRICS), device)


def _in_rows(experience: Experience, order: Tensor, minibatches: int) -> list[Tensor]:
    """The minibatches of a pass, with weights of 1 if there are none. `[minibatch, n, time, ...]` each."""
    inputs, action, log_density, advantage, target, weight = _members(experience, order)
    weight = torch.ones_like(advantage) if weight is None else weight
    parts = (*inputs, action, log_density, advantage, target, weight)
    return [part.unflatten(0, (minibatches, -1)) for part in parts]


def _members(experience: Experience, chunk: Tensor) -> Experience:
    """Selects sequences."""
    inputs, action, log_density, advantage, target, weight = experience
    return Experience(
        tuple(part[chunk, : action.shape[1]] for part in inputs),
        action[chunk],
        log_density[chunk],
        advantage[chunk],
        target[chunk],
        None if weight is None else weight[chunk],
    )


def _step(
    network: ActorCritic,
    optimizer: torch.optim.Optimizer,
    options: Options,
    pick: Callable[[Any], Experience],
    chunks: Iterable[Any],
    count: int,
) -> Tensor:
    """Takes one gradient step and returns its metrics. `[metric]`.

    Args:
        network: Network to train.
        optimizer: Its optimizer.
        options: Options of the learner.
        pick: Returns the sequences of a chunk.
        chunks: Chunks of the minibatch.
        count: Sequences of the minibatch.
    """
    parameters = list(network.parameters())

    def of_chunk(chunk: Any) -> tuple[Tensor, Tensor]:
        batch = pick(chunk)
        loss, row = _loss(network, batch, options)
        share = len(batch.action) / count
        return share * loss, share * row

    # Gradients of the chunks, added up in their order; then one step of Adam.
    row = descend(of_chunk, parameters, chunks)
    norm = nn.utils.clip_grad_norm_(parameters, options.gradient_norm)
    optimizer.step()
    return torch.cat((row, norm.reshape(1)))


def _set_learning_rate(optimizer: torch.optim.Optimizer, options: Options) -> None:
    # The optimizer's own count survives a reload.
    taken = steps_taken(optimizer)
    end = options.decay_end or options.iterations
    share = taken / (end * options.epochs * options.minibatches)
    set_learning_rate(optimizer, decayed(options.learning_rate, options.final_learning_rate, share))


def _loss(network: ActorCritic, batch: Experience, options: Options) -> tuple[Tensor, Tensor]:
    """Loss on some sequences, and metrics."""
    # Probability ratio to the policy that acted. [sequence, time]
    mean, log_std, value = network(*batch.inputs)
    log_ratio = normal_log_density(batch.action, mean, log_std.expand_as(mean)) - batch.log_density
    ratio = log_ratio.exp()
    # Clipped surrogate (equation 7): the smaller of both, so a ratio beyond the range adds no gain.
    clipped = ratio.clamp(1 - options.clip, 1 + options.clip)
    gain = torch.minimum(ratio * batch.advantage, clipped * batch.advantage)
    error = (value - batch.target).square()
    if batch.weight is not None:
        gain, error = gain * batch.weight, error * batch.weight
    # Total loss (equation 9): policy, value and entropy.
    policy_loss, value_loss = -gain.mean(), error.mean()
    entropy = log_std.sum(dim=-1).mean()  # but for a constant
    loss = policy_loss + options.value_weight * value_loss - options.entropy_weight * entropy
    # Only logged.
    beyond = ((ratio - 1).abs() > options.clip).float().mean()
    kl = (ratio - 1 - log_ratio).mean()  # Schulman's estimate, which cannot be negative
    return loss, torch.stack((policy_loss, value_loss, entropy, kl, beyond)).detach()
