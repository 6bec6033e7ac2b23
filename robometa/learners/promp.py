"""ProMP: Rothfuss et al. 2018, https://arxiv.org/abs/1810.06784.

Read `_loss` first: the clipped surrogate after inner steps on `_inner_loss`, and a KL penalty before them. `update`
takes Adam steps on it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, ClassVar

import torch
from torch import Tensor
from torch.func import grad, grad_and_value

from robometa.compute.parallel import for_each_task
from robometa.data import Spaces, Trial
from robometa.errors import Search
from robometa.nn.networks import normal_kl
from robometa.noise import Noise
from robometa.rl import gradient_learner
from robometa.rl.gradient_learner import AdamLearner
from robometa.rl.gradient_samples import with_samples
from robometa.rl.learning_rate import decayed, set_learning_rate, steps_taken
from robometa.rl.policy_gradient import Batch, TaskBatches, likelihood_ratio, trial_batches


@dataclass(frozen=True)
class Config(gradient_learner.Options):
    """Options of ProMP."""

    learning_rate: Annotated[float, "(0, inf)", Search(3e-4, 3e-2, log=True)] = 3e-3
    """Learning rate of Adam. The paper's preset has 1e-3."""
    epochs: Annotated[int, "[1, inf)", Search(1, 10)] = 5
    """Passes of an update over the same trial."""
    clip: Annotated[float, "(0, inf)", Search(0.1, 0.6)] = 0.3
    """Clipping range of the post-adaptation likelihood ratio, to either side of 1."""
    kl_weight: Annotated[float, "[0, inf)", Search(1e-5, 1e-2, log=True)] = 5e-4
    """Weight of the KL divergence of the policies before the adaptations from those that acted."""
    minibatches: Annotated[int, "[1, inf)"] = 1
    """Gradient steps of an epoch, each on an equal share of the tasks; an update takes `epochs` times as many."""
    final_learning_rate: Annotated[float, "[0, inf)"] = 0.0
    """Learning rate at the end of a linear decay; 0 keeps `learning_rate`."""
    decay_end: Annotated[int, "[0, inf)"] = 0
    """Iteration at which the decay ends; 0 is the last one, so a longer run decays more slowly."""


PRESETS = {
    "default": Config(
        tasks=10,
        pooled_shots=True,
        normalize_observations=True,
        value_weight=0.5,
        last_layer_scale=0.1,
        learning_rate=1e-3,
        final_learning_rate=3e-4,
        minibatches=2,
    ),
    "plain": Config(),
    "paper": Config(iterations=1000, action_scale=0.1, gae_lambda=1.0, learning_rate=1e-3),
}
"""Presets: `all` of the ablation in docs/inner-loss.md; without normalised observations, minibatches and value, as in
the first table of results; the paper's values."""


class ProMp(AdamLearner):
    """Learns a start that explores for its own adaptation; the adaptation is a parameter vector per task."""

    configuration: ClassVar[type] = Config
    config: Config

    def __init__(self, config: Config, spaces: Spaces, seed: int, device: torch.device | str = "cpu") -> None:
        """An untrained policy, its weights drawn from `seed`."""
        super().__init__(config, config.learning_rate, spaces, seed, device)

    def update(self, trial: Trial) -> dict[str, float]:
        """Some gradient steps on the clipped surrogate after the inner steps, differentiating through them."""
        tasks = trial_batches(self._seen_trial(trial), *self._estimator())
        starts = [self.parameters] * len(tasks)
        acted = for_each_task(self.step.policies, starts, [(*inner, outer) for inner, outer in tasks])
        self._set_learning_rate()
        losses, norms, before = [], [], [of_task[0] for of_task in acted]
        for shares in self._shares(len(tasks), trial.noise):
            of_shares = []
            for share in shares:
                some = ([of_task[task] for task in share] for of_task in (starts, tasks, acted))
                of_tasks = for_each_task(grad_and_value(self._loss), *some)
                # Mean over tasks, one step of Adam.
                gradients, values = zip(*of_tasks, strict=True)
                self.parameters.grad = torch.stack(gradients).mean(dim=0)
                self.optimizer.step()
                of_shares.append(torch.stack(values).mean())
                norms.append(float(self.parameters.grad.norm()))
            losses.append(float(torch.stack(of_shares).mean()))
        logged = {
            "loss_first_epoch": losses[0],
            "loss_last_epoch": losses[-1],
            "gradient_norm": norms[0],
            "kl_before": float(torch.stack(for_each_task(self._moved, tasks, before)).mean()),
            "policy_std": float(self._std()),
        }
        self._include(trial)
        return with_samples(logged, self.config.epochs * trial.steps())

    def _moved(self, task: TaskBatches, before: tuple[Tensor, Tensor]) -> Tensor:
        """KL divergence of the start from the policy that acted before the adaptations. `[]`."""
        return normal_kl(*before, *self.policy.distribution(self.parameters, task.inner[0].obs)).mean().detach()

    def _set_learning_rate(self) -> None:
        """Sets the learning rate of an update, by the steps that the optimizer has taken."""
        config = self.config
        if config.final_learning_rate:
            end = config.decay_end or config.iterations
            share = steps_taken(self.optimizer) / (end * config.epochs * config.minibatches)
            rate = decayed(config.learning_rate, config.final_learning_rate, share)
            set_learning_rate(self.optimizer, rate)

    def _shares(self, tasks: int, noise: Noise) -> list[list[list[int]]]:
        """Tasks of each gradient step: every epoch has all, in a new order. `[epoch][minibatch][task]`."""
        epochs, count = self.config.epochs, min(self.config.minibatches, tasks)
        if count == 1:
            return [[list(range(tasks))]] * epochs
        generator = noise.torch_generator()
        orders = [torch.randperm(tasks, generator=generator) for _ in range(epochs)]
        return [[share.tolist() for share in order.tensor_split(count)] for order in orders]

    def _inner_loss(self, parameters: Tensor, batch: Batch, acted: tuple[Tensor, Tensor]) -> Tensor:
        """The policy-gradient objective at the ratio to the policy that acted, to be lowered. `[]`.

        Its gradient where the ratio is 1 is the plain one, but not its Hessian: that also credits the actions before
        the adaptation with what the adaptation makes of them.
        """
        mean, log_std, value = self.policy.outputs(parameters, batch.obs)
        loss = -(likelihood_ratio(mean, log_std, *acted, batch.output) * batch.advantage).mean()
        return self.step.with_value(loss, value, batch)

    def _loss(self, start: Tensor, task: TaskBatches, acted: list[tuple[Tensor, Tensor]]) -> Tensor:
        """The clipped surrogate after the inner steps, to be lowered, and the penalty on what was before them. `[]`."""
        config, divergences = self.config, []
        # Inner steps on likelihood ratios, and the divergence of each policy that took one.
        for batch, before in zip(task.inner, acted[:-1], strict=True):
            divergences.append(normal_kl(*before, *self.policy.distribution(start, batch.obs)).mean())
            start = start - config.inner_step_size * grad(self._inner_loss)(start, batch, before)
        # Clipped surrogate after them, as in PPO.
        ratio = likelihood_ratio(*self.policy.distribution(start, task.outer.obs), *acted[-1], task.outer.output)
        clipped = ratio.clamp(1 - config.clip, 1 + config.clip)
        gain = torch.minimum(ratio * task.outer.advantage, clipped * task.outer.advantage).mean()
        return config.kl_weight * torch.stack(divergences).mean() - gain
