"""PEARL: Rakelly et al. 2019, https://arxiv.org/abs/1903.08254.

Read `adapt` (posterior sampling), then `_learn` (one gradient step of encoder, critics and actor); soft actor-critic
itself is `rl/sac.py`, the drawing of tasks and transitions `rl/replay_steps.py`.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Annotated, ClassVar

import torch
from torch import Tensor

from robometa.data import Rollout, Spaces, Step, Trial
from robometa.errors import Options, Search
from robometa.nn.networks import Perceptron
from robometa.nn.state import Parts, load_state, state_of
from robometa.nn.task_belief import SampledBelief, product_of_gaussians
from robometa.noise import Noise
from robometa.rl.gradient_samples import with_samples
from robometa.rl.learning_rate import adam
from robometa.rl.replay import TaskReplay, Transitions, columns_without
from robometa.rl.replay_steps import ReplaySteps
from robometa.rl.sac import SoftActorCritic


@dataclass(frozen=True)
class Config(Options):
    """Options of PEARL; the defaults are sized for a CPU."""

    iterations: Annotated[int, "[1, inf)"] = 600
    """Training iterations."""
    tasks: Annotated[int, "[1, inf)"] = 20
    """Tasks of an iteration's trial."""
    worlds: Annotated[int, "[1, inf)"] = 2
    """Worlds of each task; each has a separate belief."""
    shots: Annotated[int, "[1, inf)"] = 1
    """Adaptations within a training trial; the policy acts on the prior before the first, then on the posterior."""
    latent: Annotated[int, "[1, inf)", Search(2, 16, log=True)] = 5
    """Size of the latent task variable."""
    hidden: Annotated[tuple[int, ...], "[1, inf)", Search(32, 256, log=True, depth=(2, 3))] = (128, 128, 128)
    """Widths of the hidden layers of actor and critics, ReLU."""
    encoder_hidden: Annotated[tuple[int, ...], "[1, inf)", Search(32, 256, log=True, depth=(1, 3))] = (128, 128, 128)
    """Widths of the context encoder's hidden layers, ReLU."""
    context: Annotated[int, "[1, inf)", Search(32, 256, log=True)] = 100
    """Transitions from which the belief is inferred in an update."""
    context_next_obs: bool = False
    """Let the encoder see the next observation: needed where dynamics differ between tasks."""
    meta_batch: Annotated[int, "[1, inf)", Search(4, 16, log=True)] = 8
    """Tasks of a gradient step."""
    batch: Annotated[int, "[1, inf)", Search(64, 512, log=True)] = 128
    """Transitions per task of a gradient step."""
    gradient_steps: Annotated[int, "[1, inf)", Search(50, 800, log=True)] = 200
    """Gradient steps of an iteration."""
    capacity: Annotated[int, "[1, inf)"] = 20_000
    """Transitions that the replay keeps of each task."""
    learning_rate: Annotated[float, "(0, inf)", Search(1e-4, 1e-3, log=True)] = 3e-4
    """Learning rate of Adam, for every network."""
    final_learning_rate: Annotated[float, "(0, inf)", Search(1e-5, 3e-4, log=True)] = 3e-5
    """Learning rate after a linear decay; a high rate makes individual policies noisy."""
    decay_begin: Annotated[int, "[0, inf)"] = 450
    """First iteration of the learning rate's linear decay."""
    decay_end: Annotated[int, "[1, inf)"] = 600
    """Last iteration of the decay."""
    discount: Annotated[float, "(0, 1)", Search(0.95, 0.995)] = 0.99
    """Discount per step."""
    target_rate: Annotated[float, "(0, 1]", Search(0.002, 0.02, log=True)] = 0.005
    """Interpolation rate of the target critics towards the critics at every step."""
    reward_scale: Annotated[float, "(0, inf)", Search(1.0, 20.0, log=True)] = 5.0
    """Factor on rewards in the critics' targets."""
    temperature: Annotated[float, "[0, inf)", Search(0.05, 1.0, log=True)] = 0.2
    """Weight of the policy's entropy."""
    kl_weight: Annotated[float, "[0, inf)", Search(0.01, 1.0, log=True)] = 0.1
    """Weight of the KL divergence from the belief to the prior, summed over tasks and latents."""


PAPER = Config(
    iterations=500,
    tasks=5,
    hidden=(300, 300, 300),
    encoder_hidden=(200, 200, 200),
    meta_batch=16,
    batch=256,
    gradient_steps=2000,
    capacity=100_000,
    final_learning_rate=3e-4,
    temperature=1.0,
)
PRESETS = {
    "cpu": Config(),
    "paper": PAPER,
    "sample-efficient": replace(PAPER, iterations=125, gradient_steps=1600, capacity=20_000),
}
"""Sizes for a CPU, those of the paper, and the paper's with 0.4 gradient steps an environment step, for a GPU."""
METRICS = ("critic_loss", "actor_loss", "kl_per_task", "entropy")


