"""GrBAL: Nagabandi et al. 2019, https://arxiv.org/abs/1803.11347."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, ClassVar, NamedTuple

import torch
from torch import Tensor, nn
from torch.func import grad

from robometa.compute.parallel import for_each_task
from robometa.data import Rollout, Spaces, Step, Trial
from robometa.errors import Options, require
from robometa.nn.dynamics_model import DynamicsModel, transitions_of
from robometa.nn.state import load_optimizer, optimizer_state, under
from robometa.noise import Noise
from robometa.rl.planning import best_of, cross_entropy
from robometa.rl.replay import WindowReplay, Windows

LOGGED = ("model_loss", "model_loss_before_refit", "gradient_norm")
"""What an update tells of itself: means over its outer steps, the gradient's norm before it is cut."""
WORLDS_AT_ONCE = 16
"""Worlds whose plans a processor makes together: their candidates stay in its cache."""


@dataclass(frozen=True)
class Config(Options):
    """Options of GrBAL; the defaults are sized for a CPU. Its plans do not know that an episode can end."""

    iterations: Annotated[int, "[1, inf)"] = 30
    """Training iterations."""
    tasks: Annotated[int, "[1, inf)"] = 10
    """Tasks of an iteration's trial."""
    worlds: Annotated[int, "[1, inf)"] = 1
    """Worlds of each task; each refits a model of its own."""
    shots: Annotated[int, "[0, inf)"] = 0
    """Adaptations within a training trial; they change nothing, because the model is refitted at every step."""
    hidden: Annotated[tuple[int, ...], "[1, inf)"] = (128, 128)
    """Widths of the model's hidden layers, relu."""
    past: Annotated[int, "[1, inf)"] = 16
    """The last transitions of its world that the model is refitted to."""
    future: Annotated[int, "[1, inf)"] = 16
    """Transitions after these on which the refitted model is judged."""
    across_episodes: bool = False
    """Whether the windows of an update may reach into the episodes before of the same trial, as those in acting do."""
    inner_steps: Annotated[int, "[1, inf)"] = 1
    """Gradient steps of a refit."""
    inner_step_size: Annotated[float, "(0, inf)"] = 0.01
    """Their step size at the start."""
    learn_step_size: bool = True
    """Learn a factor on the step size for each parameter (Meta-SGD), instead of keeping it."""
    first_order: bool = False
    """Take the outer gradient as if the inner step did not depend on the start."""
    refit_every: Annotated[int, "[1, inf)"] = 1
    """Steps from one refit to the next."""
    planner: Annotated[str, "{cem, shooting}"] = "cem"
    """How actions are found in the model: cem (the cross-entropy method) or shooting (the best of random sequences)."""
    candidates: Annotated[int, "[1, inf)"] = 64
    """Sequences of actions that are tried at every step, and in every round of cem."""
    plan_horizon: Annotated[int, "[1, inf)"] = 10
    """Steps that a plan looks ahead."""
    rounds: Annotated[int, "[1, inf)"] = 2
    """Rounds of cem; it begins at the plan of the step before."""
    plan_std: Annotated[float, "(0, inf)"] = 0.8
    """Standard deviation of its actions in the first round."""
    elites: Annotated[int, "[1, inf)"] = 8
    """The best candidates, to which it fits the next round; not more than there are candidates."""
    random_iterations: Annotated[int, "[0, inf)"] = 1
    """Iterations in the beginning that act at random."""
    exploration: Annotated[float, "[0, inf)"] = 0.2
    """Standard deviation of the noise on planned actions."""
    windows: Annotated[int, "[1, inf)"] = 32
    """Windows of an outer gradient step."""
    gradient_steps: Annotated[int, "[1, inf)"] = 500
    """Outer gradient steps of an iteration."""
    learning_rate: Annotated[float, "(0, inf)"] = 1e-3
    """Of Adam, in the outer steps."""
    gradient_norm: Annotated[float, "(0, inf)"] = 5.0
    """Longer outer gradients are cut to this: one through a refit to an outlier would undo a training."""
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
    window: Tensor
    """The last transitions, the latest at the end. `[task, world, past, transition]`"""
    filled: Tensor
    """How many of them there are. `[task, world]`"""
    plan: Tensor
    """The actions that come next. `[task, world, plan_horizon, action]`"""
    last_obs: Tensor
    """What each world showed a step ago. `[task, world, obs]`"""
    steps: int
    """Steps since the beginning of the trial."""
    draws: Noise
    """Where the planner's candidates come from."""


