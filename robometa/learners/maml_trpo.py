"""MAML-TRPO: Finn, Abbeel and Levine 2017, https://arxiv.org/abs/1703.03400.

Read `adapt` first (the inner step), then `update` (the outer one): `outer_gradient` differentiates through the inner
steps, `trust_region_step` scales what it finds. On a GPU `MetaUpdate` computes the same for all tasks at once.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, ClassVar

import torch
from torch import Tensor

from robometa.compute.parallel import of_each_task
from robometa.data import Rollout, Spaces, Step, Trial
from robometa.errors import Options
from robometa.nn.networks import GaussianPolicy
from robometa.noise import Noise
from robometa.rl.meta_gradient import fisher_product, outer_gradient, surrogate_change
from robometa.rl.meta_update import MetaUpdate
from robometa.rl.policy_gradient import Batch, InnerStep, TaskBatches, rollout_batches, trial_batches
from robometa.rl.trust_region import Begun, told, trust_region_step


@dataclass(frozen=True)
class Config(Options):
    """Options of MAML-TRPO."""

    iterations: Annotated[int, "[1, inf)"] = 200
    """Training iterations."""
    tasks: Annotated[int, "[1, inf)"] = 40
    """Tasks of an iteration."""
    worlds: Annotated[int, "[1, inf)"] = 20
    """Episodes of each task before and after every adaptation; the adaptation pools them."""
    shots: Annotated[int, "[1, inf)"] = 1
    """Inner gradient steps, each on a rollout of its own."""
    inner_step_size: Annotated[float, "(0, inf)"] = 0.1
    """Step size of the inner gradient steps."""
    first_order: bool = False
    """Differentiate the inner steps as if their gradients were constants; `fomaml` is this."""
    last_layer_only: bool = False
    """Let the inner steps move the policy's last layer and standard deviation only; `anil` is this."""
    hidden: Annotated[tuple[int, ...], "[1, inf)"] = (64, 64)
    """Widths of the policy's hidden layers, tanh."""
    initial_std: Annotated[float, "(0, inf)"] = 1.0
    """Initial standard deviation of the policy's output; it is learned."""
    action_scale: Annotated[float, "(0, inf)"] = 0.5
    """Factor from the policy's output to the action: with 0.5 a standard deviation of 1 explores with 0.5. The paper's
    preset has 0.1, which is the ten times wider action box of the reference implementations."""
    discount: Annotated[float, "(0, 1]"] = 0.99
    """Discount per step."""
    gae_lambda: Annotated[float, "[0, 1]"] = 0.9
    """Lambda of generalised advantage estimation. The paper's preset has 1."""
    kl_bound: Annotated[float, "(0, inf)"] = 0.02
    """Bound on the adapted policies' mean KL divergence in an update, nats."""
    conjugate_gradient_steps: Annotated[int, "[1, inf)"] = 10
    """Products with the Fisher matrix per update."""
    damping: Annotated[float, "[0, inf)"] = 1e-5
    """Added to the Fisher matrix's diagonal."""
    fisher_stride: Annotated[int, "[1, inf)"] = 4
    """Stride in time of the Fisher matrix's observations; gradient and line search use all."""
    line_search_shrink: Annotated[float, "(0, 1)"] = 0.8
    """Factor on the step after each refused point of the line search."""
    line_search_trials: Annotated[int, "[1, inf)"] = 15
    """Most points of the line search; if all are refused the policy is unchanged."""


