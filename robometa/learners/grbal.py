"""GrBAL: Nagabandi et al. 2019, https://arxiv.org/abs/1803.11347.

Read `act` (refit, then plan), then `update` (outer steps through refits); the refit and the outer loss are
`RefittedModel` in `nn/dynamics_model.py`, the planner `rl/planning.py`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, ClassVar, NamedTuple

import torch
from torch import Tensor, nn

from robometa.compute.parallel import of_worlds
from robometa.data import Rollout, Spaces, Step, Trial
from robometa.errors import Options, Search, require
from robometa.nn.dynamics_model import LastTransitions, Refit, RefittedModel, transitions_of
from robometa.nn.state import Parts, load_state, state_of
from robometa.noise import Noise
from robometa.rl.planning import planned, shifted
from robometa.rl.replay import WindowReplay

LOGGED = ("model_loss", "model_loss_before_refit", "gradient_norm")
"""Metrics of an update: means over its outer steps; the gradient norm is before clipping."""


@dataclass(frozen=True)
class Config(Options):
    """Options of GrBAL; the defaults are sized for a CPU. Plans ignore terminations."""

    iterations: Annotated[int, "[1, inf)"] = 30
    """Training iterations."""
    tasks: Annotated[int, "[1, inf)"] = 10
    """Tasks of an iteration's trial."""
    worlds: Annotated[int, "[1, inf)"] = 1
    """Worlds of each task; each refits a model of its own."""
    shots: Annotated[int, "[0, inf)"] = 0
    """Adaptations within a training trial; they change nothing, because the model is refitted at every step."""
    hidden: Annotated[tuple[int, ...], "[1, inf)", Search(32, 256, log=True, depth=(1, 3))] = (128, 128)
    """Widths of the model's hidden layers, relu."""
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
    planner: Annotated[str, "{cem, shooting}", Search()] = "cem"
    """Planner: cem (the cross-entropy method) or shooting (the best of random sequences)."""
    candidates: Annotated[int, "[1, inf)", Search(32, 256, log=True)] = 64
    """Action sequences sampled at every step, and in every round of cem."""
    plan_horizon: Annotated[int, "[1, inf)", Search(5, 20)] = 10
    """Steps that a plan looks ahead."""
    rounds: Annotated[int, "[1, inf)"] = 2
    """Rounds of cem, which begins at the previous step's plan."""
    plan_std: Annotated[float, "(0, inf)"] = 0.8
    """Standard deviation of cem's actions in the first round."""
    elites: Annotated[int, "[1, inf)"] = 8
    """Best candidates, to which cem fits the next round; at most `candidates`."""
    random_iterations: Annotated[int, "[0, inf)"] = 1
    """Iterations in the beginning that act at random."""
    exploration: Annotated[float, "[0, inf)", Search(0.05, 0.5)] = 0.2
    """Standard deviation of the noise on planned actions."""
    windows: Annotated[int, "[1, inf)", Search(16, 128, log=True)] = 32
    """Windows of an outer gradient step."""
    gradient_steps: Annotated[int, "[1, inf)", Search(100, 1000, log=True)] = 500
    """Outer gradient steps of an iteration."""
    learning_rate: Annotated[float, "(0, inf)", Search(3e-4, 3e-3, log=True)] = 1e-3
    """Learning rate of Adam in the outer steps."""
    gradient_norm: Annotated[float, "(0, inf)"] = 5.0
    """Maximum norm of outer gradients; a refit to an outlier could otherwise ruin a training."""
    capacity: Annotated[int, "[1, inf)"] = 200_000
    """Steps that the replay keeps, the latest ones."""

    def __post_init__(self) -> None:
        """Checks every option, and that the elites are not more than the candidates."""
        super().__post_init__()
        require(self, elites=f"[1, {self.candidates}]")


