"""VariBAD: Zintgraf et al. 2020, https://arxiv.org/abs/1910.08348."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, ClassVar, NamedTuple

import torch
from torch import Tensor, nn

from robometa.compute.cuda_graphs import uploaded
from robometa.compute.parallel import descend, for_each_task, shares_of
from robometa.data import Rollout, Spaces, Step, Trial
from robometa.nn.actor_critic import Output
from robometa.nn.networks import Perceptron
from robometa.nn.normalizer import Normalizer
from robometa.nn.state import TRAINING, Parts, load_state, state_of
from robometa.nn.task_belief import Decoders, Encoder, Moves, divergences
from robometa.noise import Noise
from robometa.rl import ppo, ppo_on_trials
from robometa.rl.replay import TaskReplay

CHUNK = 16
"""Trials that one thread encodes and decodes together: the same pieces on every machine."""


@dataclass(frozen=True)
class Config(ppo.Options):
    """Options of VariBAD; the defaults are sized for a CPU."""

    minibatches: Annotated[int, "[1, inf)"] = 16
    """Gradient steps of a pass, each on its share of the trials' pieces."""
    learning_rate: Annotated[float, "(0, inf)"] = 1e-3
    """Of Adam, for the policy and its values."""
    tasks: Annotated[int, "[1, inf)"] = 64
    """Tasks of an iteration."""
    worlds: Annotated[int, "[1, inf)"] = 2
    """Worlds of each task; each is a trial of its own."""
    shots: Annotated[int, "[0, inf)"] = 1
    """Episodes of a training trial after its first; the belief is carried from one into the next."""
    latent: Annotated[int, "[1, inf)"] = 5
    """Numbers of the latent task variable."""
    memory_size: Annotated[int, "[1, inf)"] = 64
    """Numbers that the encoder's recurrent unit puts out."""
    hidden: Annotated[tuple[int, ...], "[1, inf)"] = (128, 128)
    """Widths of the hidden layers of policy and values, tanh."""
    decoder_hidden: Annotated[tuple[int, ...], "[1, inf)"] = (64, 32)
    """Widths of the decoders' hidden layers, ReLU."""
    decode_state: bool = False
    """Let the belief predict what an action leads to as well: needed where the dynamics differ between tasks."""
    kl_weight: Annotated[float, "[0, inf)"] = 0.1
    """Weight of the KL divergence from each belief to the one before, the first one's to the prior."""
    decoder_learning_rate: Annotated[float, "(0, inf)"] = 1e-3
    """Of Adam, for encoder and decoders."""
    gradient_steps: Annotated[int, "[1, inf)"] = 8
    """Gradient steps of encoder and decoders in an iteration."""
    batch: Annotated[int, "[1, inf)"] = 32
    """Trials of such a step."""
    beliefs: Annotated[int, "[1, inf)"] = 16
    """Moments of each of them whose belief is decoded, drawn at random."""
    decodes: Annotated[int, "[1, inf)"] = 64
    """Steps of each of them that every such belief predicts, drawn at random from past and future alike."""
    capacity: Annotated[int, "[1, inf)"] = 1000
    """Trials that are kept to learn encoder and decoders from."""


PRESETS = {
    "cpu": Config(),
    "paper": Config(
        epochs=2,
        minibatches=4,
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
        decodes=400,
        capacity=10_000,
    ),
}
"""Sizes for a CPU, and the reference implementation's."""


class Belief(NamedTuple):
    """A Gaussian belief over each world's latent task variable, and the memory that it is read from."""

    memory: Tensor
    """`[task, world, memory]`"""
    mean: Tensor
    """`[task, world, latent]`"""
    log_variance: Tensor
    """`[task, world, latent]`"""


class Kept(NamedTuple):
    """Columns of the trials that are kept to learn from, as they happened. `[trial, time, ...]` each"""

    obs: Tensor
    """Before each action."""
    action: Tensor
    """As the learner emitted it."""
    reward: Tensor
    """What it was paid."""
    next_obs: Tensor
    """What it led to, before any reset."""
    done: Tensor
    """1 where it ended an episode."""


class Network(nn.Module):
    """What to do and what to expect, given an observation and a belief."""

    def __init__(self, config: Config, spaces: Spaces, generator: torch.Generator) -> None:
        """Untrained."""
        super().__init__()
        widths = (spaces.observation + 2 * config.latent, *config.hidden)
        self.actor = Perceptron((*widths, spaces.action), generator, nn.Tanh, last_limit=1e-3)
        self.critic = Perceptron((*widths, 1), generator, nn.Tanh)
        self.log_std = nn.Parameter(torch.full((spaces.action,), config.initial_std).log())

    def forward(self, known: Tensor) -> Output:
        """What it says along trials. `[n, time, obs + 2 * latent]`"""
        return Output(self.actor(known), self.log_std, self.critic(known)[..., 0])


