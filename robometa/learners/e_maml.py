"""E-MAML: Stadie et al. 2018, https://arxiv.org/abs/1803.01118.

Read it as MAML-TRPO with one more term: `_credits` and `_credit_gradient` credit what is done before the inner steps
with the return after them; the rest is MAML-TRPO's update.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, ClassVar

import torch
from torch import Tensor
from torch.func import grad

from robometa.compute.parallel import for_each_task, of_each_task
from robometa.data import Rollout, Spaces, Step, Trial
from robometa.errors import Options
from robometa.nn.networks import GaussianPolicy
from robometa.noise import Noise
from robometa.rl.meta_gradient import fisher_product, outer_gradient, surrogate_change
from robometa.rl.meta_update import MetaUpdate
from robometa.rl.policy_gradient import InnerStep, TaskBatches, likelihood_ratio, rollout_batches, trial_batches
from robometa.rl.trust_region import Begun, told, trust_region_step


@dataclass(frozen=True)
class Config(Options):
    """Options of E-MAML."""

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
    credit_weight: Annotated[float, "[0, inf)"] = 1.0
    """Weight of crediting pre-adaptation actions with post-adaptation returns; 0 is MAML-TRPO."""
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


class EMaml:
    """Learns a start that explores for its own adaptation; the adaptation is a parameter vector per task."""

    configuration: ClassVar[type] = Config
    pools_worlds: ClassVar[bool] = True

    def __init__(self, config: Config, spaces: Spaces, seed: int, device: torch.device | str = "cpu") -> None:
        """An untrained policy, its weights drawn from `seed`."""
        self.config, self.device = config, torch.device(device)
        self.policy = GaussianPolicy(spaces.observation, spaces.action, config.hidden)
        generator = Noise(seed, ("learner",), 1, 1).torch_generator()
        self.parameters = self.policy.initial(generator, config.initial_std).to(self.device)
        self.step = InnerStep(self.policy, config.inner_step_size)
        self._at_once = MetaUpdate(self.step, config, self.device, 1.0)

    def begin(self, tasks: int, worlds: int, noise: Noise) -> Tensor:
        """Initial parameters, for each task. `[task, parameter]`."""
        return self.parameters.expand(tasks, -1)

    def act(self, adaptation: Tensor, step: Step, noise: Tensor) -> tuple[Tensor, Tensor]:
        """Actions of each task's policy. `[task, world, action]`."""
        mean, log_std = self.policy.distribution(adaptation, step.obs)
        return self.config.action_scale * (mean + log_std.exp() * noise), adaptation

    def adapt(self, adaptation: Tensor, rollout: Rollout, noise: Noise) -> Tensor:
        """One policy-gradient step for each task. `[task, parameter]`."""
        shots = [(batch,) for batch in rollout_batches(rollout, *self._estimator())]
        return torch.stack(of_each_task(self.step.after, adaptation, shots))

    def update(self, trial: Trial) -> dict[str, float]:
        """One trust-region step on the start, differentiating through the inner steps."""
        credits = self.config.credit_weight * _credits(trial.rollouts[-1])
        begun = self._at_once.begun(self.parameters, trial, self._estimator(), credits)
        begun = begun or self._one_by_one(trial, credits)
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

    def _one_by_one(self, trial: Trial, credits: Tensor) -> Begun:
        """An update whose tasks are computed one by one."""
        config, start = self.config, self.parameters
        tasks = trial_batches(trial, *self._estimator())
        acted = for_each_task(self.step.policies, [start] * len(tasks), [(*inner, outer) for inner, outer in tasks])
        # MAML-TRPO's outer gradient, less the gradient of the sampling term.
        gradient, adapted = outer_gradient(self.step, self.step.after, start, tasks)
        gradient = gradient - self._credit_gradient(start, tasks, acted, credits)
        before = [policies[-1] for policies in acted]
        # The Fisher matrix is MAML-TRPO's: it measures the adapted policies only.
        fisher = fisher_product(self.step, start, tasks, adapted, config.fisher_stride, config.damping)
        step, expected = trust_region_step(gradient, fisher, config.kl_bound, config.conjugate_gradient_steps)

        def measure(point: Tensor) -> Sequence[float]:
            # Both terms count in the line search.
            improvement, divergence = surrogate_change(self.step, self.step.after, point, tasks, before)
            likelier = torch.stack(for_each_task(self._likelier, [point] * len(tasks), tasks, acted))
            return improvement + float((credits * likelier).mean()), divergence

        return Begun(step, expected, gradient.norm(), measure)

    def _likelier(self, start: Tensor, task: TaskBatches, acted: list[tuple[Tensor, Tensor]]) -> Tensor:
        """Likelihood ratio of the actions before the adaptations under a start, less 1, summed over shots. `[]`."""
        # The policies that acted before each inner step, from another start. [shot]
        new = self.step.policies(start, task.inner)
        shots = zip(new, acted[:-1], task.inner, strict=True)
        return torch.stack([likelihood_ratio(*now, *old, batch.output).mean() - 1 for now, old, batch in shots]).sum()

    def _credit_gradient(
        self, start: Tensor, tasks: list[TaskBatches], acted: list[list[tuple[Tensor, Tensor]]], credits: Tensor
    ) -> Tensor:
        """Gradient of the sampling term: credit times log-likelihood, mean over tasks. `[parameter]`."""
        # At ratio 1 the ratio's gradient is the log-likelihood's.
        gradients = for_each_task(grad(self._likelier), [start] * len(tasks), tasks, acted)
        return (credits.unsqueeze(-1) * torch.stack(gradients)).mean(dim=0)

    def _estimator(self) -> tuple[float, float, float]:
        """Discount, lambda and action scale, as for `rollout_batches`."""
        return self.config.discount, self.config.gae_lambda, self.config.action_scale


def _credits(rollout: Rollout) -> Tensor:
    """Each task's return after the adaptations, with mean 0 and standard deviation 1 across tasks. `[task]`."""
    returns = rollout.episode_return().mean(dim=1)
    # The other tasks are the baseline: nothing that the first actions of a task led to may be in it.
    return (returns - returns.mean()) / (returns.std(correction=0) + 1e-8)