class Grbal:
    """Refits a model of dynamics and reward to each world's last transitions, and plans through it."""

    configuration: ClassVar[type] = Config
    pools_worlds: ClassVar[bool] = False

    def __init__(self, config: Config, spaces: Spaces, seed: int, device: torch.device | str = "cpu") -> None:
        """An untrained model, its weights drawn from `seed`."""
        self.config, self.spaces, self.device = config, spaces, torch.device(device)
        self.model = DynamicsModel(spaces, config.hidden, self.device)
        initial = self.model.initial(Noise(seed, ("learner",), 1, 1).torch_generator())
        self.parameters = initial.to(self.device).requires_grad_()
        self.step_sizes = torch.ones_like(initial, device=self.device).requires_grad_(config.learn_step_size)
        self.updates = torch.zeros((), dtype=torch.int64)
        self.trained = [tensor for tensor in (self.parameters, self.step_sizes) if tensor.requires_grad]
        self.optimizer = torch.optim.Adam(self.trained, lr=config.learning_rate)
        self.replay = WindowReplay(config.capacity, self.model.transition, self.device)

    def begin(self, tasks: int, worlds: int, noise: Noise) -> Recent:
        """The model that no world has refitted yet, and no transitions."""
        config = self.config

        def zeros(*shape: int) -> Tensor:
            return torch.zeros(tasks, worlds, *shape, device=self.device)

        return Recent(
            parameters=self.parameters.detach().expand(tasks, worlds, -1),
            window=zeros(config.past, self.model.transition),
            filled=zeros(),
            plan=zeros(config.plan_horizon, self.spaces.action),
            last_obs=zeros(self.spaces.observation),
            steps=0,
            draws=noise.fork("plan"),
        )

    @torch.no_grad()
    def act(self, adaptation: Recent, step: Step, noise: Tensor) -> tuple[Tensor, Recent]:
        """The first action of each world's plan, and what it is followed by. `[task, world, action]`"""
        config = self.config
        if self.updates < config.random_iterations:
            return torch.erf(noise / 2**0.5), adaptation
        recent = self._remembered(adaptation, step)
        if recent.steps and recent.steps % config.refit_every == 0:
            weight = _newest(recent.filled, config.past)
            recent = recent._replace(parameters=self._each(self._refitted_to, recent.window, weight))
        rounds = config.rounds if config.planner == "cem" else 1
        draws = recent.draws.fork(recent.steps).normal(rounds, config.candidates, *recent.plan.shape[2:])
        plan = self._each(self._planned, recent.parameters, step.obs, recent.plan, draws.to(self.device))
        action = plan[:, :, 0] + config.exploration * noise
        follows = torch.cat((plan[:, :, 1:], torch.zeros_like(plan[:, :, :1])), dim=2)
        return action, recent._replace(plan=follows, last_obs=step.obs, steps=recent.steps + 1)

    def adapt(self, adaptation: Recent, rollout: Rollout, noise: Noise) -> Recent:
        """The same: what there was to learn, `act` has learned step by step."""
        return adaptation

    def update(self, trial: Trial) -> dict[str, float]:
        """Stores the trial, then takes outer gradient steps through refits to windows drawn from the replay."""
        config = self.config
        steps = torch.cat([transitions_of(rollout) for rollout in trial.rollouts], dim=2).flatten(0, 1)
        done = torch.cat([rollout.done for rollout in trial.rollouts], dim=2).flatten(0, 1)
        # A trial with a step that no dynamics explain is left out.
        sound = ~torch.cat([rollout.diverged for rollout in trial.rollouts], dim=2).flatten(0, 1).any(dim=1)
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
            loss, before = self._outer_loss(self.parameters, self.step_sizes, windows)
            self.optimizer.zero_grad()
            loss.backward()
            norm = nn.utils.clip_grad_norm_(self.trained, config.gradient_norm)
            self.optimizer.step()
            logged.append(torch.stack((loss.detach(), before, norm)))
        return dict(zip(LOGGED, torch.stack(logged).mean(dim=0).tolist(), strict=True))

    def state(self) -> dict[str, Tensor]:
        """The model, its step sizes and statistics; for training also the optimizer and the replay."""
        state = {
            "parameters": self.parameters.detach(),
            "step_sizes": self.step_sizes.detach(),
            "updates": self.updates,
        }
        state |= self.model.state() | optimizer_state("training/optimiser", self.optimizer)
        return state | {f"training/replay/{key}": value for key, value in self.replay.state().items()}

    def load(self, state: dict[str, Tensor]) -> None:
        """Takes a state back, or the policy's part of one."""
        for name in ("parameters", "step_sizes"):
            held = getattr(self, name)
            if state[name].shape != held.shape:
                raise ValueError(f"{held.numel()} {name} expected, not {state[name].numel()}")
            held.data = state[name].to(self.device, copy=True)
        self.updates = state["updates"].clone()
        self.model.load(state)
        if any(name.startswith("training/") for name in state):
            load_optimizer("training/optimiser", self.optimizer, state)
            self.replay.load(under("training/replay", state))

    def _each(self, function: Callable[..., Tensor], *batches: Tensor) -> Tensor:
        """What a function of worlds `[world, ...]` returns for the worlds of all tasks. `[task, world, ...]`"""
        flat = [batch.flatten(0, 1) for batch in batches]
        pieces = [batch.split(WORLDS_AT_ONCE) for batch in flat] if self.device.type == "cpu" else [[b] for b in flat]
        return torch.cat(for_each_task(function, *pieces)).unflatten(0, batches[0].shape[:2])

    def _remembered(self, recent: Recent, step: Step) -> Recent:
        """The adaptation with the transition that has just ended; none where an episode has, for obs is a reset's."""
        if not recent.steps:
            return recent
        action, reward = step.last_action.clamp(-1, 1), step.last_reward.unsqueeze(-1)
        latest = torch.cat((recent.last_obs, action, step.obs - recent.last_obs, reward), dim=-1)
        moved = torch.cat((recent.window[:, :, 1:], latest.unsqueeze(2)), dim=2)
        drop = step.last_done
        return recent._replace(
            window=torch.where(drop[..., None, None], recent.window, moved),
            filled=(recent.filled + ~drop).clamp(max=self.config.past),
            plan=recent.plan.masked_fill(drop[..., None, None], 0.0),
        )

    def _refitted(self, parameters: Tensor, step_sizes: Tensor, transitions: Tensor, weight: Tensor) -> Tensor:
        """Parameters after gradient steps on each world's transitions; none moves it where none counts."""
        for _ in range(self.config.inner_steps):
            gradient = grad(lambda point: self.model.loss(point, transitions, weight).sum())(parameters)
            if self.config.first_order:
                gradient = gradient.detach()
            parameters = parameters - self.config.inner_step_size * step_sizes * gradient
        return parameters

    def _refitted_to(self, transitions: Tensor, weight: Tensor) -> Tensor:
        start = self.parameters.detach().expand(len(transitions), -1)
        return self._refitted(start, self.step_sizes.detach(), transitions, weight)

    def _outer_loss(self, parameters: Tensor, step_sizes: Tensor, windows: Windows) -> tuple[Tensor, Tensor]:
        """Error on the future after a refit to the past, and without one; means over windows."""
        start = parameters.expand(len(windows.past), -1)
        adapted = self._refitted(start, step_sizes, windows.past, windows.past_weight)
        with torch.no_grad():
            before = self.model.loss(start, windows.future, windows.future_weight).mean()
        return self.model.loss(adapted, windows.future, windows.future_weight).mean(), before

    def _planned(self, parameters: Tensor, obs: Tensor, plan: Tensor, draws: Tensor) -> Tensor:
        """The actions to take from here on. `[world, plan_horizon, action]`"""

        def score(candidates: Tensor) -> Tensor:
            return self.model.imagined(parameters, obs, candidates)

        if self.config.planner == "shooting":
            return best_of(score, draws[:, 0])
        return cross_entropy(score, plan, draws.transpose(0, 1), self.config.plan_std, self.config.elites)


def _newest(filled: Tensor, past: int) -> Tensor:
    """1 for those of the last transitions that there are. `[..., past]`"""
    place = torch.arange(past, device=filled.device)
    return (place >= past - filled.unsqueeze(-1)).to(filled.dtype)
