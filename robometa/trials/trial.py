"""The trial loop: roll out, adapt, roll out again. Training, evaluation and videos all run it."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import cache
from itertools import count

import torch
from torch import Tensor

from robometa.compute.cuda_graphs import uploaded
from robometa.data import Rollout, Step, Trial
from robometa.errors import UserError
from robometa.learners.protocol import Adaptation, Learner
from robometa.noise import Noise
from robometa.sim.divergence_charge import charged
from robometa.sim.engine import Engine, Outcome, TrialPlace
from robometa.sim.locomotion.reader import MAXIMUM
from robometa.suites.task import Task

MAX_REWARD = 1e30
"""Largest absolute reward of a step; the sums of many are finite, too."""


@dataclass
class Shot:
    """A trial after some adaptations, before its next rollout: all that is needed to collect that rollout.

    Collecting is the caller's part, with `collect` or by any other means.
    """

    number: int
    """Adaptations so far."""
    adaptation: Adaptation
    """The learner's knowledge of the tasks."""
    previous: Rollout | None
    """The rollout before this one; the learner still sees its last step. None at shot 0."""
    noise: Noise
    """Source of this rollout's random numbers."""
    place: TrialPlace
    """Place of this rollout in its trial, on which changes of the tasks depend."""
    _collected: tuple[Rollout, Adaptation] | None = field(default=None, init=False, repr=False)

    def complete(self, rollout: Rollout, adaptation: Adaptation) -> None:
        """Hands the collected rollout to the trial.

        Args:
            rollout: The rollout that the learner adapts to next.
            adaptation: The adaptation after the rollout's last action, as `collect` returns it.
        """
        self._collected = rollout, adaptation


def trial_loop(learner: Learner, noise: Noise, shots: int | None) -> Iterator[Shot]:
    """Yields a trial before each of its rollouts, and adapts the learner between them.

    The loop is independent of the simulator. The caller collects a rollout, passes it to `Shot.complete`, and takes the
    next shot. The last shot needs no rollout, because no adaptation follows it. Between two shots the caller may do
    anything: score the same adaptation, film it, or wait for steps from outside.

    Args:
        learner: Begins and adapts; it is not changed.
        noise: Source of all random numbers, for as many tasks and worlds as there are.
        shots: Adaptations; there is one more rollout than these. None continues for as long as the caller does.

    Raises:
        RuntimeError: If the caller asks for the next shot without completing this one.
    """
    adaptation = learner.begin(noise.tasks, noise.worlds, noise.fork("begin"))
    previous: Rollout | None = None
    for number in count() if shots is None else range(shots + 1):
        place = TrialPlace(noise.fork("change"), number)
        shot = Shot(number, adaptation, previous, _rollout_noise(noise, number), place)
        yield shot
        if number == shots:
            return
        if shot._collected is None:
            raise RuntimeError(f"shot {number} has no rollout: call its complete(...) before taking the next shot")
        previous, carried = shot._collected
        # A caller may have put rollouts side by side, as further worlds.
        source = replace(noise.fork("adapt", number), worlds=previous.reward.shape[1])
        adaptation = learner.adapt(carried, previous, source)


def run_trial(
    engine: Engine,
    learner: Learner,
    tasks: Sequence[Task],
    indices: Sequence[int],
    shots: int,
    noise: Noise,
) -> Trial:
    """Collects a trial to train on, exploring throughout.

    Args:
        engine: Steps the worlds.
        learner: Acts and adapts.
        tasks: The tasks to draw from.
        indices: Index of each task of the batch. `[task]`
        shots: Adaptations; there is one more rollout than these.
        noise: Source of all random numbers.

    Returns:
        All rollouts, and the noise of the update.
    """
    drawn: list[Future[Tensor] | None] = [None] * (shots + 1)
    if learner.device.type == "cuda":  # the processors have little else to do
        horizon, size = engine.horizon, engine.spaces.action
        sources = [_rollout_noise(noise, number) for number in range(shots + 1)]
        drawn = [_ahead().submit(action_noise, source, horizon, size) for source in sources]
    engine.assign([tasks[index] for index in indices])
    rollouts: list[Rollout] = []
    for shot in trial_loop(learner, noise, shots):
        rollout, adaptation = collect(
            engine,
            learner,
            shot.adaptation,
            shot.noise,
            previous=shot.previous,
            place=shot.place,
            drawn=drawn[shot.number],
        )
        shot.complete(rollout, adaptation)
        rollouts.append(rollout)
    return Trial(torch.tensor(list(indices)), tuple(rollouts), noise.fork("update"))


