"""MAML-TRPO: Finn, Abbeel and Levine 2017, https://arxiv.org/abs/1703.03400."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import ClassVar, NamedTuple

import torch
from torch import Tensor
from torch.func import grad, vjp

from robometa.data import Rollout, Spaces, Step, Trial
from robometa.errors import require
from robometa.networks import GaussianPolicy, normal_kl
from robometa.noise import Noise
from robometa.parallel import for_each_task
from robometa.returns import advantages, discounted_returns, linear_baseline
from robometa.trust_region import line_search, trust_region_step


@dataclass(frozen=True)
class Config:
    """Options of MAML-TRPO."""

    iterations: int = 200
    """Training iterations."""
    tasks: int = 40
    """Tasks of an iteration."""
    worlds: int = 20
    """Episodes of each task before and after every adaptation; the adaptation pools them."""
    shots: int = 1
    """Inner gradient steps, each on a rollout of its own."""
    inner_step_size: float = 0.1
    """Step size of the inner gradient steps."""
    first_order: bool = False
    """Take the outer gradient as if the inner step did not depend on the start (FOMAML)."""
    hidden: tuple[int, ...] = (64, 64)
    """Widths of the policy's hidden layers, tanh."""
    initial_std: float = 1.0
    """Standard deviation of the policy's output at the start; learned from there."""
    action_scale: float = 0.5
    """Factor from the policy's output to the action: with 0.5 a standard deviation of 1 explores with 0.5. The paper's
    preset has 0.1, which is the ten times wider action box of the reference implementations."""
    discount: float = 0.99
    """Discount per step, in (0, 1]."""
    gae_lambda: float = 0.9
    """Of generalised advantage estimation, in 0..1. The paper's preset has 1."""
    kl_bound: float = 0.02
    """How far an update may move the adapted policies, nats of mean KL divergence."""
    conjugate_gradient_steps: int = 10
    """Products with the Fisher matrix per update."""
    damping: float = 1e-5
    """Added to the Fisher matrix's diagonal."""
    fisher_stride: int = 4
    """The Fisher matrix is estimated on every so many-th step in time; gradient and line search use them all."""
    line_search_shrink: float = 0.8
    """Factor on the step after each refused point of the line search."""
    line_search_trials: int = 15
    """Points of the line search; if all are refused the policy stays as it is."""

    def __post_init__(self) -> None:
        """Refuses numbers that make no sense."""
        require(
            self,
            iterations="[1, inf)",
            tasks="[1, inf)",
            worlds="[1, inf)",
            shots="[1, inf)",
            inner_step_size="(0, inf)",
            hidden="[1, inf)",
            initial_std="(0, inf)",
            action_scale="(0, inf)",
            discount="(0, 1]",
            gae_lambda="[0, 1]",
            kl_bound="(0, inf)",
            conjugate_gradient_steps="[1, inf)",
            damping="[0, inf)",
            fisher_stride="[1, inf)",
            line_search_shrink="(0, 1)",
            line_search_trials="[1, inf)",
        )


PRESETS = {
    "default": Config(),
    "demo": Config(iterations=70, tasks=10),
    "paper": Config(iterations=500, action_scale=0.1, gae_lambda=1.0, kl_bound=0.01, fisher_stride=1),
}
"""What learned fast in a few trials on half-cheetahs, the same cut to a few minutes for two tasks, and the reference
implementations' numbers."""


class Batch(NamedTuple):
    """What a gradient step of one task needs of a rollout."""

    obs: Tensor
    """`[n, obs]`"""
    output: Tensor
    """The policy's output, before scaling. `[n, action]`"""
    advantage: Tensor
    """`[n]`"""


