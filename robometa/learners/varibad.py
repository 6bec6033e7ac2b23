"""VariBAD: Zintgraf et al. 2020, https://arxiv.org/abs/1910.08348.

Read `act` (a policy on the belief), then `_shortfall` (the terms of the ELBO that trains encoder and decoders);
`update` trains the policy with PPO on whole trials, without a gradient into the encoder.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, ClassVar

import torch
from torch import Tensor, nn

from robometa.compute.cuda_graphs import uploaded
from robometa.compute.parallel import descend, for_each_task, shares_of
from robometa.data import Rollout, Spaces, Step, Trial
from robometa.errors import Search
from robometa.nn.actor_critic import PerceptronActorCritic
from robometa.nn.state import Parts
from robometa.nn.task_belief import Decoders, Encoder, KeptTrials, Moves, RememberedBelief, divergences, sampled
from robometa.noise import Noise
from robometa.rl import gradient_samples, ppo, ppo_on_trials
from robometa.rl.learning_rate import adam, captured_steps
from robometa.rl.ppo_on_trials import TrialLearner
from robometa.rl.replay import TrialReplay

CHUNK = 16
"""Trials that one thread encodes and decodes together; the chunks are the same on every machine."""


@dataclass(frozen=True)
class Config(ppo_on_trials.Options):
    """Options of VariBAD; the defaults are sized for a CPU."""

    minibatches: Annotated[int, "[1, inf)", Search(2, 32, log=True)] = 16
    learning_rate: Annotated[float, "(0, inf)", Search(1e-4, 3e-3, log=True)] = 1e-3
    """Learning rate of Adam, for policy and values."""
    latent: Annotated[int, "[1, inf)", Search(2, 16, log=True)] = 5
    """Size of the latent task variable."""
    memory_size: Annotated[int, "[1, inf)", Search(32, 256, log=True)] = 64
    """Width of the encoder's recurrent unit."""
    hidden: Annotated[tuple[int, ...], "[1, inf)", Search(16, 256, log=True, depth=(1, 3))] = (128, 128)
    """Widths of the hidden layers of policy and values, tanh."""
    decoder_hidden: Annotated[tuple[int, ...], "[1, inf)", Search(16, 256, log=True, depth=(1, 3))] = (64, 32)
    """Widths of the decoders' hidden layers, ReLU."""
    decode_state: bool = False
    """Let the belief predict the next observation too: needed where dynamics differ between tasks."""
    state_error: Annotated[str, "{sum, mean}"] = "sum"
    """Squared error of a predicted observation: sum or mean over its dimensions."""
    kl_weight: Annotated[float, "[0, inf)", Search(0.01, 1.0, log=True)] = 0.1
    """Weight of the KL divergence from each belief to the one before, the first one's to the prior."""
    decoder_learning_rate: Annotated[float, "(0, inf)", Search(1e-4, 3e-3, log=True)] = 1e-3
    """Learning rate of Adam, for encoder and decoders."""
    decoder_gradient_norm: Annotated[float, "[0, inf)"] = 0.0
    """Maximum norm of a gradient of encoder and decoders; longer ones are scaled down. 0 keeps all."""
    gradient_steps: Annotated[int, "[1, inf)", Search(2, 32, log=True)] = 8
    """Gradient steps of encoder and decoders in an iteration."""
    batch: Annotated[int, "[1, inf)"] = 32
    """Trials of a gradient step of encoder and decoders."""
    beliefs: Annotated[int, "[1, inf)"] = 16
    """Moments of each trial at which the belief is decoded, drawn at random."""
    decodes: Annotated[int, "[1, inf)"] = 64
    """Steps of each trial that every belief predicts, drawn at random from past and future."""
    capacity: Annotated[int, "[1, inf)"] = 1000
    """Trials in the replay of encoder and decoders."""


