"""Bases of the learners that adapt by a policy-gradient step: their options, policy and inner step."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Annotated, ClassVar, NamedTuple

import torch
from torch import Tensor

from robometa import errors
from robometa.compute.parallel import of_each_task
from robometa.data import Rollout, Spaces, Step, Trial
from robometa.errors import Search
from robometa.nn.networks import GaussianPolicy
from robometa.nn.normalizer import Normalizer
from robometa.nn.state import Parts, load_optimizer, load_state, optimizer_state, state_of
from robometa.noise import Noise
from robometa.rl.policy_gradient import Batch, Estimator, InnerStep, returns_of, rollout_batches


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
    """Inner gradient steps, each on a new rollout."""
    inner_step_size: Annotated[float, "(0, inf)", Search(0.01, 1.0, log=True)] = 0.1
    """Step size of the inner gradient steps."""
    pooled_shots: bool = False
    """Let every shot adapt from the start, to a mean of a step on each shot's episodes so far, instead of going on
    from the shot before. Episodes count less, the less likely the start is to act as in them. For learners that are
    trained with one shot."""

    def __post_init__(self) -> None:
        """Checks the options.

        Raises:
            UserError: If one is outside its range, or shots are pooled in training with several.
        """
        super().__post_init__()
        if self.pooled_shots and self.shots > 1:
            raise errors.UserError(
                f"option shots must be 1 with pooled_shots, not {self.shots}: with several, set pooled_shots to false"
            )


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
    normalize_observations: bool = False
    """Normalise observations by their running mean and standard deviation, which are part of the policy."""
    value_weight: Annotated[float, "[0, inf)", Search(choices=(0.0, 0.25, 0.5, 1.0))] = 0.0
    """Weight of a value's squared error in the inner loss; above 0 the policy's network has a value as one more output.
    The papers have none."""
    last_layer_scale: Annotated[float, "(0, 1]", Search(choices=(0.1, 1.0))] = 1.0
    """Factor on the initial weights of the policy's last layer; a small one begins with actions near zero."""


@dataclass(frozen=True)
class Options(PolicyOptions, TrialOptions):
    """Options of every learner with an inner policy-gradient step.

    A dataclass lists the fields of its last base first: `TrialOptions`, then `PolicyOptions`. A learner whose own
    options stand between the two puts them in a subclass of `TrialOptions`, its last base.
    """


class PooledShots(NamedTuple):
    """An adaptation to all episodes so far."""

    parameters: Tensor
    """Weighted mean of a step from the start on each shot's episodes. `[task, parameter]`"""
    start: Tensor
    """`[task, parameter]`"""
    weight: Tensor
    """Sum of the weights so far; that of the first shot is 1. `[task, 1]`"""

    def with_step(self, stepped: Tensor, share: Tensor) -> PooledShots:
        """Includes one more shot.

        Args:
            stepped: Parameters after a step from the start on its episodes. `[task, parameter]`
            share: Weight of its episodes, from `effective_share`. `[task, 1]`
        """
        weight = self.weight + share
        return PooledShots(self.parameters + (stepped - self.parameters) * (share / weight), self.start, weight)


def effective_share(
    policy: GaussianPolicy, adaptation: PooledShots, obs: Tensor, output: Tensor, counted: Tensor
) -> Tensor:
    """Effective sample size of steps under the start's policy, as a share of their number; 1 where it acted itself.

    A step from the start takes them for the start's own. What an adapted policy does is unlikely for the start, so that
    its episodes tell little. Source: Kong 1992, the effective sample size of importance weights.

    Args:
        policy: Turns parameters into distributions.
        adaptation: Adaptation that acted.
        obs: Observations as the policy saw them. `[task, step, obs]`
        output: Outputs of the policy, before the action's scale. `[task, step, action]`
        counted: 1 for each step to count, else 0. `[task, step]`

    Returns:
        `[task, 1]`
    """
    acted = log_likelihood(policy, adaptation.parameters, obs, output)
    ratio = log_likelihood(policy, adaptation.start, obs, output) - acted
    # A step that is not counted may have any ratio, or none: the policy emitted no action there.
    ratio = ratio.masked_fill(counted == 0, torch.finfo(ratio.dtype).min)
    weight = (ratio - ratio.amax(dim=1, keepdim=True)).exp() * counted
    squared = weight.square().sum(dim=1, keepdim=True) * counted.sum(dim=1, keepdim=True)
    return weight.sum(dim=1, keepdim=True).square() / squared.clamp(min=1e-30)