@torch.no_grad()
def collect(
    engine: Engine,
    learner: Learner,
    adaptation: Adaptation,
    noise: Noise,
    *,
    explore: bool = True,
    previous: Rollout | None = None,
    place: TrialPlace | None = None,
    watch: Callable[[int], None] | None = None,
    drawn: Future[Tensor] | None = None,
) -> tuple[Rollout, Adaptation]:
    """Collects a rollout of one horizon in every world.

    Args:
        engine: Steps the worlds; its tasks are already assigned.
        learner: Acts.
        adaptation: The learner's knowledge of the tasks.
        noise: Source of the resets' and the exploration's random numbers.
        explore: Act with noise; without, take the mean action.
        previous: The rollout before this one in the same trial; the learner still sees its last step.
        place: Place of the rollout in its trial; None for a trial of its own.
        watch: Called with the time before each step, and once more with the horizon after the last.
        drawn: The noise of the actions where it is drawn ahead; drawn here if None. `[task, world, time, action]`

    Returns:
        The rollout, and the adaptation that acting left: a memory has seen every step.

    Raises:
        UserError: If the suite pays a reward that is no finite number, or one that is too large to add up.
    """
    with torch_on(1):  # it takes turns with the simulator's threads, and small products gain nothing from more
        horizon, size = engine.horizon, engine.spaces.action
        obs = engine.reset(noise.fork("reset"), place)
        if not explore:
            draws = torch.zeros(1, device=learner.device).expand(engine.tasks, engine.worlds, horizon, size)
        else:
            ready = action_noise(noise, horizon, size) if drawn is None else drawn.result()
            draws = uploaded(ready, learner.device)
        step, recording = _first_step(obs, size, previous), _Recording()
        for time, draw in enumerate(draws.unbind(2)):
            if watch is not None:
                watch(time)
            emitted, adaptation = learner.act(adaptation, step.to(learner.device), draw)
            action = emitted.to(obs.device).clone()  # the learner may write into its own again
            outcome = engine.step(action)
            action = _learned_from(action, outcome.diverged)
            recording.add(step.obs, action, outcome)
            step = Step(outcome.obs, action, outcome.reward, outcome.terminated | outcome.truncated)
        if watch is not None:
            watch(horizon)
        rollout = recording.rollout(engine.worst_reward)
    _require_numbers(rollout.reward)
    return rollout.to(learner.device), adaptation


def _require_numbers(reward: Tensor) -> None:
    """Checks that rewards have finite sums.

    Raises:
        UserError: If one is no finite number, or too large.
    """
    if not bool((reward.abs() <= MAX_REWARD).all()):
        raise UserError(f"the suite pays a reward beyond {MAX_REWARD:g} or none: mend its objective or coefficients")


def _learned_from(action: Tensor, diverged: Tensor) -> Tensor:
    """Actions with zeros where a world blew up by what was no action: nobody shall see it or learn from it."""
    if action.device.type == "cpu" and not diverged.numpy().any():  # on a GPU, asking would wait
        return action
    unfit = ~(action.abs() < MAXIMUM).all(dim=-1, keepdim=True)
    return action.masked_fill(diverged.unsqueeze(-1) & unfit, 0.0)


class _Recording:
    """The steps of a rollout, put together at its end. An engine's outcomes are tensors of their own."""

    def __init__(self) -> None:
        """Keeps nothing yet."""
        self._obs: list[Tensor] = []
        self._action: list[Tensor] = []
        self._outcomes: list[Outcome] = []

    def add(self, obs: Tensor, action: Tensor, outcome: Outcome) -> None:
        """Adds one step of every world."""
        self._obs.append(obs)
        self._action.append(action)
        self._outcomes.append(outcome)

    def rollout(self, worst_reward: Tensor) -> Rollout:
        """Returns the finished rollout, whose end cuts every episode that has not ended by itself.

        Args:
            worst_reward: The engine's lower bound on an honest step's reward. `[task]`
        """
        _, next_obs, reward, terminated, truncated, success, diverged = map(_in_time, zip(*self._outcomes, strict=True))
        truncated[:, :, -1] = ~terminated[:, :, -1]
        return Rollout(
            obs=_in_time(self._obs),
            action=_in_time(self._action),
            reward=charged(reward, diverged, worst_reward),
            next_obs=next_obs,
            terminated=terminated,
            truncated=truncated,
            success=success,
            diverged=diverged,
        )


def action_noise(noise: Noise, horizon: int, size: int) -> Tensor:
    """Draws the noise of a rollout's actions. `[task, world, time, action]`."""
    return noise.fork("action").normal(horizon, size)


def _rollout_noise(noise: Noise, shot: int) -> Noise:
    """The noise of a trial's rollout at a shot."""
    return noise.fork("rollout", shot)


@cache
def _ahead() -> ThreadPoolExecutor:
    """The thread that draws the noise of the coming rollouts while a GPU steps the one before."""
    return ThreadPoolExecutor(1, thread_name_prefix="noise-ahead")


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_ahead.cache_clear)


@contextmanager
def torch_on(threads: int) -> Iterator[None]:
    """Limits torch to a number of threads within the block."""
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _first_step(obs: Tensor, size: int, previous: Rollout | None) -> Step:
    """Joins a rollout's first observation with the last step of the rollout before, or with zeros."""
    if previous is not None:
        before = previous.to(obs.device)
        reward = before.observed_reward()
        return Step(obs, before.action[:, :, -1], reward[:, :, -1], before.done[:, :, -1])
    worlds = obs.shape[:2]
    return Step(obs, obs.new_zeros(*worlds, size), obs.new_zeros(worlds), obs.new_zeros(worlds, dtype=torch.bool))


def _in_time(steps: Sequence[Tensor]) -> Tensor:
    """Puts the values of steps in a row. `[task, world, ...]` each, to `[task, world, time, ...]`."""
    return torch.stack(tuple(steps), dim=2)
