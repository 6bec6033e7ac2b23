"""PEARL: Rakelly et al. 2019, https://arxiv.org/abs/1903.08254."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Annotated, ClassVar, NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

from robometa.compute.cuda_graphs import CapturedSteps, captures, uploaded
from robometa.data import Rollout, Spaces, Step, Trial
from robometa.errors import Options
from robometa.nn.networks import Perceptron, normal_log_density
from robometa.nn.state import Parts, load_state, state_of
from robometa.noise import Noise
from robometa.rl.learning_rate import set_learning_rate, steps_taken
from robometa.rl.replay import TaskReplay


@dataclass(frozen=True)
class Config(Options):
    """Options of PEARL; the defaults are sized for a CPU."""

    iterations: Annotated[int, "[1, inf)"] = 600
    """Training iterations."""
    tasks: Annotated[int, "[1, inf)"] = 20
    """Tasks of an iteration's trial."""
    worlds: Annotated[int, "[1, inf)"] = 2
    """Worlds of each task; each has a belief of its own."""
    shots: Annotated[int, "[1, inf)"] = 1
    """Adaptations within a training trial: before the first it acts on the prior, from then on on the posterior."""
    latent: Annotated[int, "[1, inf)"] = 5
    """Numbers of the latent task variable."""
    hidden: Annotated[tuple[int, ...], "[1, inf)"] = (128, 128, 128)
    """Widths of the hidden layers of actor and critics, ReLU."""
    encoder_hidden: Annotated[tuple[int, ...], "[1, inf)"] = (128, 128, 128)
    """Widths of the context encoder's hidden layers, ReLU."""
    context: Annotated[int, "[1, inf)"] = 100
    """Transitions from which the belief is inferred in an update."""
    context_next_obs: bool = False
    """Let the encoder see what an action led to: needed where the dynamics differ between tasks."""
    meta_batch: Annotated[int, "[1, inf)"] = 8
    """Tasks of a gradient step."""
    batch: Annotated[int, "[1, inf)"] = 128
    """Transitions per task of a gradient step."""
    gradient_steps: Annotated[int, "[1, inf)"] = 200
    """Gradient steps of an iteration."""
    capacity: Annotated[int, "[1, inf)"] = 20_000
    """Transitions that the replay keeps of each task."""
    learning_rate: Annotated[float, "(0, inf)"] = 3e-4
    """Of Adam, for every network."""
    final_learning_rate: Annotated[float, "(0, inf)"] = 3e-5
    """What it falls to, linearly: the policy of a moment is noisy while the rate is high."""
    decay_begin: Annotated[int, "[0, inf)"] = 450
    """Iteration from which it falls."""
    decay_end: Annotated[int, "[1, inf)"] = 600
    """Iteration from which it stays."""
    discount: Annotated[float, "(0, 1)"] = 0.99
    """Discount per step."""
    target_rate: Annotated[float, "(0, 1]"] = 0.005
    """How far the target critics move towards the critics at every step."""
    reward_scale: Annotated[float, "(0, inf)"] = 5.0
    """Factor on rewards in the critics' targets."""
    temperature: Annotated[float, "[0, inf)"] = 0.2
    """Weight of the policy's entropy."""
    kl_weight: Annotated[float, "[0, inf)"] = 0.1
    """Weight of the KL divergence from the belief to the prior, summed over tasks and latents."""


PRESETS = {
    "cpu": Config(),
    "paper": Config(
        iterations=500,
        tasks=5,
        worlds=2,
        hidden=(300, 300, 300),
        encoder_hidden=(200, 200, 200),
        meta_batch=16,
        batch=256,
        gradient_steps=2000,
        capacity=100_000,
        final_learning_rate=3e-4,
        temperature=1.0,
    ),
}
"""Sizes for a CPU, and the paper's."""