PRESETS = {
    "cpu": Config(),
    "paper": Config(
        epochs=2,
        minibatches=8,
        discount=0.97,
        gae_lambda=0.9,
        entropy_weight=0.01,
        clip=0.1,
        learning_rate=7e-4,
        final_learning_rate=7e-4,
        initial_std=1.0,
        memory_size=128,
        gradient_steps=32,
        batch=10,
        beliefs=50,
        decodes=50,
        capacity=10_000,
        state_error="mean",
        decoder_gradient_norm=1.0,
    ),
}
"""Sizes for a CPU, and the reference implementation's on half-cheetah-velocity."""
METRICS = ("reward_error", "state_error", "belief_kl")


class Varibad(TrialLearner[PerceptronActorCritic]):
    """Infers a belief over the task at every step, by predicting it, and learns to act on the belief."""

    configuration: ClassVar[type] = Config
    config: Config

    def __init__(self, config: Config, spaces: Spaces, seed: int, device: torch.device | str = "cpu") -> None:
        """Untrained networks, their weights drawn from `seed`."""
        obs, action, latent = spaces.observation, spaces.action, config.latent
        generator = Noise(seed, ("learner",), 1, 1).torch_generator()
        network = PerceptronActorCritic(obs + 2 * latent, action, config.hidden, config.initial_std, generator)
        super().__init__(config, network, spaces, device)
        self.spaces = spaces
        self.encoder = Encoder(obs + action + 2, config.memory_size, latent, generator).to(self.device)
        sizes = spaces, latent, config.decoder_hidden, config.decode_state, generator
        self.decoders = Decoders(*sizes, mean_error=config.state_error == "mean").to(self.device)
        self.predicting = nn.ModuleList((self.encoder, self.decoders))
        self.predicting_optimizer = adam(self.predicting, config.decoder_learning_rate, self.device)
        self.captured_prediction = captured_steps(
            self._predicting_step, self.predicting, self.predicting_optimizer, len(METRICS), self.device
        )
        self.replay = TrialReplay(config.capacity, self.device)

    def begin(self, tasks: int, worlds: int, noise: Noise) -> RememberedBelief:
        """The prior, and an empty memory for each world."""
        return RememberedBelief.prior((tasks, worlds), self.config.memory_size, self.config.latent, self.device)

    @torch.no_grad()
    def act(self, adaptation: RememberedBelief, step: Step, noise: Tensor) -> tuple[Tensor, RememberedBelief]:
        """Actions, and the belief after the step. `[task, world, action]`."""
        belief = self.encoder.follow(adaptation, self._inputs(step))
        # The policy is given mean and variance: it can act to find out what is uncertain.
        known = torch.cat((self.observations(step.obs), belief.mean, belief.log_variance), dim=-1)
        return self.network.actor(known) + self.network.log_std.exp() * noise, belief

    def update(self, trial: Trial) -> dict[str, float]:
        """PPO on whole trials given the beliefs as they were, then gradient steps of encoder and decoders."""
        rollout = trial.joined()
        # Beliefs as they were when it acted: the encoder has not changed since. [trial, time + 1, ...]
        known = self._known(rollout.seen())
        whole = self._experience(trial, (known[:, :-1],), ppo.outputs(self.network, known, self.config.chunk))
        # The policy has no memory: short segments mix well.
        metrics = self._trained_on(ppo.shortened(whole), trial.noise)
        self._include(rollout)
        predicted = self._predict(rollout, trial.noise.fork("predict").torch_generator())
        encoded = self.config.gradient_steps * self.config.batch * rollout.reward.shape[-1]  # whole trials
        return gradient_samples.with_samples(metrics | predicted, encoded)

    def _parts(self) -> Parts:
        return {
            **super()._parts(),
            "encoder": self.encoder,
            "training/decoders": self.decoders,
            "training/predicting_optimiser": self.predicting_optimizer,
            "training/replay": self.replay,
        }

    def _known(self, seen: Step) -> Tensor:
        """Inputs of the policy along trials, without gradients into the encoder. `[n, time, obs + 2 * latent]`."""
        chunks = shares_of(self._inputs(seen).flatten(0, 1), self.config.chunk)

        def of_chunk(inputs: Tensor) -> Tensor:
            with torch.no_grad():
                return torch.cat((inputs[..., : self.spaces.observation], *self.encoder(inputs)), dim=-1)

        return torch.cat(for_each_task(of_chunk, chunks))

    def _predict(self, rollout: Rollout, generator: torch.Generator) -> dict[str, float]:
        """Stores the trials, takes gradient steps on stored ones and returns metrics."""
        trials = KeptTrials.of_rollout(rollout).columns()  # [trial, time, column]
        self.replay.add(trials[~rollout.diverged.flatten(0, 1).any(dim=1)])  # no task explains a step that diverged
        if not len(self.replay):
            return dict.fromkeys(METRICS, 0.0)
        drawn = [self._drawn(trials.shape[1:], generator) for _ in range(self.config.gradient_steps)]
        if self.captured_prediction is not None:
            logged = self.captured_prediction.run([[torch.stack(row) for row in zip(*drawn, strict=True)]], len(drawn))
        else:
            logged = torch.stack([self._predicting_step(*row) for row in drawn])
        return dict(zip(METRICS, logged.mean(dim=0).tolist(), strict=True))

    def _drawn(self, shape: torch.Size, generator: torch.Generator) -> tuple[Tensor, ...]:
        """Trials of a shape `[time, column]` from the replay, and random numbers, as for `_predicting_step`."""
        config, time = self.config, shape[0]
        trials = self.replay.sample(config.batch, generator).unflatten(-1, shape)
        moments = torch.randint(time + 1, (config.batch, config.beliefs), generator=generator)
        targets = torch.randint(time, (config.batch, config.decodes), generator=generator)
        draws = torch.randn(config.batch, config.beliefs, config.latent, generator=generator)
        return trials, *(uploaded(numbers, self.device) for numbers in (moments, targets, draws))

    def _predicting_step(self, batch: Tensor, moments: Tensor, targets: Tensor, draws: Tensor) -> Tensor:
        """One step of encoder and decoders on arguments of `_shortfall`, without waiting for the device. `[metric]`."""
        trials, time, _ = batch.shape

        def of_chunk(*chunk: Tensor) -> tuple[Tensor, Tensor]:
            terms = len(chunk[0]) / trials * self._shortfall(*chunk)
            # Negative ELBO: the evidence of a whole trial, of which the drawn steps are a sample, and the divergence.
            return time * terms[:2].sum() + self.config.kl_weight * terms[2], terms

        parameters = list(self.predicting.parameters())
        logged = descend(of_chunk, parameters, *(shares_of(part, CHUNK) for part in (batch, moments, targets, draws)))
        if self.config.decoder_gradient_norm:
            torch.nn.utils.clip_grad_norm_(parameters, self.config.decoder_gradient_norm)
        self.predicting_optimizer.step()
        return logged

    def _shortfall(self, batch: Tensor, moments: Tensor, targets: Tensor, draws: Tensor) -> Tensor:
        """Terms of the negative ELBO: squared errors of reward and state, and KL divergence between beliefs.

        Args:
            batch: Kept trials. `[trial, time, column]`
            moments: Moments of the predicting beliefs, which know the trial so far only. `[trial, belief]`
            targets: Steps that each of them predicts. `[trial, decode]`
            draws: Standard normal numbers. `[trial, belief, latent]`

        Returns:
            Means over trials, beliefs and steps. `[3]`
        """
        trial = KeptTrials.of_columns(batch, self.spaces)
        # Encode: the belief at every moment, of which some are sampled.
        mean, log_variance = self.encoder(self._inputs(trial.seen()))  # [trial, time + 1, latent]
        latent = sampled(mean, log_variance, moments, draws)  # [trial, belief, latent]
        # Decode: each of them predicts steps of past and future alike.
        steps = trial.at(targets)  # [trial, decode, ...]
        start, end, reward = self.observations(steps.obs), self.observations(steps.next_obs), self.rewards(steps.reward)
        errors = self.decoders(latent, Moves(start, steps.action, reward, end))
        return torch.cat((errors, divergences(mean, log_variance).mean().reshape(1)))
