"""Meta-SGD: Li et al. 2017, https://arxiv.org/abs/1707.09835.

Read it as MAML-TRPO whose outer step moves one vector, the start and then a factor on the step size of every
parameter; `_adapted` splits that vector again.
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
    """Options of Meta-SGD."""

    iterations: Annotated[int, "[1, inf)"] = 200
    """Training iterations."""
    tasks: Annotated[int, "[1, inf)"] = 40
    """Tasks of an iteration."""
    worlds: Annotated[int, "[1, inf)"] = 20
    """Episodes of each task before and after every adaptation; the adaptation pools them."""
    shots: Annotated[int, "[1, inf)"] = 1
    """Inner gradient steps, each on a rollout of its own."""
    inner_step_size: Annotated[float, "(0, inf)"] = 0.1
    """Step size of the inner gradient steps at first; a factor on it is learned for every parameter."""
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
    "paper": Config(iterations=500, action_scale=0.1, gae_lambda=1.0, kl_bound=0.01, fisher_stride=1),
}
"""MAML-TRPO's presets: fast in a few trials of it on half-cheetahs, and its reference implementations' values."""


class MetaSgd:
    """Learns a start and a step size of every parameter; the adaptation is a parameter vector per task."""

    configuration: ClassVar[type] = Config
    pools_worlds: ClassVar[bool] = True

    def __init__(self, config: Config, spaces: Spaces, seed: int, device: torch.device | str = "cpu") -> None:
        """An untrained policy, its weights drawn from `seed`, and equal step sizes."""
        self.config, self.device = config, torch.device(device)
        self.policy = GaussianPolicy(spaces.observation, spaces.action, config.hidden)
        generator = Noise(seed, ("learner",), 1, 1).torch_generator()
        self.parameters = self.policy.initial(generator, config.initial_std).to(self.device)
        self.rate = torch.ones_like(self.parameters)
        self.step = InnerStep(self.policy, config.inner_step_size)
        self._at_once = MetaUpdate(self.step, config, self.device, None)

    def begin(self, tasks: int, worlds: int, noise: Noise) -> Tensor:
        """Initial parameters, for each task. `[task, parameter]`."""
        return self.parameters.expand(tasks, -1)

    def act(self, adaptation: Tensor, step: Step, noise: Tensor) -> tuple[Tensor, Tensor]:
        """Actions of each task's policy. `[task, world, action]`."""
        mean, log_std = self.policy.distribution(adaptation, step.obs)
        return self.config.action_scale * (mean + log_std.exp() * noise), adaptation

    def adapt(self, adaptation: Tensor, rollout: Rollout, noise: Noise) -> Tensor:
        """One policy-gradient step for each task. `[task, parameter]`."""
        # Inner step: theta' = theta - size * rate * gradient, with a rate for each parameter.
        shots = [(batch,) for batch in rollout_batches(rollout, *self._estimator())]
        return torch.stack(of_each_task(lambda row, shot: self.step.after(row, shot, self.rate), adaptation, shots))

    def update(self, trial: Trial) -> dict[str, float]:
        """One trust-region step on start and step sizes, differentiating through the inner steps."""
        learned = torch.cat((self.parameters, self.rate))
        # On a GPU all tasks in one go; elsewhere task by task.
        begun = self._at_once.begun(learned, trial, self._estimator())
        if begun is None:
            tasks = trial_batches(trial, *self._estimator())
            # Outer gradient: of the loss after the inner steps, by start and step sizes. [2 * parameter]
            gradient, adapted = outer_gradient(self.step, self._adapted, learned, tasks)
            begun = self._trust_region(gradient, adapted, tasks)
        # Line search: the longest step that improves the surrogate within the bound.
        learned, refused = begun.searched(learned, self.config)
        self.parameters, self.rate = learned.chunk(2)
        expected, norm, mean, spread, deviation = told(
            begun.expected,
            begun.norm,
            self.rate.mean(),
            self.rate.std(),
            self.parameters[-self.policy.action :].exp().mean(),
        )
        return {
            "expected_improvement": expected,
            "line_search_refusals": float(refused),
            "gradient_norm": norm,
            "step_size": self.config.inner_step_size * mean,
            "step_size_spread": self.config.inner_step_size * spread,
            "policy_std": deviation,
        }

    def state_dict(self) -> dict[str, Tensor]:
        """The start, and the factors on the step size."""
        return {"parameters": self.parameters, "rate": self.rate}

    def load_state_dict(self, state: dict[str, Tensor]) -> None:
        """Takes start and factors back."""
        parameters, rate = state["parameters"], state["rate"]
        if parameters.shape != self.parameters.shape or rate.shape != self.rate.shape:
            raise ValueError(f"{self.parameters.numel()} parameters expected, not {parameters.numel()}")
        self.parameters, self.rate = parameters.to(self.device), rate.to(self.device)

    def _trust_region(self, gradient: Tensor, adapted: list[Tensor], tasks: list[TaskBatches]) -> Begun:
        """The trust-region step along an outer gradient, before its line search.

        Args:
            gradient: Mean over tasks, by start and step sizes. `[2 * parameter]`
            adapted: Each task's parameters after the inner steps. `[task][parameter]`
            tasks: The batches of the trial.
        """
        config = self.config
        # The adapted policies that acted, from which the divergence is measured. [task]
        before = [self.policy.distribution(row, task.outer.obs) for row, task in zip(adapted, tasks, strict=True)]
        fisher = fisher_product(
            self.step, self.parameters, tasks, adapted, config.fisher_stride, config.damping, self.rate
        )
        step, expected = trust_region_step(gradient, fisher, config.kl_bound, config.conjugate_gradient_steps)

        def measure(point: Tensor) -> Sequence[float]:
            return surrogate_change(self.step, self._adapted, point, tasks, before)

        return Begun(step, expected, gradient.norm(), measure)

    def _adapted(self, learned: Tensor, shots: tuple[Batch, ...]) -> Tensor:
        """The parameters of one task after its inner steps, from start and factors in one vector. `[parameter]`."""
        start, rate = learned.chunk(2)
        return self.step.after(start, shots, rate)

    def _estimator(self) -> tuple[float, float, float]:
        """Discount, lambda and action scale, as for `rollout_batches`."""
        return self.config.discount, self.config.gae_lambda, self.config.action_scale