def log_likelihood(policy: GaussianPolicy, parameters: Tensor, obs: Tensor, output: Tensor) -> Tensor:
    """Logarithm of the density of outputs, but for a constant. `[task, step]`."""
    mean, log_std = policy.distribution(parameters, obs)
    return (-0.5 * ((output - mean) / log_std.exp()).square() - log_std).sum(dim=-1)


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
        value = config.value_weight > 0
        self.policy = GaussianPolicy(spaces.observation, spaces.action, config.hidden, value=value)
        generator = Noise(seed, ("learner",), 1, 1).torch_generator()
        start = self.policy.initial(generator, config.initial_std)
        start[-self.policy.last_size : -spaces.action] *= config.last_layer_scale
        self.parameters = start.to(self.device)
        self.step = InnerStep(self.policy, config.inner_step_size, first_order, config.value_weight)
        self.observations: Normalizer | None = None
        if config.normalize_observations:
            self.observations = Normalizer(spaces.observation, device=self.device)
        self.returns = Normalizer(1, device=self.device) if value else None

    def begin(self, tasks: int, worlds: int, noise: Noise) -> Tensor | PooledShots:
        """Initial parameters, for each task. `[task, parameter]`."""
        start = self._start().expand(tasks, -1)
        return PooledShots(start, start, start.new_zeros(tasks, 1)) if self.config.pooled_shots else start

    def act(self, adaptation: Tensor | PooledShots, step: Step, noise: Tensor) -> tuple[Tensor, Tensor | PooledShots]:
        """Actions of each task's policy. `[task, world, action]`."""
        parameters = adaptation.parameters if isinstance(adaptation, PooledShots) else adaptation
        mean, log_std = self.policy.distribution(parameters, self._normalized(step.obs))
        return self.config.action_scale * (mean + log_std.exp() * noise), adaptation

    def adapt(self, adaptation: Tensor | PooledShots, rollout: Rollout, noise: Noise) -> Tensor | PooledShots:
        """One policy-gradient step for each task. `[task, parameter]`."""
        # Inner step: theta' = theta - size * rate * gradient, on all worlds of a task.
        shots = [(batch,) for batch in rollout_batches(self._seen(rollout), *self._estimator())]
        if isinstance(adaptation, PooledShots):
            stepped = torch.stack(of_each_task(self._adapted, adaptation.start, shots))
            return adaptation.with_step(stepped, self._share(adaptation, rollout))
        return torch.stack(of_each_task(self._adapted, adaptation, shots))

    def state_dict(self) -> dict[str, Tensor]:
        """Initial parameters, and statistics if there are any."""
        return {"parameters": self.parameters, **state_of(self._statistics())}

    def load_state_dict(self, state: dict[str, Tensor]) -> None:
        """Restores the initial parameters and the statistics."""
        self.parameters = self._checked(state["parameters"]).to(self.device)
        load_state(self._statistics(), state)

    def _start(self) -> Tensor:
        """The parameters before any adaptation. `[parameter]`."""
        return self.parameters

    def _adapted(self, start: Tensor, shots: tuple[Batch, ...]) -> Tensor:
        """Parameters of one task after its inner steps. `[parameter]`."""
        return self.step.after(start, shots, self.rate)

    def _share(self, adaptation: PooledShots, rollout: Rollout) -> Tensor:
        """Weight of a rollout's episodes. `[task, 1]`."""
        obs = self._normalized(rollout.obs).flatten(1, 2)
        output = (rollout.action / self.config.action_scale).flatten(1, 2)
        counted = (~rollout.actionless()).flatten(1, 2).to(obs.dtype)
        return effective_share(self.policy, adaptation, obs, output, counted)

    def _estimator(self) -> Estimator:
        """Arguments of `rollout_batches`."""
        return Estimator(self.config.discount, self.config.gae_lambda, self.config.action_scale, self.returns)

    def _statistics(self) -> Parts:
        """Running statistics of observations and returns, those that the options ask for."""
        parts = {"observations": self.observations, "returns": self.returns}
        return {name: part for name, part in parts.items() if part is not None}

    def _normalized(self, obs: Tensor) -> Tensor:
        """Observations as the policy sees them. `[..., obs]`."""
        return obs if self.observations is None else self.observations(obs)

    def _seen(self, rollout: Rollout) -> Rollout:
        """A rollout with observations as the policy saw them."""
        return rollout if self.observations is None else replace(rollout, obs=self.observations(rollout.obs))

    def _seen_trial(self, trial: Trial) -> Trial:
        """A trial with observations as the policy saw them."""
        return replace(trial, rollouts=tuple(self._seen(rollout) for rollout in trial.rollouts))

    def _include(self, trial: Trial) -> None:
        """Adds a trial to the statistics; its observations are not normalised."""
        for rollout in trial.rollouts:
            if self.observations is not None:
                self.observations.include(rollout.obs)
            if self.returns is not None:
                self.returns.include(returns_of(rollout, self.config.discount)[~rollout.actionless()])

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
    """A `GradientLearner` with Adam's outer step, in place."""

    def __init__(
        self, config: Options, learning_rate: float, spaces: Spaces, seed: int, device: torch.device | str
    ) -> None:
        """Creates an untrained policy, and an optimizer of its parameters."""
        super().__init__(config, spaces, seed, device)
        self.optimizer = torch.optim.Adam([self.parameters], lr=learning_rate)

    def state_dict(self) -> dict[str, Tensor]:
        """Initial parameters and the optimizer's moments."""
        return {**super().state_dict(), **optimizer_state("training/optimiser", self.optimizer)}

    def _start(self) -> Tensor:
        """A copy, because the optimizer changes the parameters in place."""
        return self.parameters.clone()

    def load_state_dict(self, state: dict[str, Tensor]) -> None:
        """Restores the initial parameters, and the moments if present."""
        self.parameters.copy_(self._checked(state["parameters"]))
        load_state(self._statistics(), state)
        load_optimizer("training/optimiser", self.optimizer, state)