METRICS = ("critic_loss", "actor_loss", "kl_per_task", "entropy")
AHEAD = 50
"""Gradient steps whose numbers stand on a GPU before they are needed."""
TF32 = True
"""Multiply in TF32 in a gradient step on a GPU: 10 bits of each factor, summed in float32."""


class Belief(NamedTuple):
    """A Gaussian belief over each world's latent task variable, and a sample of it."""

    precision: Tensor
    """Sum of the factors' precisions; zero before any evidence. `[task, world, latent]`"""
    weighted_mean: Tensor
    """Sum of the factors' means times precisions. `[task, world, latent]`"""
    sample: Tensor
    """What the policy acts on. `[task, world, latent]`"""


class Pearl:
    """Infers a latent task variable from context and acts on a sample of it; learns off-policy with SAC."""

    configuration: ClassVar[type] = Config
    pools_worlds: ClassVar[bool] = False

    def __init__(self, config: Config, spaces: Spaces, seed: int, device: torch.device | str = "cpu") -> None:
        """Untrained networks, their weights drawn from `seed`; the two critics differ."""
        self.config, self.spaces, self.device = config, spaces, torch.device(device)
        obs, action, latent = spaces.observation, spaces.action, config.latent
        generator = Noise(seed, ("learner",), 1, 1).torch_generator()
        transition = obs + action + 1 + (obs if config.context_next_obs else 0)
        self.encoder = Perceptron((transition, *config.encoder_hidden, 2 * latent), generator)
        self.actor = Perceptron((obs + latent, *config.hidden, 2 * action), generator, last_limit=1e-3)
        self.critics = torch.nn.ModuleList(
            Perceptron((obs + action + latent, *config.hidden, 1), generator, last_limit=3e-3) for _ in range(2)
        )
        self.targets = torch.nn.ModuleList(
            Perceptron((obs + action + latent, *config.hidden, 1), generator) for _ in range(2)
        )
        self.targets.load_state_dict(self.critics.state_dict())
        self.targets.requires_grad_(False)
        for network in (self.encoder, self.actor, self.critics, self.targets):
            network.to(self.device)
        self.actor_optimizer, self.critic_optimizer, self.encoder_optimizer = (
            self._adam(network) for network in (self.actor, self.critics, self.encoder)
        )
        width = 2 * obs + action + 2
        self.replay = TaskReplay(config.capacity, width, self.device)
        # Context comes from the latest experience on the prior.
        self.recent = TaskReplay(config.capacity, width, self.device)
        self._captured = None
        if captures(self.device):
            self._captured = CapturedSteps(self._learn, self._changed, len(METRICS), self.device)

    def begin(self, tasks: int, worlds: int, noise: Noise) -> Belief:
        """The prior, and a sample of it for each world."""
        sample = noise.normal(self.config.latent).to(self.device)
        return Belief(torch.zeros_like(sample), torch.zeros_like(sample), sample)

    def act(self, adaptation: Belief, step: Step, noise: Tensor) -> tuple[Tensor, Belief]:
        """Actions of the policy given each world's sample. `[task, world, action]`"""
        mean, log_std = self._policy(step.obs, adaptation.sample)
        return torch.tanh(mean + log_std.exp() * noise), adaptation

    @torch.no_grad()
    def adapt(self, adaptation: Belief, rollout: Rollout, noise: Noise) -> Belief:
        """Multiplies the evidence of each world's transitions into its belief, and samples again."""
        precision, weighted_mean = self._evidence(self._context(self._transitions(rollout)), ~rollout.diverged)
        precision = adaptation.precision + precision
        weighted_mean = adaptation.weighted_mean + weighted_mean
        draws = noise.normal(self.config.latent).to(self.device)
        sample = weighted_mean / precision + draws * precision.rsqrt()
        return Belief(precision, weighted_mean, torch.where(precision > 0, sample, draws))  # no evidence: the prior

    def update(self, trial: Trial) -> dict[str, float]:
        """Stores the trial, then takes gradient steps on tasks and transitions drawn from the replay."""
        config = self.config
        tasks = trial.tasks.tolist()
        for rollout in trial.rollouts:
            for task, transitions in zip(tasks, self._sound(rollout), strict=True):
                self.replay.add(task, transitions)
        latest = [(task, part) for task, part in zip(tasks, self._sound(trial.rollouts[0]), strict=True) if len(part)]
        for task in {task for task, _ in latest}:
            self.recent.clear(task)
        for task, transitions in latest:
            self.recent.add(task, transitions)
        self._set_learning_rate()
        known = torch.tensor(self.recent.tasks())
        if not len(known):
            return dict.fromkeys(METRICS, 0.0)
        generator = trial.noise.torch_generator()
        if self._captured is not None:
            logged = self._captured.run(self._drawn_ahead(known, generator), config.gradient_steps)
        else:
            logged = torch.stack([self._plain_step(known, generator) for _ in range(config.gradient_steps)])
        return dict(zip(METRICS, logged.mean(dim=0).tolist(), strict=True))

    def state(self) -> dict[str, Tensor]:
        """Encoder and actor; for training also critics, optimizers and replay."""
        return state_of(self._parts())

    def load(self, state: dict[str, Tensor]) -> None:
        """Takes a state back, or the policy's part of one."""
        load_state(self._parts(), state)
        if self._captured is not None:
            self._captured.forget()

    def _parts(self) -> Parts:
        return {
            "encoder": self.encoder,
            "actor": self.actor,
            "training/critics": self.critics,
            "training/targets": self.targets,
            "training/actor_optimiser": self.actor_optimizer,
            "training/critic_optimiser": self.critic_optimizer,
            "training/encoder_optimiser": self.encoder_optimizer,
            "training/replay": self.replay,
            "training/replay_recent": self.recent,
        }

    def _adam(self, network: torch.nn.Module) -> torch.optim.Optimizer:
        """What takes the gradient steps of a network; where these are captured in a graph it reads its rate there."""
        rate, captured = self.config.learning_rate, captures(self.device)
        held = torch.tensor(rate, device=self.device) if captured else rate
        return torch.optim.Adam(network.parameters(), lr=held, fused=True, capturable=captured)

    def _changed(self) -> list[Tensor]:
        """What a gradient step changes."""
        networks = (self.encoder, self.actor, self.critics, self.targets)
        optimizers = (self.actor_optimizer, self.critic_optimizer, self.encoder_optimizer)
        kept = [tensor for optimizer in optimizers for entry in optimizer.state.values() for tensor in entry.values()]
        return [*(weight for network in networks for weight in network.parameters()), *kept]

    def _set_learning_rate(self) -> None:
        config = self.config
        taken = steps_taken(self.actor_optimizer)
        past = taken / config.gradient_steps - config.decay_begin
        share = min(max(past / max(config.decay_end - config.decay_begin, 1), 0.0), 1.0)
        rate = config.learning_rate + share * (config.final_learning_rate - config.learning_rate)
        for optimizer in (self.actor_optimizer, self.critic_optimizer, self.encoder_optimizer):
            set_learning_rate(optimizer, rate)

    @staticmethod
    def _transitions(rollout: Rollout) -> Tensor:
        """What the replay keeps of each step. `[task, world, time, 2 * obs + action + 2]`"""
        # A time limit is not a terminal: only `terminated` stops the critics' targets.
        reward, terminated = rollout.reward.unsqueeze(-1), rollout.terminated.float().unsqueeze(-1)
        action = rollout.action.clamp(-1, 1)
        return torch.cat((rollout.obs, action, reward, rollout.next_obs, terminated), dim=-1)

    def _sound(self, rollout: Rollout) -> list[Tensor]:
        """The transitions of each task at which the simulation did not diverge. `[n, transition]`"""
        transitions = self._transitions(rollout)
        if rollout.blown_up() is None:
            return list(transitions.flatten(1, 2))
        return [of_task[sound] for of_task, sound in zip(transitions, ~rollout.diverged, strict=True)]

    def _context(self, transitions: Tensor) -> Tensor:
        """What the encoder sees of transitions: no terminals, and the next observation only where dynamics differ."""
        obs, action = self.spaces.observation, self.spaces.action
        return transitions[..., : 2 * obs + action + 1 if self.config.context_next_obs else obs + action + 1]

    def _evidence(self, context: Tensor, counts: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Precision and precision-weighted mean of the product of each transition's factor. `[..., latent]`

        Args:
            context: `[..., n, context]`
            counts: Which transitions count; all if None. `[..., n]`, bool
        """
        mean, raw = self.encoder(context).chunk(2, dim=-1)
        precision = 1 / functional.softplus(raw).clamp(min=1e-7)
        if counts is not None:
            precision = precision * counts.unsqueeze(-1)
        return precision.sum(dim=-2), (precision * mean).sum(dim=-2)

    def _policy(self, obs: Tensor, latent: Tensor) -> tuple[Tensor, Tensor]:
        mean, log_std = self.actor(torch.cat((obs, latent), dim=-1)).chunk(2, dim=-1)
        return mean, log_std.clamp(-20, 2)

    def _sampled_action(self, obs: Tensor, latent: Tensor, noise: Tensor) -> tuple[Tensor, Tensor]:
        """An action of the policy, and its log density. `[..., action]`, `[...]`"""
        mean, log_std = self._policy(obs, latent)
        output = mean + log_std.exp() * noise
        # log(1 - tanh(x)^2), written so that it does not underflow
        squash = 2 * (math.log(2) - output - functional.softplus(-2 * output)).sum(dim=-1)
        return torch.tanh(output), normal_log_density(output, mean, log_std) - squash

    @staticmethod
    def _values(critics: torch.nn.ModuleList, obs: Tensor, action: Tensor, latent: Tensor) -> Tensor:
        """What each critic thinks of an action. `[critic, ...]`"""
        x = torch.cat((obs, action, latent), dim=-1)
        return torch.stack([critic(x)[..., 0] for critic in critics])

    def _plain_step(self, known: Tensor, generator: torch.Generator) -> Tensor:
        """A gradient step on some of the tasks that something is known of. `[metric]`"""
        config = self.config
        tasks = known[torch.randint(len(known), (config.meta_batch,), generator=generator)].tolist()
        context = self.recent.sample(tasks, config.context, generator)
        batch = self.replay.sample(tasks, config.batch, generator)
        return self._gradient_step(context, batch, generator)

    def _drawn_ahead(self, known: Tensor, generator: torch.Generator) -> Iterator[tuple[Tensor, ...]]:
        """What the gradient steps of an update learn from, some steps at a time, drawn in their order.

        Each is what `_learn` takes, for every step: `[step, ...]`. The host draws the next while the device learns.
        """
        config, steps = self.config, self.config.gradient_steps
        for start in range(0, steps, AHEAD):
            tasks: list[int] = []
            contexts, batches, draws = [], [], []
            for _ in range(min(AHEAD, steps - start)):
                some = known[torch.randint(len(known), (config.meta_batch,), generator=generator)].tolist()
                tasks += some
                contexts.append(self.recent.places(some, config.context, generator))
                batches.append(self.replay.places(some, config.batch, generator))
                draws.append(self._draws(generator))
            rows = (len(draws), config.meta_batch)
            yield (
                self.recent.take(tasks, torch.cat(contexts)).unflatten(0, rows),
                self.replay.take(tasks, torch.cat(batches)).unflatten(0, rows),
                *(uploaded(torch.stack(parts), self.device) for parts in zip(*draws, strict=True)),
            )

    def _draws(self, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """Standard normal numbers of a gradient step. `[task, latent]`, `[2, task, n, action]`, on the CPU"""
        config = self.config
        latent = torch.randn(config.meta_batch, config.latent, generator=generator)
        return latent, torch.randn(2, config.meta_batch, config.batch, self.spaces.action, generator=generator)

    def _gradient_step(self, context: Tensor, batch: Tensor, generator: torch.Generator) -> Tensor:
        """One step of critics, encoder and actor. `[metric]`

        Args:
            context: Transitions on the prior. `[task, n, transition]`
            batch: Transitions. `[task, n, transition]`
            generator: For the latent sample and the actions.
        """
        return self._learn(context, batch, *(draws.to(self.device) for draws in self._draws(generator)))

    def _learn(self, context: Tensor, batch: Tensor, draws: Tensor, noise: Tensor) -> Tensor:
        """The same with what was drawn: it changes tensors in place, and asks nothing of the device. `[metric]`

        Args:
            context: Transitions on the prior. `[task, n, transition]`
            batch: Transitions. `[task, n, transition]`
            draws: Of the latent sample. `[task, latent]`
            noise: Of the actions. `[2, task, n, action]`
        """
        with products_in_tf32(TF32 and self.device.type == "cuda"):
            return self._learned(context, batch, draws, noise)

    def _learned(self, context: Tensor, batch: Tensor, draws: Tensor, noise: Tensor) -> Tensor:
        """The same, with products of whatever precision is set."""
        config, spaces = self.config, self.spaces
        widths = (spaces.observation, spaces.action, 1, spaces.observation, 1)
        obs, action, reward, next_obs, terminated = batch.split(widths, dim=-1)
        precision, weighted_mean = self._evidence(self._context(context))
        mean, variance = weighted_mean / precision, 1 / precision
        sample = mean + variance.sqrt() * draws
        latent = sample.unsqueeze(-2).expand(-1, batch.shape[1], -1)  # [task, n, latent]
        known = latent.detach()

        with torch.no_grad():
            next_action, next_log_density = self._sampled_action(next_obs, known, noise[0])
            next_value = self._values(self.targets, next_obs, next_action, known).amin(dim=0)
            next_value -= config.temperature * next_log_density
            goes_on = config.discount * (1 - terminated[..., 0])
            target = config.reward_scale * reward[..., 0] + goes_on * next_value
        # The encoder learns from the critics' loss and the KL divergence only.
        critic_loss = (self._values(self.critics, obs, action, latent) - target).square().mean(dim=(1, 2)).sum()
        kl = 0.5 * (variance + mean.square() - 1 - variance.log()).sum()
        self.encoder_optimizer.zero_grad()
        self.critic_optimizer.zero_grad()
        (critic_loss + config.kl_weight * kl).backward()
        self.critic_optimizer.step()
        self.encoder_optimizer.step()

        # The policy sees the latent without a way back to the encoder, and the critics stand still.
        new_action, log_density = self._sampled_action(obs, known, noise[1])
        self.critics.requires_grad_(False)
        value = self._values(self.critics, obs, new_action, known).amin(dim=0)
        self.critics.requires_grad_(True)
        actor_loss = (config.temperature * log_density - value).mean()
        self.actor_optimizer.zero_grad()
        actor_loss.backward()
        self.actor_optimizer.step()
        with torch.no_grad():
            torch._foreach_lerp_(list(self.targets.parameters()), list(self.critics.parameters()), config.target_rate)
        return torch.stack((critic_loss, actor_loss, kl / config.meta_batch, -log_density.mean())).detach()


@contextmanager
def products_in_tf32(wanted: bool) -> Iterator[None]:
    """Multiplies matrices on a GPU in TF32 for as long as the block, if wanted; a captured graph keeps to it."""
    before = torch.backends.cuda.matmul.allow_tf32
    torch.backends.cuda.matmul.allow_tf32 = before or wanted
    try:
        yield
    finally:
        torch.backends.cuda.matmul.allow_tf32 = before