class Pearl:
    """Infers a latent task variable from context and acts on a sample of it; learns off-policy with SAC."""

    configuration: ClassVar[type] = Config
    pools_worlds: ClassVar[bool] = False

    def __init__(self, config: Config, spaces: Spaces, seed: int, device: torch.device | str = "cpu") -> None:
        """Untrained networks, their weights drawn from `seed`; the two critics differ."""
        self.config, self.spaces, self.device = config, spaces, torch.device(device)
        generator = Noise(seed, ("learner",), 1, 1).torch_generator()
        widths = Transitions.widths(spaces)
        # The encoder sees no terminals, and the next observation only where dynamics differ.
        self.context = sum(widths[: 4 if config.context_next_obs else 3])
        encoder = Perceptron((self.context, *config.encoder_hidden, 2 * config.latent), generator)
        self.encoder = encoder.to(self.device)
        self.encoder_optimizer = adam(self.encoder, config.learning_rate, self.device)
        self.sac = SoftActorCritic(spaces, config.latent, config, generator, self.device)
        self.replay = TaskReplay(config.capacity, sum(widths), self.device)
        # Context comes from the latest experience on the prior.
        self.recent = TaskReplay(config.capacity, sum(widths), self.device)
        self.steps = ReplaySteps(
            self._learn,
            (self.encoder, self.sac.actor, self.sac.critics, self.sac.targets),
            (self.sac.actor_optimizer, self.sac.critic_optimizer, self.encoder_optimizer),
            len(METRICS),
            ((self.recent, config.context), (self.replay, config.batch)),
            config.meta_batch,
            self._draws,
            self.device,
        )

    def begin(self, tasks: int, worlds: int, noise: Noise) -> SampledBelief:
        """The prior, and a sample of it for each world."""
        return SampledBelief.prior(noise.normal(self.config.latent).to(self.device))

    def act(self, adaptation: SampledBelief, step: Step, noise: Tensor) -> tuple[Tensor, SampledBelief]:
        """Actions of the policy given each world's sample. `[task, world, action]`."""
        return self.sac.actor.action(noise, step.obs, adaptation.sample), adaptation

    @torch.no_grad()
    def adapt(self, adaptation: SampledBelief, rollout: Rollout, noise: Noise) -> SampledBelief:
        """Multiplies the evidence of each world's transitions into its belief, and samples again."""
        context = Transitions.of_rollout(rollout).columns()[..., : self.context]
        factors = self.encoder(context)  # [task, world, time, 2 * latent]
        evidence = product_of_gaussians(factors, ~rollout.diverged)  # [task, world, latent] each
        # Posterior sampling: the next rollout acts as if the sampled task were the true one.
        return adaptation.multiplied(*evidence, noise.normal(self.config.latent).to(self.device))

    def update(self, trial: Trial) -> dict[str, float]:
        """Stores the trial, then takes gradient steps on tasks and transitions drawn from the replay."""
        tasks = trial.tasks.tolist()
        # Experience of every shot: batches of actor and critics may come from all of it, divergence with its charge.
        for rollout in trial.rollouts:
            for task, transitions in zip(tasks, columns_without(rollout, rollout.actionless()), strict=True):
                self.replay.add(task, transitions)
        # Context is on-policy: only the latest trial's experience on the prior, as far as it is of the task.
        first = trial.rollouts[0]
        self.recent.renew(tasks, columns_without(first, first.diverged))
        self.steps.set_learning_rate(self.sac.learning_rate())
        known = torch.tensor(self.recent.tasks())
        if not len(known):
            return with_samples(dict.fromkeys(METRICS, 0.0), 0)
        config = self.config
        logged = self.steps.run(known, config.gradient_steps, trial.noise.torch_generator())
        metrics = dict(zip(METRICS, logged.mean(dim=0).tolist(), strict=True))
        return with_samples(metrics, config.gradient_steps * config.meta_batch * (config.context + config.batch))

    def state_dict(self) -> dict[str, Tensor]:
        """Encoder and actor; for training also critics, optimizers and replay."""
        return state_of(self._parts())

    def load_state_dict(self, state: dict[str, Tensor]) -> None:
        """Restores a state, or the policy's part of one."""
        load_state(self._parts(), state)
        self.steps.forget()

    def _parts(self) -> Parts:
        return {
            "encoder": self.encoder,
            **self.sac.parts(),
            "training/encoder_optimiser": self.encoder_optimizer,
            "training/replay": self.replay,
            "training/replay_recent": self.recent,
        }

    def _draws(self, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """Standard normal numbers of a gradient step. `[task, latent]`, `[2, task, n, action]`, on the CPU."""
        config = self.config
        latent = torch.randn(config.meta_batch, config.latent, generator=generator)
        return latent, torch.randn(2, config.meta_batch, config.batch, self.spaces.action, generator=generator)

    def _learn(self, context: Tensor, batch: Tensor, draws: Tensor, noise: Tensor) -> Tensor:
        """Takes one step of critics, encoder and actor, in place, without synchronising with the device. `[metric]`.

        Args:
            context: Transitions on the prior. `[task, n, transition]`
            batch: Transitions. `[task, n, transition]`
            draws: Of the latent sample. `[task, latent]`
            noise: Of the actions. `[2, task, n, action]`
        """
        config, sac = self.config, self.sac
        # The posterior q(z|c): a product of one Gaussian factor for each transition of the context.
        precision, weighted_mean = product_of_gaussians(self.encoder(context[..., : self.context]))
        mean, variance = weighted_mean / precision, 1 / precision
        sample = mean + variance.sqrt() * draws  # reparametrised: gradients reach the encoder
        latent = sample.unsqueeze(-2).expand(-1, batch.shape[1], -1)  # [task, n, latent]
        fixed, steps = latent.detach(), Transitions.of_columns(batch, self.spaces)

        # Critics and encoder: the critics' loss, and the KL divergence from posterior to prior (bottleneck).
        target = sac.target(steps, noise[0], fixed)
        critic_loss = sac.critic_loss(steps, target, latent)
        kl = 0.5 * (variance + mean.square() - 1 - variance.log()).sum()
        self.encoder_optimizer.zero_grad()
        sac.critic_optimizer.zero_grad()
        (critic_loss + config.kl_weight * kl).backward()
        sac.critic_optimizer.step()
        self.encoder_optimizer.step()

        # Actor: no gradient reaches the encoder through the latent sample.
        actor_loss, entropy = sac.actor_step(steps.obs, noise[1], fixed)
        sac.move_targets()
        return torch.stack((critic_loss, actor_loss, kl / config.meta_batch, entropy)).detach()
