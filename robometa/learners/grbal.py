"""GrBAL: Nagabandi et al. 2019, https://arxiv.org/abs/1803.11347.

Read `_inferred` (refit) and `_losses` (outer steps through refits); the refit and the outer loss are `RefittedEnsemble`
in `nn/refit.py`. Acting and updating are `PlanningLearner` in `rl/planning_learner.py`.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Annotated, ClassVar

import torch
from torch import Tensor

from robometa.compute.parallel import of_worlds
from robometa.data import Spaces
from robometa.errors import Search
from robometa.nn.refit import Refit, RefittedEnsemble
from robometa.nn.transitions import LastTransitions
from robometa.noise import Noise
from robometa.rl.planning import Score
from robometa.rl.planning_learner import PlanningLearner
from robometa.rl.planning_options import PlanningOptions
from robometa.rl.replay import Windows


@dataclass(frozen=True)
class Config(PlanningOptions):
    """Options of GrBAL. The class defaults are those of the first policies, which the presets name anew."""

    past: Annotated[int, "[1, inf)", Search(8, 32, log=True)] = 16
    """Last transitions of a world that its model is refitted to."""
    future: Annotated[int, "[1, inf)", Search(8, 32, log=True)] = 16
    """Later transitions on which the refitted model is evaluated."""
    across_episodes: bool = False
    """Let an update's windows reach into earlier episodes of the trial, as in acting."""
    inner_steps: Annotated[int, "[1, inf)"] = 1
    """Gradient steps of a refit."""
    inner_step_size: Annotated[float, "(0, inf)", Search(1e-3, 0.1, log=True)] = 0.01
    """Initial step size of a refit."""
    learn_step_size: bool = True
    """Learn a factor on the step size for each parameter (Meta-SGD), instead of keeping it."""
    first_order: bool = False
    """Differentiate refits as if their gradients were constants."""
    refit_every: Annotated[int, "[1, inf)"] = 1
    """Steps from one refit to the next."""


PRESETS = {
    "cpu": Config(),
    "icem": Config(
        iterations=50,
        activation="hardswish",
        members=1,
        probabilistic=True,
        informed=True,
        planner="icem",
        candidates=32,
        plan_horizon=20,
        rounds=3,
        plan_std=0.5,
        flip_penalty=10.0,
        exploration=0.0,
        across_episodes=True,
        first_order=True,
        inner_step_size=0.05,
        gradient_steps=400,
        learning_rate=3e-3,
    ),
    "paper": Config(
        iterations=50,
        tasks=4,
        worlds=1,
        shots=0,
        hidden=(512, 512, 512),
        past=32,
        future=32,
        learn_step_size=False,
        planner="shooting",
        candidates=1000,
        plan_horizon=15,
        windows=20,
        gradient_steps=1000,
    ),
}
"""Presets: that of the first table; iCEM with what was mended since, sized for a CPU; numbers near the paper's."""


class Grbal(PlanningLearner):
    """Refits a model of dynamics and reward to each world's last transitions, and plans through it."""

    configuration: ClassVar[type] = Config
    adapts_within_episode: ClassVar[bool] = True
    logged: ClassVar[tuple[str, ...]] = ("model_loss", "model_loss_before_refit", "gradient_norm")
    config: Config
    model: RefittedEnsemble

    def __init__(self, config: Config, spaces: Spaces, seed: int, device: torch.device | str = "cpu") -> None:
        """An untrained model, its weights drawn from `seed`."""
        device, generator = torch.device(device), Noise(seed, ("learner",), 1, 1).torch_generator()
        refit = Refit(config.inner_step_size, config.inner_steps, config.learn_step_size, config.first_order)
        model = RefittedEnsemble(spaces, config.form(spaces), config.members, refit, generator, device)
        self.past, self.future, self.across_episodes = config.past, config.future, config.across_episodes
        super().__init__(config, spaces, model, device)

    def _ignorant(self, tasks: int, worlds: int) -> Tensor:
        """Parameters before any refit. `[task, world, member, parameter]`."""
        return self.model.parameters.detach().expand(tasks, worlds, -1, -1)

    def _inferred(self, knowledge: Tensor, last: LastTransitions, steps: int) -> Tensor:
        """Refits the model to the last transitions of each world. `[task, world, member, parameter]`."""
        if steps % self.config.refit_every:
            return knowledge
        return of_worlds(self._refitted, last.window, last.weight())

    def _refitted(self, window: Tensor, weight: Tensor) -> Tensor:
        """Refits to transitions. `[world, past, transition]`, `[world, past] -> [world, member, parameter]`."""
        return self.model.refitted_to(window, weight).movedim(0, 1)

    def _score(self, knowledge: Tensor, obs: Tensor) -> Score:
        """Returns the value of action sequences in refitted models. `[world, member, parameter]`, `[world, obs]`."""
        return partial(self._value, knowledge.movedim(1, 0), obs)

    def _losses(self, windows: Windows) -> tuple[Tensor, ...]:
        """Loss on the future after a refit to the past, and before it. `[]` each."""
        return self.model.outer_loss(*windows)

    def _errors(self, windows: Windows) -> Tensor:
        """Errors of the refitted ensemble's mean on the windows' futures. `[window, future, target]`."""
        parameters = self.model.refitted_to(windows.past, windows.past_weight)  # [member, window, parameter]
        with torch.no_grad():
            error, _ = self.model.errors(parameters.flatten(0, 1), windows.future.repeat(len(parameters), 1, 1))
        return error.unflatten(0, parameters.shape[:2]).mean(dim=0)