class MamlTrpo:
    """Learns a start from which one policy-gradient step adapts; the adaptation is a parameter vector per task."""

    configuration: ClassVar[type] = Config
    pools_worlds: ClassVar[bool] = True

    def __init__(self, config: Config, spaces: Spaces, seed: int, device: torch.device | str = "cpu") -> None:
        """An untrained policy, its weights drawn from `seed`."""
        self.config, self.device = config, torch.device(device)
        self.policy = GaussianPolicy(spaces.observation, spaces.action, config.hidden)
        generator = Noise(seed, ("learner",), 1, 1).torch_generator()
        self.parameters = self.policy.initial(generator, config.initial_std).to(self.device)

    def begin(self, tasks: int, worlds: int, noise: Noise) -> Tensor:
        """The start, for each task. `[task, parameter]`"""
        return self.parameters.expand(tasks, -1)

    def act(self, adaptation: Tensor, step: Step, noise: Tensor) -> tuple[Tensor, Tensor]:
        """Actions of each task's policy. `[task, world, action]`"""
        mean, log_std = self.policy.distribution(adaptation, step.obs)
        return self.config.action_scale * (mean + log_std.exp() * noise), adaptation

    def adapt(self, adaptation: Tensor, rollout: Rollout, noise: Noise) -> Tensor:
        """One policy-gradient step for each task. `[task, parameter]`"""
        batches = self._batches(rollout)
        return torch.stack(for_each_task(self._inner_step, adaptation, batches))

    def update(self, trial: Trial) -> dict[str, float]:
        """One trust-region step on the start, differentiating through the inner steps."""
        config, start = self.config, self.parameters
        rollouts = [self._batches(rollout) for rollout in trial.rollouts]
        inner = list(zip(*rollouts[:-1], strict=True))  # [task][shot]
        outer = rollouts[-1]  # [task]
        gradient, adapted = self._outer_gradient(start, inner, outer)
        before = [self.policy.distribution(row, batch.obs) for row, batch in zip(adapted, outer, strict=True)]
        fisher_product = self._fisher_product(start, inner, outer, adapted)
        step, expected = trust_region_step(gradient, fisher_product, config.kl_bound, config.conjugate_gradient_steps)

        def measure(point: Tensor) -> tuple[float, float]:
            def of_task(shots: tuple[Batch, ...], batch: Batch, old: tuple[Tensor, Tensor]) -> Tensor:
                new = self.policy.distribution(self._adapted(point, shots), batch.obs)
                gain = (self._ratio(*new, *old, batch.output) - 1) * batch.advantage
                return torch.stack((gain.mean(), normal_kl(*old, *new).mean()))

            improvement, divergence = torch.stack(for_each_task(of_task, inner, outer, before)).mean(dim=0)
            return float(improvement), float(divergence)

        self.parameters, refused = line_search(
            measure, start, step, config.kl_bound, config.line_search_shrink, config.line_search_trials
        )
        return {
            "expected_improvement": expected,
            "line_search_refusals": float(refused),
            "gradient_norm": float(gradient.norm()),
            "policy_std": float(self.parameters[-self.policy.action :].exp().mean()),
        }

    def state(self) -> dict[str, Tensor]:
        """The start."""
        return {"parameters": self.parameters}

    def load(self, state: dict[str, Tensor]) -> None:
        """Takes the start back."""
        parameters = state["parameters"]
        if parameters.shape != self.parameters.shape:
            raise ValueError(f"{self.parameters.numel()} parameters expected, not {parameters.numel()}")
        self.parameters = parameters.to(self.device)

    def _batches(self, rollout: Rollout) -> list[Batch]:
        """Observations, outputs and advantages, one batch per task."""
        config = self.config
        returns = discounted_returns(rollout.reward, rollout.done, config.discount)
        value = linear_baseline(rollout.obs, returns)
        # The baseline predicts what is left of a rollout, which is nothing at its end.
        next_value = torch.cat((value[..., 1:], torch.zeros_like(value[..., :1])), dim=-1)
        advantage = advantages(
            rollout.reward,
            value,
            next_value,
            rollout.terminated,
            rollout.truncated,
            config.discount,
            config.gae_lambda,
        )
        output = rollout.action / config.action_scale
        flat = (rollout.obs.flatten(1, 2), output.flatten(1, 2), advantage.flatten(1, 2))
        return [Batch(*parts) for parts in zip(*flat, strict=True)]

    def _inner_loss(self, parameters: Tensor, batch: Batch) -> Tensor:
        """The policy-gradient objective at ratio 1, to be lowered."""
        return -(self.policy.log_likelihood(parameters, batch.obs, batch.output) * batch.advantage).mean()

    def _inner_step(self, parameters: Tensor, batch: Batch) -> Tensor:
        gradient = grad(self._inner_loss)(parameters, batch)
        if self.config.first_order:
            gradient = gradient.detach()
        return parameters - self.config.inner_step_size * gradient

    def _adapted(self, start: Tensor, shots: tuple[Batch, ...]) -> Tensor:
        """The parameters of one task after its inner steps. `[parameter]`"""
        for batch in shots:
            start = self._inner_step(start, batch)
        return start

    @staticmethod
    def _ratio(mean: Tensor, log_std: Tensor, old_mean: Tensor, old_log_std: Tensor, output: Tensor) -> Tensor:
        new = (output - mean) * torch.exp(-log_std)
        old = (output - old_mean) * torch.exp(-old_log_std)
        return torch.exp((0.5 * (old.square() - new.square()) + old_log_std - log_std).sum(dim=-1))

    def _outer_gradient(
        self, start: Tensor, inner: list[tuple[Batch, ...]], outer: list[Batch]
    ) -> tuple[Tensor, list[Tensor]]:
        """Gradient of the loss after adaptation, mean over tasks `[parameter]`, and each task's adapted parameters."""

        def of_task(shots: tuple[Batch, ...], batch: Batch) -> tuple[Tensor, Tensor]:
            after, pull_back = _pulled(lambda point: self._adapted(point, shots), start)
            after = after.detach()
            # At ratio 1 the surrogate's gradient is that of the inner loss.
            return pull_back(grad(self._inner_loss)(after, batch))[0], after

        gradients, adapted = zip(*for_each_task(of_task, inner, outer), strict=True)
        return torch.stack(gradients).mean(dim=0), list(adapted)

    def _fisher_product(
        self, start: Tensor, inner: list[tuple[Batch, ...]], outer: list[Batch], adapted: list[Tensor]
    ) -> Callable[[Tensor], Tensor]:
        """Products with the Fisher matrix of the adapted policies, seen from the start.

        Through its structure, K' J' M J K: K differentiates the inner steps, J the adapted policy's mean, M weighs by
        its variance, and the standard deviation adds twice the identity. Each inner step's factor of K is symmetric.
        """
        stride, deviations, size = self.config.fisher_stride, self.policy.action, self.config.inner_step_size

        def factors(shots: tuple[Batch, ...], batch: Batch, after: Tensor) -> Callable[[Tensor], Tensor]:
            point, hessians = start, []
            for shot in shots:
                fewer = Batch(*(part[::stride] for part in shot))
                hessians.append(_pulled(partial(grad(self._inner_loss), batch=fewer), point)[1])
                point = self._inner_step(point, shot).detach()
            if self.config.first_order:
                hessians = []
            obs = batch.obs[::stride]
            mean, pull_mean = _pulled(lambda at: self.policy.distribution(at, obs)[0], after)
            _, push_mean = _pulled(lambda weight: pull_mean(weight)[0], torch.zeros_like(mean))
            precision = torch.exp(-2 * after[-deviations:]) / len(obs)

            def product(vector: Tensor) -> Tensor:
                for hessian in hessians:
                    vector = vector - size * hessian(vector)[0]
                curved = pull_mean(precision * push_mean(vector)[0])[0]
                curved[-deviations:] += 2 * vector[-deviations:]
                for hessian in reversed(hessians):
                    curved = curved - size * hessian(curved)[0]
                return curved

            return product

        products = for_each_task(factors, inner, outer, adapted)

        def product(vector: Tensor) -> Tensor:
            moved = for_each_task(lambda of_task: of_task(vector), products)
            return torch.stack(moved).mean(dim=0) + self.config.damping * vector

        return product


def _pulled(function: Callable[[Tensor], Tensor], point: Tensor) -> tuple[Tensor, Callable[[Tensor], tuple[Tensor]]]:
    """A function's value at a point, and the products of its transposed Jacobian there."""
    return vjp(function, point)  # type: ignore[return-value]
