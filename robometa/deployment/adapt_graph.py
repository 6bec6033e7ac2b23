"""Graphs that adapt, for learners whose adapting is more than remembering."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.fx.experimental.proxy_tensor import make_fx

from robometa.deployment.loops import discounted, solved
from robometa.learners.e_maml import EMaml
from robometa.learners.maml_trpo import MamlTrpo
from robometa.learners.meta_sgd import MetaSgd
from robometa.learners.pearl import Pearl
from robometa.learners.promp import ProMp
from robometa.learners.protocol import Learner
from robometa.learners.reptile import Reptile
from robometa.nn.task_belief import SampledBelief, product_of_gaussians
from robometa.rl.gradient_learner import PooledShots, effective_share
from robometa.rl.policy_gradient import Batch

COLUMNS = ("obs", "action", "reward", "next_obs", "terminated", "truncated")
"""Experience that a graph may take, by name; entries are `[world, time, ...]`, ends are 0 or 1."""


@dataclass(frozen=True)
class AdaptGraph:
    """A graph that adapts, ready to be converted."""

    graph: nn.Module
    columns: tuple[str, ...]
    """The columns of experience that it takes, after the adaptation's tensors."""
    examples: tuple[Tensor, ...]
    dynamic: tuple[Any, ...]
    """Sizes that may change: worlds and time."""
    draws: bool
    """Takes standard normal numbers, `draw`, before the columns."""


def adapt_graph(learner: Learner, start: list[Tensor]) -> AdaptGraph | None:
    """Makes the graph of a learner's adaptation; None for learners that adapt as they act, or not by one graph.

    Args:
        learner: Adapts.
        start: Tensors of the adaptation before any data. `[1, number]` each.
    """
    known: Any = learner
    if isinstance(known, Pearl):
        return _of_pearl(known, start)
    if isinstance(known, MamlTrpo | MetaSgd):
        return _of_gradient(known, known.rate, start)
    return _of_gradient(known, 1.0, start) if isinstance(known, EMaml | ProMp | Reptile) else None


class _Belief(nn.Module):
    """PEARL's belief after more transitions of one world, and a sample of it."""

    def __init__(self, learner: Pearl) -> None:
        super().__init__()
        self.learner, self.encoder = learner, learner.encoder

    def forward(
        self, precision: Tensor, weighted_mean: Tensor, sample: Tensor, draw: Tensor, *columns: Tensor
    ) -> tuple[Tensor, ...]:
        obs, action, reward, next_obs = (column[0] for column in columns)
        context = torch.cat((obs, action.clamp(-1, 1), reward.unsqueeze(-1), next_obs), dim=-1)[
            :, : self.learner.context
        ]
        evidence = product_of_gaussians(self.encoder(context))
        return tuple(SampledBelief(precision, weighted_mean, sample).multiplied(*evidence, draw))


def _of_pearl(learner: Pearl, start: list[Tensor]) -> AdaptGraph:
    obs, action = learner.spaces.observation, learner.spaces.action
    columns = (torch.zeros(1, 9, obs), torch.zeros(1, 9, action), torch.zeros(1, 9), torch.zeros(1, 9, obs))
    time = torch.export.Dim("time", min=2)
    dynamic = (None, None, None, None, tuple({1: time} for _ in columns))
    return AdaptGraph(_Belief(learner), COLUMNS[:4], (*start, torch.zeros_like(start[0]), *columns), dynamic, True)


class _GradientStep(nn.Module):
    """An inner step of a gradient learner: baseline, advantages, and the step on all worlds together."""

    def __init__(self, learner: Any, rate: Tensor | float) -> None:
        super().__init__()
        self.learner, self.rate = learner, rate

    def forward(self, *given: Tensor) -> tuple[Tensor, ...]:
        *begun, obs, action, reward, terminated, truncated = given
        learner, config, goes_on = self.learner, self.learner.config, 1 - torch.maximum(terminated, truncated)
        obs = obs if learner.observations is None else learner.observations(obs)
        returns = discounted(reward, config.discount * goes_on)
        target = returns if learner.returns is None else learner.returns(returns.unsqueeze(-1))[..., 0]
        value = _baseline(obs, returns)
        next_value = torch.cat((value[:, 1:], torch.zeros_like(value[:, :1])), dim=1)
        error = reward + config.discount * (1 - terminated) * next_value - value
        advantage = discounted(error, config.discount * config.gae_lambda * goes_on)
        spread = (advantage - advantage.mean()).square().mean().sqrt()
        advantage = (advantage - advantage.mean()) / (spread + 1e-8)
        output = (action / config.action_scale).flatten(0, 1)
        batch = Batch(obs.flatten(0, 1), output, advantage.flatten(), target.flatten())
        if len(begun) == 1:
            return (learner.step(begun[0][0], batch, self.rate).unsqueeze(0),)
        pooled = PooledShots(*begun)
        counted = torch.ones_like(batch.advantage)[None]
        share = effective_share(learner.policy, pooled, batch.obs[None], batch.output[None], counted)
        after = pooled.with_step(learner.step(pooled.start[0], batch, self.rate).unsqueeze(0), share)
        return (after.parameters, after.start.clone(), after.weight)


def _baseline(obs: Tensor, target: Tensor) -> Tensor:
    """Predictions as `rl.returns.linear_baseline` makes them, of one task. `[world, time]`."""
    worlds, horizon, _ = obs.shape
    seen = obs.clamp(-10, 10)
    time = (torch.arange(horizon, dtype=obs.dtype) / 100).expand(worlds, -1).unsqueeze(-1)
    feature = torch.cat((seen, seen**2, time, time**2, time**3, torch.ones_like(time)), dim=-1).flatten(0, 1).double()
    ridge = 1e-5 * worlds * horizon * torch.eye(feature.shape[-1], dtype=torch.float64)
    weight = solved(feature.mT @ feature + ridge, feature.mT @ target.reshape(-1, 1).double())
    return (feature @ weight).reshape(target.shape).to(target.dtype)


def _of_gradient(learner: Any, rate: Tensor | float, start: list[Tensor]) -> AdaptGraph:
    into, _ = learner.policy.layers[0]
    columns = ("obs", "action", "reward", "terminated", "truncated")
    sizes = {"obs": (into,), "action": (learner.policy.action,)}
    examples = (*start, *(torch.randn(3, 7, *sizes.get(name, ())) for name in columns))
    # The gradient must be written out before the export, which does not trace through `torch.func.grad`.
    traced = make_fx(_GradientStep(learner, rate), tracing_mode="symbolic", _allow_non_fake_inputs=True)  # of rates
    graph = traced(*examples)
    axes = {0: torch.export.Dim("worlds", min=2), 1: torch.export.Dim("time", min=2)}
    return AdaptGraph(graph, columns, examples, (*(None for _ in start), *(axes for _ in columns)), False)
