"""Reptile: Nichol, Achiam and Schulman 2018, https://arxiv.org/abs/1803.02999.

Read `update`: every task takes plain policy-gradient steps from the start, and the start moves towards the mean of
where these end. Nothing is differentiated twice.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, ClassVar

import torch
from torch import Tensor

from robometa.compute.parallel import of_each_task
from robometa.data import Rollout, Spaces, Step, Trial
from robometa.errors import Options
from robometa.nn.networks import GaussianPolicy
from robometa.nn.state import load_optimizer, optimizer_state
from robometa.noise import Noise
from robometa.rl.policy_gradient import InnerStep, rollout_batches, trial_batches


@dataclass(frozen=True)
class Config(Options):
    """Options of Reptile."""

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
    learning_rate: Annotated[float, "(0, inf)"] = 1e-2
    """Learning rate of Adam; the gradient is the start minus the mean adapted copy."""


class Reptile:
    """Learns a start close to every task's adapted parameters; the adaptation is a parameter vector per task."""

    configuration: ClassVar[type] = Config
    pools_worlds: ClassVar[bool] = True

    def __init__(self, config: Config, spaces: Spaces, seed: int, device: torch.device | str = "cpu") -> None:
        """An untrained policy, its weights drawn from `seed`."""
        self.config, self.device = config, torch.device(device)
        self.policy = GaussianPolicy(spaces.observation, spaces.action, config.hidden)
        generator = Noise(seed, ("learner",), 1, 1).torch_generator()
        self.parameters = self.policy.initial(generator, config.initial_std).to(self.device)
        self.step = InnerStep(self.policy, config.inner_step_size)
        self.optimizer = torch.optim.Adam([self.parameters], lr=config.learning_rate)

    def begin(self, tasks: int, worlds: int, noise: Noise) -> Tensor:
        """Initial parameters, for each task. `[task, parameter]`."""
        return self.parameters.clone().expand(tasks, -1)

    def act(self, adaptation: Tensor, step: Step, noise: Tensor) -> tuple[Tensor, Tensor]:
        """Actions of each task's policy. `[task, world, action]`."""
        mean, log_std = self.policy.distribution(adaptation, step.obs)
        return self.config.action_scale * (mean + log_std.exp() * noise), adaptation

    def adapt(self, adaptation: Tensor, rollout: Rollout, noise: Noise) -> Tensor:
        """One policy-gradient step for each task. `[task, parameter]`."""
        shots = [(batch,) for batch in rollout_batches(rollout, *self._estimator())]
        return torch.stack(of_each_task(self.step.after, adaptation, shots))

    def update(self, trial: Trial) -> dict[str, float]:
        """Moves the start towards the tasks' mean parameters after one policy-gradient step on each rollout."""
        tasks = trial_batches(trial, *self._estimator())
        # The last rollout of a trial is one more batch to step on. [task][parameter]
        adapted = of_each_task(lambda task: self.step.after(self.parameters, (*task.inner, task.outer)), tasks)
        way = torch.stack(adapted).mean(dim=0) - self.parameters
        # Adam takes the way from mean to start for a gradient.
        self.parameters.grad = -way
        self.optimizer.step()
        return {
            "way": float(way.norm()),
            "policy_std": float(self.parameters[-self.policy.action :].exp().mean()),
        }

    def state_dict(self) -> dict[str, Tensor]:
        """Initial parameters and the optimizer's moments."""
        return {"parameters": self.parameters, **optimizer_state("training/optimiser", self.optimizer)}

    def load_state_dict(self, state: dict[str, Tensor]) -> None:
        """Restores the initial parameters, and the moments if present."""
        parameters = state["parameters"]
        if parameters.shape != self.parameters.shape:
            raise ValueError(f"{self.parameters.numel()} parameters expected, not {parameters.numel()}")
        self.parameters.copy_(parameters)
        load_optimizer("training/optimiser", self.optimizer, state)

    def _estimator(self) -> tuple[float, float, float]:
        """Discount, lambda and action scale, as for `rollout_batches`."""
        return self.config.discount, self.config.gae_lambda, self.config.action_scale
