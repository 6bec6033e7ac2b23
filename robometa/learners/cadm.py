"""CaDM: Lee et al. 2020, https://arxiv.org/abs/2005.06800.

Read `Encoder`, `_inferred` and `_losses`: a context inferred from the last transitions is an input of the models.
Acting and updating are `PlanningLearner` in `rl/planning_learner.py`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, ClassVar

import torch
from torch import Tensor, nn

from robometa.data import Spaces
from robometa.errors import Search
from robometa.nn.dynamics_model import Ensemble
from robometa.nn.networks import Perceptron
from robometa.nn.state import Parts
from robometa.nn.transitions import LastTransitions
from robometa.noise import Noise
from robometa.rl.planning import Score
from robometa.rl.planning_learner import PlanningLearner
from robometa.rl.planning_options import EnsembleOptions
from robometa.rl.replay import Windows


@dataclass(frozen=True)
class Config(EnsembleOptions):
    """Options of CaDM; the defaults are sized for a CPU. Plans ignore terminations."""

    tasks: Annotated[int, "[1, inf)"] = 10
    windows: Annotated[int, "[1, inf)", Search(8, 128, log=True)] = 24
    past: Annotated[int, "[1, inf)", Search(8, 64, log=True)] = 32
    """Last transitions of a world that its context is inferred from."""
    future: Annotated[int, "[1, inf)", Search(4, 32, log=True)] = 8
    """Later transitions that a window's context must help to predict."""
    across_episodes: bool = True
    """Let an update's windows reach into earlier episodes of the trial, as in acting."""
    context: Annotated[int, "[1, inf)", Search(4, 32, log=True)] = 16
    """Numbers of the context."""
    encoder_hidden: Annotated[tuple[int, ...], "[1, inf)", Search(32, 256, log=True, depth=(1, 2))] = (64,)
    """Widths of the layers that encode a transition, relu."""


PRESETS = {
    "cpu": Config(),
    "paper": Config(
        iterations=20,
        tasks=10,
        hidden=(200, 200, 200, 200),
        activation="swish",
        plan_horizon=30,
        candidates=200,
        rounds=5,
        decay=1.0,
        elites=20,
        kept=0,
        colour=0.0,
        particles=5,
        past=10,
        future=10,
        context=10,
        encoder_hidden=(256, 128),
    ),
}
"""Sizes for a CPU, and numbers near the paper's."""


class Encoder(nn.Module):
    """Context of a task from transitions in any order: the mean of their codes, through a linear layer."""

    def __init__(self, config: Config, transition: int, generator: torch.Generator) -> None:
        """Draws the weights from the generator."""
        super().__init__()
        widths = (transition, *config.encoder_hidden)
        self.code = Perceptron(widths, generator)
        self.context = Perceptron((widths[-1] + 1, config.context), generator)

    def forward(self, transitions: Tensor, weight: Tensor) -> Tensor:
        """Contexts. `[n, context]`.

        Args:
            transitions: Normalised. `[n, past, transition]`
            weight: 1 for transitions that count, 0 for others. `[n, past]`
        """
        codes = torch.relu(self.code(transitions)) * weight.unsqueeze(-1)
        known = weight.sum(dim=1, keepdim=True)
        mean = codes.sum(dim=1) / known.clamp(min=1)
        return self.context(torch.cat((mean, known / weight.shape[1]), dim=1))


class Cadm(PlanningLearner):
    """Plans through models that see a context, inferred from each world's last transitions at every step."""

    configuration: ClassVar[type] = Config
    adapts_within_episode: ClassVar[bool] = True

    def __init__(self, config: Config, spaces: Spaces, seed: int, device: torch.device | str = "cpu") -> None:
        """Untrained models and encoder, their weights drawn from `seed`."""
        device, generator = torch.device(device), Noise(seed, ("learner",), 1, 1).torch_generator()
        model = Ensemble(spaces, config.form(spaces, config.context), config.members, generator, device)
        self.encoder = Encoder(config, model.encoded, generator).to(device)
        self.past, self.future, self.across_episodes = config.past, config.future, config.across_episodes
        super().__init__(config, spaces, model, device, *self.encoder.parameters())

    def _ignorant(self, tasks: int, worlds: int) -> Tensor:
        """The context of no transitions. `[task, world, context]`."""
        nothing = torch.zeros(tasks * worlds, self.past, self.model.transition, device=self.device)
        return self._context(nothing, nothing[..., 0]).detach().unflatten(0, (tasks, worlds))

    def _inferred(self, knowledge: Tensor, last: LastTransitions, steps: int) -> Tensor:
        """Infers each world's context. `[task, world, context]`."""
        window, weight = last.window.flatten(0, 1), last.weight().flatten(0, 1)
        return self._context(window, weight).unflatten(0, knowledge.shape[:2])

    def _score(self, knowledge: Tensor, obs: Tensor) -> Score:
        """Returns the value of action sequences under a context. `[world, context]`, `[world, obs]`."""
        value = super()._score(knowledge, obs)

        def with_context(candidates: Tensor) -> Tensor:
            context = knowledge[:, None, None].expand(*candidates.shape[:3], -1)
            return value(torch.cat((candidates, context), dim=-1))

        return with_context

    def _losses(self, windows: Windows) -> tuple[Tensor, ...]:
        """Loss of the members on the steps after a window, under the context of the window. `[]`."""
        context = self._context_of(windows)
        steps, weight, context = self._of_members(windows.future, windows.future_weight, context)
        return (self.model.loss(self.model.parameters, steps, weight, context).mean(),)

    @torch.no_grad()
    def _errors(self, windows: Windows) -> Tensor:
        """Errors of the ensemble's mean on the windows' futures. `[window, future, target]`."""
        return self.model.mean_errors(windows.future, self._context_of(windows))

    def _context_of(self, windows: Windows) -> Tensor:
        """The context of each window, at every step of its future. `[window, future, context]`."""
        context = self._context(windows.past, windows.past_weight)
        return context.unsqueeze(1).expand(-1, windows.future.shape[1], -1)

    def _context(self, transitions: Tensor, weight: Tensor) -> Tensor:
        return self.encoder(self.model.encoding(transitions), weight)

    def _parts(self) -> Parts:
        return {"encoder": self.encoder, **super()._parts()}