class Varibad:
    """Infers a belief over the task at every step, by predicting it, and learns to act on the belief."""

    configuration: ClassVar[type] = Config
    pools_worlds: ClassVar[bool] = False

    def __init__(self, config: Config, spaces: Spaces, seed: int, device: torch.device | str = "cpu") -> None:
        """Untrained networks, their weights drawn from `seed`."""
        self.config, self.spaces, self.device = config, spaces, torch.device(device)
        obs, action = spaces.observation, spaces.action
        generator = Noise(seed, ("learner",), 1, 1).torch_generator()
        self.network = Network(config, spaces, generator).to(self.device)
        self.encoder = Encoder(obs + action + 2, config.memory_size, config.latent, generator).to(self.device)
        decoders = Decoders(spaces, config.latent, config.decoder_hidden, config.decode_state, generator)
        self.decoders = decoders.to(self.device)
        self.optimizer = torch.optim.Adam(self.network.parameters(), lr=config.learning_rate, eps=1e-5, fused=True)
        predicting = [*self.encoder.parameters(), *self.decoders.parameters()]
        self.predicting_optimizer = torch.optim.Adam(predicting, lr=config.decoder_learning_rate, fused=True)
        self.observations = Normalizer(obs, device=self.device)
        self.rewards = Normalizer(1, device=self.device)
        self.returns = Normalizer(1, device=self.device)
        self.replay: TaskReplay | None = None  # made with the first trial, whose length it takes

    def begin(self, tasks: int, worlds: int, noise: Noise) -> Belief:
        """The prior, and an empty memory for each world."""
        shape = (tasks, worlds, self.config.latent)
        mean, log_variance = torch.zeros(2, *shape, device=self.device)
        return Belief(torch.zeros(tasks, worlds, self.config.memory_size, device=self.device), mean, log_variance)

    @torch.no_grad()
    def act(self, adaptation: Belief, step: Step, noise: Tensor) -> tuple[Tensor, Belief]:
        """Actions, and the belief that has seen the step. `[task, world, action]`"""
        worlds = adaptation.memory.shape[:2]
        found = self.encoder.step(self._inputs(step).flatten(0, 1), adaptation.memory.flatten(0, 1))
        belief = Belief(*(part.unflatten(0, worlds) for part in found))
        known = torch.cat((self.observations(step.obs), belief.mean, belief.log_variance), dim=-1)
        return self.network.actor(known) + self.network.log_std.exp() * noise, belief

    def adapt(self, adaptation: Belief, rollout: Rollout, noise: Noise) -> Belief:
        """The same: the belief has seen the rollout."""
        return adaptation

    def update(self, trial: Trial) -> dict[str, float]:
        """PPO on whole trials given the beliefs as they were, then gradient steps of encoder and decoders."""
        config, rollout = self.config, trial.joined()
        known = self._known(rollout.seen())
        old = ppo.outputs(self.network, known)
        whole = ppo_on_trials.experience(trial, (known[:, :-1],), old, self.returns, config)
        experience = ppo.shortened(whole)  # the policy has no memory of its own
        metrics = ppo.update(self.network, self.optimizer, experience, config, trial.noise.torch_generator())
        self.observations.include(rollout.obs)
        self.rewards.include(rollout.reward[~rollout.diverged])
        return metrics | self._predict(rollout, trial.noise.fork("predict").torch_generator())

    def state(self) -> dict[str, Tensor]:
        """Policy, encoder and statistics; for training also decoders, optimizers and trials."""
        return state_of(self._parts())

    def load(self, state: dict[str, Tensor]) -> None:
        """Takes a state back, or the policy's part of one."""
        if any(name.startswith(TRAINING) for name in state):
            self.replay = None
        ring = state.get("training/replay/ring/0")
        if ring is not None:
            self._replay(ring.shape[1])
        load_state(self._parts(), state)

    def _parts(self) -> Parts:
        kept = {} if self.replay is None else {"training/replay": self.replay}
        return {
            "network": self.network,
            "encoder": self.encoder,
            "observations": self.observations,
            "rewards": self.rewards,
            "training/returns": self.returns,
            "training/decoders": self.decoders,
            "training/optimiser": self.optimizer,
            "training/predicting_optimiser": self.predicting_optimizer,
            **kept,
        }

    def _replay(self, width: int) -> TaskReplay:
        """The kept trials, each a row of `width` numbers."""
        if self.replay is None:
            self.replay = TaskReplay(self.config.capacity, width, self.device)
        return self.replay

    def _inputs(self, step: Step) -> Tensor:
        """What the encoder takes of a step. `[..., obs + action + 2]`"""
        return ppo_on_trials.inputs(step, self.observations, self.rewards)

    def _known(self, seen: Step) -> Tensor:
        """What the policy takes along trials; no gradient goes into the encoder. `[n, time, obs + 2 * latent]`"""
        pieces = shares_of(self._inputs(seen).flatten(0, 1), ppo.CHUNK)

        def of_piece(inputs: Tensor) -> Tensor:
            with torch.no_grad():
                return torch.cat((inputs[..., : self.spaces.observation], *self.encoder(inputs)), dim=-1)

        return torch.cat(for_each_task(of_piece, pieces))

    def _predict(self, rollout: Rollout, generator: torch.Generator) -> dict[str, float]:
        """Keeps the trials, takes gradient steps on kept ones and returns what to log."""
        config = self.config
        done, reward = rollout.done.unsqueeze(-1).float(), rollout.reward.unsqueeze(-1)
        columns = torch.cat(Kept(rollout.obs, rollout.action, reward, rollout.next_obs, done), dim=-1).flatten(0, 1)
        replay = self._replay(columns[0].numel())
        sound = ~rollout.diverged.flatten(0, 1).any(dim=1)  # a trial with a step that no task explains is left out
        replay.add(0, columns[sound].flatten(1))
        if not replay.tasks():
            return dict.fromkeys(METRICS, 0.0)
        rows = []
        for _ in range(config.gradient_steps):
            batch = replay.sample([0], config.batch, generator)[0].unflatten(-1, columns.shape[1:])
            rows.append(self._predicting_step(batch, generator))
        return dict(zip(METRICS, torch.stack(rows).mean(dim=0).tolist(), strict=True))

    def _predicting_step(self, batch: Tensor, generator: torch.Generator) -> Tensor:
        """One step of encoder and decoders. `[trial, time, column] -> [metric]`"""
        config, (trials, time, _) = self.config, batch.shape
        drawn = (
            torch.randint(time + 1, (trials, config.beliefs), generator=generator),
            torch.randint(time, (trials, config.decodes), generator=generator),
            torch.randn(trials, config.beliefs, config.latent, generator=generator),
        )
        moments, targets, draws = (uploaded(numbers, self.device) for numbers in drawn)
        parameters = [*self.encoder.parameters(), *self.decoders.parameters()]

        def of_piece(*piece: Tensor) -> tuple[Tensor, Tensor]:
            found = len(piece[0]) / trials * self._shortfall(*piece)
            # The evidence of a whole trial, which the drawn steps stand for, against one belief's divergence.
            return time * found[:2].sum() + config.kl_weight * found[2], found

        pieces = (shares_of(part, CHUNK) for part in (batch, moments, targets, draws))
        found = descend(of_piece, parameters, *pieces)
        self.predicting_optimizer.step()
        return found

    def _shortfall(self, batch: Tensor, moments: Tensor, targets: Tensor, draws: Tensor) -> Tensor:
        """What beliefs get wrong: squared errors of reward and state, and the divergence from belief to belief.

        Args:
            batch: Kept trials. `[trial, time, column]`
            moments: Whose beliefs predict; they know the trial so far only. `[trial, belief]`
            targets: Steps that each of them predicts. `[trial, decode]`
            draws: Standard normal numbers. `[trial, belief, latent]`
        Returns: `[3]`, means over trials, beliefs and steps
        """
        obs, action = self.spaces.observation, self.spaces.action
        trial = Kept(*batch.split((obs, action, 1, obs, 1), dim=-1))
        mean, log_variance = self.encoder(self._inputs(_seen(trial)))
        each = torch.arange(len(batch), device=batch.device).unsqueeze(1)
        latent = mean[each, moments] + (0.5 * log_variance[each, moments]).exp() * draws
        steps = Kept(*(part[each, targets] for part in trial))
        start, end, reward = self.observations(steps.obs), self.observations(steps.next_obs), self.rewards(steps.reward)
        errors = self.decoders(latent, Moves(start, steps.action, reward, end))
        return torch.cat((errors, divergences(mean, log_variance).mean().reshape(1)))


METRICS = ("reward_error", "state_error", "belief_kl")


def _seen(trial: Kept) -> Step:
    """What was seen along kept trials before each action, and after the last. `[trial, time + 1, ...]` each"""

    def shifted(values: Tensor) -> Tensor:
        return torch.cat((torch.zeros_like(values[:, :1]), values), dim=1)

    obs = torch.cat((trial.obs, trial.next_obs[:, -1:]), dim=1)
    return Step(obs, shifted(trial.action), shifted(trial.reward[..., 0]), shifted(trial.done[..., 0]))
