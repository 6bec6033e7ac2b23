"""Bases of the learners whose adaptation is a policy-gradient step: their options, policy and inner step."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, ClassVar

import torch
from torch import Tensor

from robometa import errors
from robometa.compute.parallel import of_each_task
from robometa.data import Rollout, Spaces, Step
from robometa.errors import Search
from robometa.nn.networks import GaussianPolicy
from robometa.nn.state import load_optimizer, optimizer_state
from robometa.noise import Noise
from robometa.rl.policy_gradient import Batch, InnerStep, rollout_batches


@dataclass(frozen=True)
class TrialOptions(errors.Options):
    """Options of a training trial and its inner steps."""

    iterations: Annotated[int, "[1, inf)"] = 200
    """Training iterations."""
    tasks: Annotated[int, "[1, inf)", Search(10, 80, log=True)] = 40
    """Tasks of an iteration."""
    worlds: Annotated[int, "[1, inf)"] = 20
    """Episodes of each task before and after every adaptation; the adaptation pools them."""
    shots: Annotated[int, "[1, inf)"] = 1
    """Inner gradient steps, each on a rollout of its own."""
    inner_step_size: Annotated[float, "(0, inf)", Search(0.01, 1.0, log=True)] = 0.1
    """Step size of the inner gradient steps."""


@dataclass(frozen=True)
class PolicyOptions(errors.Options):
    """Options of the policy, and of the advantages that its gradients use."""

    hidden: Annotated[tuple[int, ...], "[1, inf)", Search(16, 256, log=True, depth=(1, 3))] = (64, 64)
    """Widths of the policy's hidden layers, tanh."""
    initial_std: Annotated[float, "(0, inf)", Search(0.3, 2.0, log=True)] = 1.0
    """Initial standard deviation of the policy's output; it is learned."""
    action_scale: Annotated[float, "(0, inf)", Search(0.1, 1.0, log=True)] = 0.5
    """Factor from the policy's output to the action: with 0.5 a standard deviation of 1 explores with 0.5. The paper's
    preset has 0.1, which is the ten times wider action box of the reference implementations."""
    discount: Annotated[float, "(0, 1]", Search(0.95, 0.999)] = 0.99
    """Discount per step."""
    gae_lambda: Annotated[float, "[0, 1]", Search(0.8, 1.0)] = 0.9
    """Lambda of generalised advantage estimation. The paper's preset has 1."""


@dataclass(frozen=True)
class Options(PolicyOptions, TrialOptions):
    """Options of every learner with an inner policy-gradient step.

    A dataclass lists the fields of its last base first: `TrialOptions`, then `PolicyOptions`. A learner whose own
    options stand between the two puts them in a subclass of `TrialOptions`, its last base.
    """


class GradientLearner:
    """A learner of the start of policy-gradient steps; the adaptation is a parameter vector per task."""

    config: Options
    pools_worlds: ClassVar[bool] = True
    rate: Tensor | float = 1.0
    """Factor on the inner step's size. `[parameter]`"""

    def __init__(
        self, config: Options, spaces: Spaces, seed: int, device: torch.device | str, first_order: bool = False
    ) -> None:
        """Creates an untrained policy.

        Args:
            config: Options of the learner.
            spaces: Sizes of observations and actions.
            seed: Seed of the policy's weights.
            device: Device of the learner.
            first_order: Differentiate inner steps as if their gradients were constants.
        """
        self.config, self.device = config, torch.device(device)
        self.policy = GaussianPolicy(spaces.observation, spaces.action, config.hidden)
        generator = Noise(seed, ("learner",), 1, 1).torch_generator()
        self.parameters = self.policy.initial(generator, config.initial_std).to(self.device)
        self.step = InnerStep(self.policy, config.inner_step_size, first_order)

    def begin(self, tasks: int, worlds: int, noise: Noise) -> Tensor:
        """Initial parameters, for each task. `[task, parameter]`."""
        return self.parameters.expand(tasks, -1)

    def act(self, adaptation: Tensor, step: Step, noise: Tensor) -> tuple[Tensor, Tensor]:
        """Actions of each task's policy. `[task, world, action]`."""
        mean, log_std = self.policy.distribution(adaptation, step.obs)
        return self.config.action_scale * (mean + log_std.exp() * noise), adaptation

    def adapt(self, adaptation: Tensor, rollout: Rollout, noise: Noise) -> Tensor:
        """One policy-gradient step for each task. `[task, parameter]`."""
        # Inner step: theta' = theta - size * rate * gradient, on all worlds of a task.
        shots = [(batch,) for batch in rollout_batches(rollout, *self._estimator())]
        return torch.stack(of_each_task(self._adapted, adaptation, shots))

    def state_dict(self) -> dict[str, Tensor]:
        """Initial parameters."""
        return {"parameters": self.parameters}

    def load_state_dict(self, state: dict[str, Tensor]) -> None:
        """Restores the initial parameters."""
        self.parameters = self._checked(state["parameters"]).to(self.device)

    def _adapted(self, start: Tensor, shots: tuple[Batch, ...]) -> Tensor:
        """Parameters of one task after its inner steps. `[parameter]`."""
        return self.step.after(start, shots, self.rate)

    def _estimator(self) -> tuple[float, float, float]:
        """Discount, lambda and action scale, as for `rollout_batches`."""
        return self.config.discount, self.config.gae_lambda, self.config.action_scale

    def _std(self) -> Tensor:
        """Mean standard deviation of the policy's output. `[]`."""
        return self.parameters[-self.policy.action :].exp().mean()

    def _checked(self, parameters: Tensor) -> Tensor:
        """Returns parameters that have the learner's shape.

        Raises:
            ValueError: If they have another.
        """
        if parameters.shape != self.parameters.shape:
            raise ValueError(f"{self.parameters.numel()} parameters expected, not {parameters.numel()}")
        return parameters


class AdamLearner(GradientLearner):
    """A `GradientLearner` whose outer step is one of Adam, in place."""

    def __init__(
        self, config: Options, learning_rate: float, spaces: Spaces, seed: int, device: torch.device | str
    ) -> None:
        """Creates an untrained policy, and an optimizer of its parameters."""
        super().__init__(config, spaces, seed, device)
        self.optimizer = torch.optim.Adam([self.parameters], lr=learning_rate)

    def begin(self, tasks: int, worlds: int, noise: Noise) -> Tensor:
        """Initial parameters, for each task. `[task, parameter]`."""
        # A copy, because the optimizer changes the parameters in place.
        return self.parameters.clone().expand(tasks, -1)

    def state_dict(self) -> dict[str, Tensor]:
        """Initial parameters and the optimizer's moments."""
        return {**super().state_dict(), **optimizer_state("training/optimiser", self.optimizer)}

    def load_state_dict(self, state: dict[str, Tensor]) -> None:
        """Restores the initial parameters, and the moments if present."""
        self.parameters.copy_(self._checked(state["parameters"]))
        load_optimizer("training/optimiser", self.optimizer, state)
