"""Base of the learners that plan through a learned model: options, acting by plans, updates on windows of a replay."""

from __future__ import annotations

from functools import partial
from typing import Any, ClassVar, NamedTuple

import torch
from torch import Tensor, nn

from robometa.compute.parallel import of_worlds
from robometa.data import Rollout, Spaces, Step, Trial
from robometa.nn.dynamics_model import Ensemble
from robometa.nn.imagination import imagined
from robometa.nn.state import Parts, load_state, state_of
from robometa.nn.transitions import LastTransitions, transitions_of
from robometa.noise import Noise
from robometa.rl.gradient_samples import with_samples
from robometa.rl.icem import Plan, colouring, icem
from robometa.rl.planning import Score, planned, shifted
from robometa.rl.planning_options import PlanningOptions
from robometa.rl.replay import WindowReplay, Windows

ERROR_WINDOWS = 256
"""Windows of an iteration's trial on which the model's error is measured."""


class Recent(NamedTuple):
    """Each world's knowledge of its task, its last transitions, and the plan that it follows."""

    knowledge: Tensor
    """Inferred from the last transitions: parameters, a context, or nothing. `[task, world, ...]`"""
    last: LastTransitions
    """Last transitions of each world."""
    plan: Plan
    """Plan of the coming actions. `[task, world, ...]`"""
    steps: int
    """Steps since the beginning of the trial."""
    draws: Noise
    """The source of the planner's candidates."""


def sound_steps(trial: Trial) -> tuple[Tensor, Tensor]:
    """Transitions and ends of the worlds of a trial in which nothing diverged: no dynamics explain a divergence.

    Returns:
        `[world, time, transition]` and `[world, time]`, bool
    """
    joined = trial.joined()
    sound = ~joined.diverged.flatten(0, 1).any(dim=1)
    return transitions_of(joined).flatten(0, 1)[sound], joined.done.flatten(0, 1)[sound]


