"""The one loop: roll out, adapt, roll out again. Training, evaluation and videos all run it."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from functools import cache

import torch
from torch import Tensor

from robometa.compute.cuda_graphs import uploaded
from robometa.data import Rollout, Step, Trial
from robometa.learners.protocol import Adaptation, Learner
from robometa.noise import Noise
from robometa.sim.engine import Engine
from robometa.suites.suite import Task
from robometa.trials.captured_policy import PolicyGraph


@torch.no_grad()
def collect(
    engine: Engine,
    learner: Learner,
    adaptation: Adaptation,
    noise: Noise,
    *,
    explore: bool = True,
    previous: Rollout | None = None,
    watch: Callable[[int], None] | None = None,
    policy_graph: bool = False,
    drawn: Future[Tensor] | None = None,
) -> tuple[Rollout, Adaptation]:
    """A rollout of one horizon in every world, and the adaptation that the learner carried out of it.

    Args:
        engine: Steps the worlds; its tasks are already assigned.
        learner: Acts.
        adaptation: What the learner knows of the tasks.
        noise: Keys the resets and the exploration.
        explore: Act with noise; with none, the mean action.
        previous: The rollout before this one in the same trial, whose last step the learner still sees.
        watch: Called with the time before each step, and once more with the horizon after the last.
        policy_graph: Act by a graph that is captured for this rollout; needs a GPU.
        drawn: The noise of the actions where it is drawn ahead; drawn here if None. `[task, world, time, action]`
    Raises: UserError: If the learner cannot act by a graph.
    """
    with torch_on(1):  # it takes turns with the simulator's threads, and small products gain nothing from more
        tasks, worlds, horizon = engine.tasks, engine.worlds, engine.horizon
        obs = engine.reset(noise.fork("reset"))
        size = engine.spaces.action
        if not explore:
            draws = torch.zeros(1, device=learner.device).expand(tasks, worlds, horizon, size)
        else:
            ready = action_noise(noise, horizon, size) if drawn is None else drawn.result()
            draws = uploaded(ready, learner.device)
        step = _first_step(obs, size, previous)
        graph = PolicyGraph(learner, adaptation, step.to(learner.device), draws) if policy_graph else None
        shape = (horizon, tasks, worlds)
        seen, seen_next = obs.new_empty(*shape, obs.shape[-1]), obs.new_empty(*shape, obs.shape[-1])
        actions, rewards = obs.new_empty(*shape, size), obs.new_empty(shape)
        flags = obs.new_zeros(4, *shape, dtype=torch.bool)
        for time in range(horizon):
            if watch is not None:
                watch(time)
            if graph is None:
                action, adaptation = learner.act(adaptation, step.to(learner.device), draws[:, :, time])
            else:
                action, adaptation = graph.act(step)
            action = action.to(obs.device)
            outcome = engine.step(action)
            # What an action was at which a world blew up, nobody shall see or learn from.
            action = action.masked_fill(outcome.diverged.unsqueeze(-1), 0.0)
            seen[time], seen_next[time], actions[time], rewards[time] = (
                step.obs,
                outcome.next_obs,
                action,
                outcome.reward,
            )
            for row, flag in enumerate((outcome.terminated, outcome.truncated, outcome.success, outcome.diverged)):
                flags[row, time] = flag
            step = Step(outcome.obs, action, outcome.reward, outcome.terminated | outcome.truncated)
        if watch is not None:
            watch(horizon)
        flags[1, -1] = ~flags[0, -1]  # the end of a rollout cuts every episode that has not ended by itself
        terminated, truncated, success, diverged = (_time_last(flag) for flag in flags)
        rollout = Rollout(
            obs=_time_last(seen),
            action=_time_last(actions),
            reward=_time_last(rewards),
            next_obs=_time_last(seen_next),
            terminated=terminated,
            truncated=truncated,
            success=success,
            diverged=diverged,
        ).to(learner.device)
    return rollout, adaptation


def run_trial(
    engine: Engine,
    learner: Learner,
    tasks: Sequence[Task],
    indices: Sequence[int],
    shots: int,
    noise: Noise,
    *,
    policy_graph: bool = False,
) -> Trial:
    """A trial of `shots` adaptations on the given tasks, exploring throughout.

    Args:
        engine: Steps the worlds.
        learner: Acts and adapts.
        tasks: The tasks to draw from.
        indices: Which of them stand in the batch. `[task]`
        shots: Adaptations; there is one more rollout than these.
        noise: Keys everything random.
        policy_graph: Act by graphs, see `collect`.
    Raises: UserError: If the learner cannot act by a graph.
    """
    keyed = [noise.fork("rollout", shot) for shot in range(shots + 1)]
    drawn: list[Future[Tensor] | None] = [None] * len(keyed)
    if learner.device.type == "cuda":  # the processors have little else to do
        size = engine.spaces.action
        drawn = [_ahead().submit(action_noise, source, engine.horizon, size) for source in keyed]
    engine.assign([tasks[index] for index in indices])
    adaptation = learner.begin(engine.tasks, engine.worlds, noise.fork("begin"))
    rollouts: list[Rollout] = []
    for shot, source in enumerate(keyed):
        previous = rollouts[-1] if rollouts else None
        rollout, adaptation = collect(
            engine, learner, adaptation, source, previous=previous, policy_graph=policy_graph, drawn=drawn[shot]
        )
        rollouts.append(rollout)
        if shot < shots:
            adaptation = learner.adapt(adaptation, rollout, noise.fork("adapt", shot))
    return Trial(torch.tensor(list(indices)), tuple(rollouts), noise.fork("update"))


def action_noise(noise: Noise, horizon: int, size: int) -> Tensor:
    """The noise of a rollout's actions. `[task, world, time, action]`"""
    return noise.fork("action").normal(horizon, size)


@cache
def _ahead() -> ThreadPoolExecutor:
    """The thread that draws the noise of the coming rollouts while a GPU steps the one before."""
    return ThreadPoolExecutor(1, thread_name_prefix="noise-ahead")


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_ahead.cache_clear)


@contextmanager
def torch_on(threads: int) -> Iterator[None]:
    """Torch on so many threads for as long as the block."""
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _first_step(obs: Tensor, size: int, previous: Rollout | None) -> Step:
    if previous is not None:
        before = previous.to(obs.device)
        return Step(obs, before.action[:, :, -1], before.reward[:, :, -1], before.done[:, :, -1])
    worlds = obs.shape[:2]
    return Step(obs, obs.new_zeros(*worlds, size), obs.new_zeros(worlds), obs.new_zeros(worlds, dtype=torch.bool))


def _time_last(stacked: Tensor) -> Tensor:
    """From the order of collection, `[time, task, world, ...]`, to the house's, `[task, world, time, ...]`."""
    return stacked.movedim(0, 2).contiguous()
