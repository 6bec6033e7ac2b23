"""Gradient steps of AMAGO-2: critics that classify returns, actors that climb them and clone what they find better.

Source: Grigsby et al. 2024, https://arxiv.org/abs/2411.11188; the filter is Wang et al. 2020's
(https://arxiv.org/abs/2006.15134).
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Annotated

import torch
from torch import Tensor, nn

from robometa import errors
from robometa.compute.parallel import descend, shares_of
from robometa.data import Spaces, Step
from robometa.errors import Search
from robometa.nn.discounted import DiscountedActorCritic, log_density
from robometa.nn.state import Parts
from robometa.rl.learning_rate import adam, captured_steps, set_learning_rate, steps_taken
from robometa.rl.trial_crops import Sequences, TrialCrops, prefetched

CHUNK = 16
"""Sequences that one thread computes together; the chunks are the same on every machine."""
STEPS_PREFETCHED = 20
"""Gradient steps on sequences that are prefetched to a GPU."""
SMALLEST_DEVIATION = 0.01
"""Least deviation of targets by which the climbed value is divided."""
METRICS = ("actor_loss", "climbed", "filter_share", "value", "action_std")


@dataclass(frozen=True)
class Options(errors.Options):
    """Options of the gradient steps, and of the trials; the defaults are sized for a CPU."""

    iterations: Annotated[int, "[1, inf)"] = 150
    """Training iterations."""
    tasks: Annotated[int, "[1, inf)"] = 10
    """Tasks of an iteration."""
    worlds: Annotated[int, "[1, inf)"] = 1
    """Worlds of each task; each is a separate trial."""
    shots: Annotated[int, "[0, inf)"] = 1
    """Episodes of a training trial after its first; the memory persists between them."""
    discounts: Annotated[tuple[float, ...], "[0, 1)"] = (0.95,)
    """Discounts to learn for at once; it acts by the last."""
    critics: Annotated[int, "[1, 100]"] = 2
    """Critics of the ensemble."""
    subset: Annotated[int, "[1, 100]"] = 2
    """Target critics that a gradient step asks, drawn at random."""
    pessimism: Annotated[str, "{minimum, mean}", Search()] = "minimum"
    """Reduction of these critics' values to a target."""
    trace: Annotated[float, "[0, 1]", Search(0.0, 1.0)] = 0.0
    """Weight of replayed later rewards beside the critics' values in a target: lambda."""
    value_samples: Annotated[int, "[1, 100]", Search(1, 4)] = 1
    """Actions of the policy that stand for its value in the filter."""
    sequence: Annotated[int, "[1, inf)", Search(16, 200, log=True)] = 32
    """Most steps of a replayed sequence."""
    batch: Annotated[int, "[1, inf)", Search(8, 64, log=True)] = 16
    """Sequences of a gradient step."""
    gradient_steps: Annotated[int, "[1, inf)", Search(50, 800, log=True)] = 300
    """Gradient steps of an iteration."""
    learning_rate: Annotated[float, "(0, inf)", Search(1e-4, 1e-2, log=True)] = 1e-3
    """Learning rate of AdamW."""
    warm_up: Annotated[int, "[0, inf)"] = 50
    """Gradient steps over which the learning rate rises from 0."""
    lead: Annotated[int, "[0, inf)"] = 300
    """Gradient steps of the critics before the actors' first."""
    weight_decay: Annotated[float, "[0, inf)"] = 1e-3
    """Weight decay of AdamW."""
    gradient_norm: Annotated[float, "(0, inf)"] = 2.0
    """Maximum norm of a gradient; longer ones are scaled down."""
    critic_weight: Annotated[float, "(0, inf)", Search(1.0, 30.0, log=True)] = 10.0
    """Weight of the critics' loss beside the actors'."""
    clone_weight: Annotated[float, "[0, inf)", Search(0.03, 1.0, log=True)] = 0.1
    """Weight of cloning the replayed actions that are worth more than the policy's."""
    ascent_weight: Annotated[float, "[0, inf)", Search(0.0, 10.0)] = 3.0
    """Weight of climbing the critics' value, in deviations of the targets; 0 clones alone, as AMAGO-2 does."""
    target_rate: Annotated[float, "(0, 1]", Search(0.002, 0.1, log=True)] = 0.02
    """Interpolation rate of target actors and critics at every step."""