class PlanningLearner:
    """Plans through an ensemble at every step, and trains it on windows of all trials so far."""

    config: PlanningOptions
    pools_worlds: ClassVar[bool] = False
    past: int = 0
    """Transitions before the present one that the learner infers from."""
    future: int = 1
    """Transitions of a window that the loss is of."""
    across_episodes: bool = False
    """Windows may reach into earlier episodes of a trial."""
    logged: ClassVar[tuple[str, ...]] = ("model_loss", "gradient_norm")
    """Metrics of an update beside `model_error` and `on_back`: means over gradient steps, norms before clipping."""

    def __init__(self, config: Any, spaces: Spaces, model: Ensemble, device: torch.device, *others: Tensor) -> None:
        """Makes optimizer and replay.

        Args:
            config: Options of the learner.
            spaces: Sizes of observations and actions.
            model: Untrained ensemble.
            device: Device of the model.
            *others: Further tensors that the optimizer trains.
        """
        self.config, self.spaces, self.device, self.model = config, spaces, device, model
        self.updates = torch.zeros((), dtype=torch.int64)
        self.trained = [*model.learned(), *others]
        self.optimizer = torch.optim.Adam(self.trained, lr=config.learning_rate)
        self.replay = WindowReplay(config.capacity, model.transition, device)
        self.colouring = colouring(config.plan_horizon, config.colour).to(device)

    def begin(self, tasks: int, worlds: int, noise: Noise) -> Recent:
        """Knowledge before any data, empty transitions and no plan."""
        spaces, worlds_of = self.spaces, (tasks, worlds)
        last = LastTransitions.none(worlds_of, self.past, spaces.observation, self.model.transition, self.device)
        plan = Plan.none(worlds_of, self.config.sizes(), self.config.plan_horizon, spaces.action, self.device)
        return Recent(self._ignorant(tasks, worlds), last, plan, 0, noise.fork("plan"))

    @torch.no_grad()
    def act(self, adaptation: Recent, step: Step, noise: Tensor) -> tuple[Tensor, Recent]:
        """First action of each world's plan, and the next adaptation. `[task, world, action]`."""
        config = self.config
        if self.updates < config.random_iterations:
            return torch.erf(noise / 2**0.5), adaptation
        knowledge, last, plan, steps, draws = adaptation
        if steps:
            last, plan = last.after(step) if self.past else last, plan.reset(step.last_done)
            knowledge = self._inferred(knowledge, last, steps)
        # Plan: model-predictive control, from the plan of the step before.
        best, plan = self._planned(knowledge, step.obs, plan, draws.fork(steps))
        action = best[:, :, 0] + config.exploration * noise
        return action, Recent(knowledge, last._replace(last_obs=step.obs), plan, steps + 1, draws)

    def adapt(self, adaptation: Recent, rollout: Rollout, noise: Noise) -> Recent:
        """Returns the adaptation unchanged, since `act` adapts step by step."""
        return adaptation

    def update(self, trial: Trial) -> dict[str, float]:
        """Stores the trial, then takes gradient steps on windows drawn from the replay."""
        config, (steps, done) = self.config, sound_steps(trial)
        logged = dict.fromkeys((*self.logged, "model_error"), 0.0)
        if self.model.pitch is not None:
            pitch = trial.joined().next_obs[..., self.model.pitch]
            logged["on_back"] = float((pitch.cos() < 0).float().mean())
        # The statistics first: from now on errors are in units of these.
        if len(steps):
            self.model.include(steps)
            logged["model_error"] = self.model_error(trial)
            self.replay.add(steps, done)
        self.updates = self.updates + 1
        if not len(self.replay.steps):
            return with_samples(logged, 0)
        generator, rows = trial.noise.torch_generator(), []
        for _ in range(config.gradient_steps):
            losses = self._losses(self._sampled(self.replay, config.windows * self.model.members, generator))
            self.optimizer.zero_grad()
            (losses[0] + self.model.spread_of_bounds()).backward()
            norm = nn.utils.clip_grad_norm_(self.trained, config.gradient_norm)
            self.optimizer.step()
            rows.append(torch.stack((*losses, norm)).detach())
        logged |= dict(zip(self.logged, torch.stack(rows).mean(dim=0).tolist(), strict=True))
        windows = config.gradient_steps * config.windows * self.model.members
        return with_samples(logged, windows * (self.past + self.future))

    def model_error(self, trial: Trial, windows: int = ERROR_WINDOWS) -> float:
        """Share of the outcomes' variance that the model does not explain, one step ahead, in windows of a trial."""
        steps, done = sound_steps(trial)
        unseen = WindowReplay(steps.shape[0] * steps.shape[1], self.model.transition, self.device)
        unseen.add(steps, done)
        sampled = self._sampled(unseen, windows, trial.noise.fork("error").torch_generator())
        return float(self._errors(sampled)[sampled.future_weight > 0].square().mean())

    def state_dict(self) -> dict[str, Tensor]:
        """The model and its statistics; for training also the optimizer and the replay."""
        return self.model.state_dict() | {"updates": self.updates} | state_of(self._parts())

    def load_state_dict(self, state: dict[str, Tensor]) -> None:
        """Restores a state, or the policy's part of one."""
        self.model.load_state_dict(state)
        self.updates = state["updates"].clone()
        load_state(self._parts(), state)

    def _parts(self) -> Parts:
        return {"training/optimiser": self.optimizer, "training/replay": self.replay}

    def _ignorant(self, tasks: int, worlds: int) -> Tensor:
        """Knowledge before any data: none. `[task, world, ...]`."""
        return torch.zeros(tasks, worlds, 0, device=self.device)

    def _inferred(self, knowledge: Tensor, last: LastTransitions, steps: int) -> Tensor:
        """Knowledge after the last transitions. `[task, world, ...]`."""
        return knowledge

    def _score(self, knowledge: Tensor, obs: Tensor) -> Score:
        """Returns the value of action sequences under what is known. `[world, ...]`, `[world, obs]`."""
        return partial(self._value, self.model.parameters.detach(), obs)

    def _losses(self, windows: Windows) -> tuple[Tensor, ...]:
        """Loss to descend, and others to log, in the order of `logged`. `[]` each."""
        steps, weight = self._of_members(windows.future, windows.future_weight)
        return (self.model.loss(self.model.parameters, steps, weight).mean(),)

    def _errors(self, windows: Windows) -> Tensor:
        """Errors of the ensemble's mean on the windows' futures. `[window, future, target]`."""
        return self.model.mean_errors(windows.future)

    def _value(self, parameters: Tensor, obs: Tensor, inputs: Tensor) -> Tensor:
        """Value of sequences of actions, and of what is known. `[world, candidate]`, arguments as for `imagined`."""
        return imagined(self.model, parameters, obs, inputs, self.config.particles, self.config.flip_penalty)

    def _of_members(self, *batches: Tensor) -> list[Tensor]:
        """Deals windows out to members. `[member * window, time, ...] -> [member, window * time, ...]`."""
        return [batch.unflatten(0, (self.model.members, -1)).flatten(1, 2) for batch in batches]

    def _sampled(self, replay: WindowReplay, count: int, generator: torch.Generator) -> Windows:
        return replay.sample(count, self.past, self.future, generator, self.across_episodes)

    def _planned(self, knowledge: Tensor, obs: Tensor, plan: Plan, draws: Noise) -> tuple[Tensor, Plan]:
        """Next actions of each world, and the plan for the step after. `[task, world, plan_horizon, action]`."""
        config, shape = self.config, plan.mean.shape[2:]
        if config.planner == "icem":
            noise = draws.normal(sum(config.sizes().drawn()), *shape).to(self.device)
            planned = of_worlds(self._searched, knowledge, obs, plan.mean, plan.elites, noise)
            return planned[:, :, 0], Plan(planned[:, :, 1], planned[:, :, 2:]).shifted()
        rounds = config.rounds if config.planner == "cem" else 1
        mean = of_worlds(
            self._drawn_together, knowledge, obs, plan.mean, draws.normal(rounds, config.candidates, *shape)
        )
        return mean, plan._replace(mean=shifted(mean))

    def _searched(self, knowledge: Tensor, obs: Tensor, mean: Tensor, elites: Tensor, draws: Tensor) -> Tensor:
        """Best sequence, mean and elites of an icem search. `[world, 2 + kept, plan_horizon, action]`."""
        coloured = torch.einsum("wcta,ts->wcsa", draws, self.colouring)
        best, plan = icem(self._score(knowledge, obs), Plan(mean, elites), coloured, self.config.sizes())
        return torch.cat((best.unsqueeze(1), plan.mean.unsqueeze(1), plan.elites), dim=1)

    def _drawn_together(self, knowledge: Tensor, obs: Tensor, mean: Tensor, draws: Tensor) -> Tensor:
        """Plans by cem or shooting. `[world, plan_horizon, action]`."""
        config, score = self.config, self._score(knowledge, obs)
        rounds = draws.to(self.device).transpose(0, 1)
        return planned(config.planner, score, mean, rounds, config.plan_std, config.elites)