PRESETS = {
    "cpu": Config(),
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
"""Sizes for a CPU, and numbers near the paper's."""


class Recent(NamedTuple):
    """Each world's last transitions, the model refitted to them, and the plan that it follows."""

    parameters: Tensor
    """`[task, world, parameter]`"""
    last: LastTransitions
    """Transitions that the model is refitted to."""
    plan: Tensor
    """Next actions. `[task, world, plan_horizon, action]`"""
    steps: int
    """Steps since the beginning of the trial."""
    draws: Noise
    """The source of the planner's candidates."""


class Grbal:
    """Refits a model of dynamics and reward to each world's last transitions, and plans through it."""

    configuration: ClassVar[type] = Config
    pools_worlds: ClassVar[bool] = False
    adapts_within_episode: ClassVar[bool] = True

    def __init__(self, config: Config, spaces: Spaces, seed: int, device: torch.device | str = "cpu") -> None:
        """An untrained model, its weights drawn from `seed`."""
        self.config, self.spaces, self.device = config, spaces, torch.device(device)
        generator = Noise(seed, ("learner",), 1, 1).torch_generator()
        refit = Refit(config.inner_step_size, config.inner_steps, config.learn_step_size, config.first_order)
        self.model = RefittedModel(spaces, config.hidden, refit, generator, self.device)
        self.updates = torch.zeros((), dtype=torch.int64)
        self.optimizer = torch.optim.Adam(self.model.learned(), lr=config.learning_rate)
        self.replay = WindowReplay(config.capacity, self.model.transition, self.device)

    def begin(self, tasks: int, worlds: int, noise: Noise) -> Recent:
        """The model before any refit, and empty transitions."""
        config, obs, start = self.config, self.spaces.observation, self.model.parameters.detach()
        last = LastTransitions.none((tasks, worlds), config.past, obs, self.model.transition, self.device)
        plan = torch.zeros(tasks, worlds, config.plan_horizon, self.spaces.action, device=self.device)
        return Recent(start.expand(tasks, worlds, -1), last, plan, 0, noise.fork("plan"))

    @torch.no_grad()
    def act(self, adaptation: Recent, step: Step, noise: Tensor) -> tuple[Tensor, Recent]:
        """First action of each world's plan, and the next adaptation. `[task, world, action]`."""
        config = self.config
        if self.updates < config.random_iterations:
            return torch.erf(noise / 2**0.5), adaptation
        parameters, last, plan, steps, draws = adaptation
        if steps:
            last, plan = last.after(step), plan.masked_fill(step.last_done[..., None, None], 0.0)
        # Adapt: refit the model to the last transitions of each world.
        if steps and steps % config.refit_every == 0:
            parameters = of_worlds(self.model.refitted_to, last.window, last.weight())  # [task, world, parameter]
        # Plan: model-predictive control, from the plan of the step before.
        rounds = config.rounds if config.planner == "cem" else 1
        candidates = draws.fork(steps).normal(rounds, config.candidates, *plan.shape[2:]).to(self.device)
        plan = of_worlds(self._planned, parameters, step.obs, plan, candidates)  # [task, world, plan_horizon, action]
        action = plan[:, :, 0] + config.exploration * noise
        return action, Recent(parameters, last._replace(last_obs=step.obs), shifted(plan), steps + 1, draws)

    def adapt(self, adaptation: Recent, rollout: Rollout, noise: Noise) -> Recent:
        """Returns the adaptation unchanged, since `act` refits step by step."""
        return adaptation

    def update(self, trial: Trial) -> dict[str, float]:
        """Stores the trial, then takes outer gradient steps through refits to windows drawn from the replay."""
        config = self.config
        joined = trial.joined()
        steps, done = transitions_of(joined).flatten(0, 1), joined.done.flatten(0, 1)  # [trial, time, ...]
        sound = ~joined.diverged.flatten(0, 1).any(dim=1)  # a trial with a step that no dynamics explain is left out
        # The statistics first: from now on errors are in units of these.
        if bool(sound.any()):
            self.model.include(steps[sound])
            self.replay.add(steps[sound], done[sound])
        self.updates = self.updates + 1
        if not len(self.replay.steps):
            return dict.fromkeys(LOGGED, 0.0)
        generator = trial.noise.torch_generator()
        logged = []
        for _ in range(config.gradient_steps):
            windows = self.replay.sample(config.windows, config.past, config.future, generator, config.across_episodes)
            # Outer step: through the refit to the past, towards less error on the future.
            loss, before = self.model.outer_loss(*windows)
            self.optimizer.zero_grad()
            loss.backward()
            norm = nn.utils.clip_grad_norm_(self.model.learned(), config.gradient_norm)
            self.optimizer.step()
            logged.append(torch.stack((loss.detach(), before, norm)))
        return dict(zip(LOGGED, torch.stack(logged).mean(dim=0).tolist(), strict=True))

    def state_dict(self) -> dict[str, Tensor]:
        """The model, its step sizes and statistics; for training also the optimizer and the replay."""
        return self.model.state_dict() | {"updates": self.updates} | state_of(self._training())

    def load_state_dict(self, state: dict[str, Tensor]) -> None:
        """Restores a state, or the policy's part of one."""
        self.model.load_state_dict(state)
        self.updates = state["updates"].clone()
        load_state(self._training(), state)

    def _training(self) -> Parts:
        return {"training/optimiser": self.optimizer, "training/replay": self.replay}

    def _planned(self, parameters: Tensor, obs: Tensor, plan: Tensor, draws: Tensor) -> Tensor:
        """Plans the next actions. `[world, plan_horizon, action]`."""

        def score(candidates: Tensor) -> Tensor:
            return self.model.imagined(parameters, obs, candidates)

        config = self.config
        return planned(config.planner, score, plan, draws.transpose(0, 1), config.plan_std, config.elites)