class FilteredCloning:
    """Optimizer, and target actors and critics, of a network that learns from replayed trials."""

    def __init__(
        self,
        network: DiscountedActorCritic,
        options: Options,
        spaces: Spaces,
        replay: TrialCrops,
        inputs: Callable[[Step], Tensor],
        device: torch.device,
    ) -> None:
        """Makes targets that equal the network's actors and critics.

        Args:
            network: Learns.
            options: Options of the learner.
            spaces: Sizes of observations and actions.
            replay: Trials to learn from.
            inputs: Makes the network's inputs of steps.
            device: Device of the network.
        """
        self.network, self.options, self.spaces = network, options, spaces
        self.replay, self.inputs, self.device = replay, inputs, device
        self.heads = nn.ModuleList((network.actors, network.critics))
        self.target_actors = copy.deepcopy(network.actors).requires_grad_(False)
        self.target_critics = copy.deepcopy(network.critics).requires_grad_(False)
        self.targets = nn.ModuleList((self.target_actors, self.target_critics))
        self.optimizer = adam(network, options.learning_rate, device, weight_decay=options.weight_decay)
        self.metrics = (*METRICS, *(f"critic_loss_{discount:g}" for discount in options.discounts))
        both = nn.ModuleList((network, self.targets))
        self.captured = captured_steps(self._step, both, self.optimizer, len(self.metrics), device)

    def run(self, generator: torch.Generator) -> dict[str, float]:
        """Takes the gradient steps of an iteration and returns metrics, means over the steps."""
        steps = self.options.gradient_steps
        drawn = (self._drawn(*pace, generator) for pace in zip(self._rates(steps), self._begun(steps), strict=True))
        if self.captured is not None:
            logged = self.captured.run(prefetched(drawn, self.device, STEPS_PREFETCHED), steps)
        else:
            logged = torch.stack([self._step(*(part.to(self.device) for part in row)) for row in drawn])
        return dict(zip(self.metrics, logged.mean(dim=0).tolist(), strict=True))

    def parts(self) -> Parts:
        """Targets and optimizer by the names of their states."""
        return {"training/targets": self.targets, "training/optimiser": self.optimizer}

    def forget(self) -> None:
        """Discards the captured graph, because the network's tensors were replaced."""
        if self.captured is not None:
            self.captured.forget()

    def _rates(self, steps: int) -> Iterator[float]:
        """Learning rates of the next steps: a linear warm-up, then a constant."""
        options, taken = self.options, steps_taken(self.optimizer)
        for step in range(taken + 1, taken + steps + 1):
            yield options.learning_rate * min(step / max(options.warm_up, 1), 1.0)

    def _begun(self, steps: int) -> Iterator[float]:
        """1 for each of the next steps in which the actors learn, 0 for those in which only the critics do."""
        taken = steps_taken(self.optimizer)
        for step in range(taken, taken + steps):
            yield float(step >= self.options.lead)

    def _drawn(self, rate: float, begun: float, generator: torch.Generator) -> tuple[Tensor, ...]:
        """Arguments of `_step`, on the CPU except the sequences."""
        options = self.options
        columns = self.replay.crops(options.batch, options.sequence, generator)
        # One action for the target, the others for the policy's value.
        shape = (*columns.shape[:2], 1 + options.value_samples, len(options.discounts), self.spaces.action)
        members = torch.randperm(options.critics, generator=generator)[: options.subset]
        return columns, torch.randn(shape, generator=generator), members, torch.tensor(rate), torch.tensor(begun)

    def _step(self, columns: Tensor, draws: Tensor, members: Tensor, rate: Tensor, begun: Tensor) -> Tensor:
        """Takes one step of all networks, in place, without waiting for the device. `[metric]`.

        Args:
            columns: Sequences of the replay. `[n, time + 1, width]`
            draws: Standard normal numbers. `[n, time + 1, sample, discount, action]`
            members: Target critics to ask. `[subset]`
            rate: Learning rate. `[]`
            begun: 1 where the actors learn, 0 where only the critics do. `[]`
        """
        sound = Sequences.of_columns(columns, self.spaces).sound()
        weight = sound / sound.sum().clamp(min=1)  # the masked mean of the whole batch

        def of_chunk(columns: Tensor, draws: Tensor, weight: Tensor) -> tuple[Tensor, Tensor]:
            return self._loss(columns, draws, weight, members, begun)

        parameters = list(self.network.parameters())
        chunks = (shares_of(part, CHUNK) for part in (columns, draws, weight))
        logged = descend(of_chunk, parameters, *chunks)
        nn.utils.clip_grad_norm_(parameters, self.options.gradient_norm)
        set_learning_rate(self.optimizer, rate)
        self.optimizer.step()
        with torch.no_grad():
            for part in self.network.actors.parameters():  # Adam's count begins with their first gradient
                self.optimizer.state[part]["step"].mul_(begun)
            targets, heads = tuple(self.targets.parameters()), tuple(self.heads.parameters())
            torch._foreach_lerp_(targets, heads, self.options.target_rate)
        return logged

    def _loss(
        self, columns: Tensor, draws: Tensor, weight: Tensor, members: Tensor, begun: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Loss of actors and critics on a chunk of sequences, and its part of the metrics.

        Args:
            columns: `[n, time + 1, width]`
            draws: `[n, time + 1, sample, discount, action]`
            weight: Weight of each step, which sum to 1 over the batch. `[n, time]`
            members: Target critics to ask.
            begun: Factor on the actors' loss. `[]`
        """
        sequences, network = Sequences.of_columns(columns, self.spaces), self.network
        features = network.features(self.inputs(sequences.seen))  # [n, time + 1, features]
        target = self._target(sequences, features.detach(), draws[:, :, 0], members).flatten(0, 1)
        # From here on every step is for itself. [step, ...]
        weight, known = weight.flatten(), features[:, :-1].flatten(0, 1)
        action = sequences.action().flatten(0, 1).unsqueeze(1)  # [step, 1, action]
        samples = draws[:, :-1, 1:].flatten(0, 1).transpose(0, 1)  # [sample, step, discount, action]

        # Critics: cross-entropy to the two bins around the target.
        logits = network.critics(known, action)  # [critic, step, discount, bin]
        critic_loss = weight @ network.critics.two_hot.loss(logits, target).mean(dim=0)  # [discount]

        # Actors: clone the actions that are worth more than the policy's own, A > 0.
        mean, log_std = network.actors.distribution(known)  # [step, discount, action]
        values = self._values(known.detach(), torch.tanh(mean + log_std.exp() * samples))
        with torch.no_grad():
            value = values.mean(dim=(0, 1))  # [step, discount]
            passes = network.critics.two_hot.value(logits).mean(dim=0) > value
        clone_loss = weight @ -(passes * log_density(action, mean, log_std))  # [discount]

        # And climb the critics' lowest value, in deviations of the targets.
        share = weight / weight.sum().clamp(min=1e-9)
        deviation = (share @ (target - share @ target).square()).sqrt().clamp(min=SMALLEST_DEVIATION)  # [discount]
        climbed = weight @ values.amin(dim=1).mean(dim=0) / deviation

        options = self.options
        actor_loss = options.clone_weight * clone_loss.mean() - options.ascent_weight * climbed.mean()
        loss = begun * actor_loss + options.critic_weight * critic_loss.mean()
        spread = weight @ log_std[:, -1].exp().mean(dim=-1)
        logged = (clone_loss.mean(), climbed.mean(), (weight @ passes.float()).mean(), weight @ value[:, -1], spread)
        return loss, torch.cat((torch.stack(logged), critic_loss)).detach()

    @torch.no_grad()
    def _target(self, sequences: Sequences, features: Tensor, draws: Tensor, members: Tensor) -> Tensor:
        """Returns that the critics are to predict, by target actors and some target critics. `[n, time, discount]`."""
        flat = features.flatten(0, 1)
        mean, log_std = self.target_actors.distribution(flat)
        action = torch.tanh(mean + log_std.exp() * draws.flatten(0, 1))  # [step, discount, action]
        values = self.target_critics.value(flat, action, members)  # [critic, step, discount]
        value = values.amin(dim=0) if self.options.pessimism == "minimum" else values.mean(dim=0)
        return sequences.targets(value.unflatten(0, features.shape[:2]), self.network.discounts, self.options.trace)

    def _values(self, known: Tensor, acted: Tensor) -> Tensor:
        """Values of actions by every critic, with gradients to the actions if they are climbed.

        Args:
            known: Features. `[step, features]`
            acted: `[sample, step, discount, action]`

        Returns:
            `[sample, critic, step, discount]`
        """
        critics = self.network.critics
        with torch.set_grad_enabled(self.options.ascent_weight > 0):
            return torch.stack([critics.two_hot.value(critics(known, action, frozen=True)) for action in acted])