PRESETS = {
    "default": Config(),
    "demo": Config(iterations=70, tasks=10),
    "paper": Config(iterations=500, action_scale=0.1, gae_lambda=1.0, kl_bound=0.01, fisher_stride=1),
}
"""Presets: fast in a few trials on half-cheetahs; the same shortened to a few minutes for two tasks; the reference
implementations' values."""


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
        self.step = InnerStep(self.policy, config.inner_step_size, config.first_order)
        self.rate = self.policy.last_layer().to(self.parameters) if config.last_layer_only else 1.0
        self._at_once = MetaUpdate(self.step, config, self.device, self.rate)

    def begin(self, tasks: int, worlds: int, noise: Noise) -> Tensor:
        """Initial parameters, for each task. `[task, parameter]`."""
        return self.parameters.expand(tasks, -1)

    def act(self, adaptation: Tensor, step: Step, noise: Tensor) -> tuple[Tensor, Tensor]:
        """Actions of each task's policy. `[task, world, action]`."""
        mean, log_std = self.policy.distribution(adaptation, step.obs)
        return self.config.action_scale * (mean + log_std.exp() * noise), adaptation

    def adapt(self, adaptation: Tensor, rollout: Rollout, noise: Noise) -> Tensor:
        """One policy-gradient step for each task. `[task, parameter]`."""
        # Inner step: theta' = theta - size * gradient, on all worlds of a task.
        shots = [(batch,) for batch in rollout_batches(rollout, *self._estimator())]
        return torch.stack(of_each_task(self._adapted, adaptation, shots))

    def update(self, trial: Trial) -> dict[str, float]:
        """One trust-region step on the start, differentiating through the inner steps."""
        # On a GPU all tasks in one go; elsewhere task by task.
        begun = self._at_once.begun(self.parameters, trial, self._estimator())
        if begun is None:
            tasks = trial_batches(trial, *self._estimator())
            # Outer gradient: of the loss after the inner steps, by the start.
            gradient, adapted = outer_gradient(self.step, self._adapted, self.parameters, tasks)
            begun = self._trust_region(gradient, adapted, tasks)
        # Line search: the longest step that improves the surrogate within the bound.
        self.parameters, refused = begun.searched(self.parameters, self.config)
        spread = self.parameters[-self.policy.action :].exp().mean()
        expected, norm, spread_told = told(begun.expected, begun.norm, spread)
        return {
            "expected_improvement": expected,
            "line_search_refusals": float(refused),
            "gradient_norm": norm,
            "policy_std": spread_told,
        }

    def state_dict(self) -> dict[str, Tensor]:
        """Initial parameters."""
        return {"parameters": self.parameters}

    def load_state_dict(self, state: dict[str, Tensor]) -> None:
        """Restores the initial parameters."""
        parameters = state["parameters"]
        if parameters.shape != self.parameters.shape:
            raise ValueError(f"{self.parameters.numel()} parameters expected, not {parameters.numel()}")
        self.parameters = parameters.to(self.device)

    def _trust_region(self, gradient: Tensor, adapted: list[Tensor], tasks: list[TaskBatches]) -> Begun:
        """The trust-region step along an outer gradient, before its line search.

        Args:
            gradient: Mean over tasks. `[parameter]`
            adapted: Each task's parameters after the inner steps. `[task][parameter]`
            tasks: The batches of the trial.
        """
        config, start = self.config, self.parameters
        # The adapted policies that acted, from which the divergence is measured. [task]
        before = [self.policy.distribution(row, task.outer.obs) for row, task in zip(adapted, tasks, strict=True)]
        # Natural gradient: conjugate gradient on products with the Fisher matrix.
        fisher = fisher_product(self.step, start, tasks, adapted, config.fisher_stride, config.damping, self.rate)
        step, expected = trust_region_step(gradient, fisher, config.kl_bound, config.conjugate_gradient_steps)

        def measure(point: Tensor) -> Sequence[float]:
            return surrogate_change(self.step, self._adapted, point, tasks, before)

        return Begun(step, expected, gradient.norm(), measure)

    def _adapted(self, start: Tensor, shots: tuple[Batch, ...]) -> Tensor:
        """Parameters of one task after its inner steps. `[parameter]`."""
        return self.step.after(start, shots, self.rate)

    def _estimator(self) -> tuple[float, float, float]:
        """Discount, lambda and action scale, as for `rollout_batches`."""
        return self.config.discount, self.config.gae_lambda, self.config.action_scale
