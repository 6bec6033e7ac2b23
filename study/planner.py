"""Measures the planner with the true simulator as its model: `python -m study.planner`.

What it reaches is the most that a learned model can allow a planner of these sizes.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Sequence
from contextlib import ExitStack, closing
from dataclasses import replace
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from robometa import suites
from robometa.errors import UserError
from robometa.noise import Noise
from robometa.rl.icem import Plan, Sizes, colouring, icem
from robometa.rl.planning import cross_entropy, shifted
from robometa.sim.engine import Engine, SimulatorState
from robometa.sim.select import engine_of
from robometa.suites.suite import Suite


class TrueModel:
    """Scores action sequences in the simulator itself, from a given state."""

    def __init__(self, suite: Suite, tasks: int, counts: Sequence[int], stack: ExitStack, flip_penalty: float) -> None:
        """Makes an engine for each number of sequences, closed with the stack."""
        self.flip_penalty = flip_penalty
        self.engines: dict[int, Engine] = {}
        for count in set(counts):
            engine = stack.enter_context(closing(engine_of(suite, tasks, count, threads=1)))
            engine.assign(suite.test[:tasks])
            self.engines[count] = engine
        self.steps = 0
        """Control steps so far."""

    def score(self, state: SimulatorState, candidates: Tensor) -> Tensor:
        """Sums the rewards of sequences until the task itself ends. `[world, candidate]`.

        Args:
            state: State of one world of each task.
            candidates: `[task, candidate, time, action]`
        """
        tasks, count, horizon, _ = candidates.shape
        engine = self.engines[count]
        repeated = {
            name: np.repeat(getattr(state, name), count, axis=1) for name in ("physics", "sensors", "episodes", "steps")
        }
        repeated["steps"][:] = 0  # no time limit within a plan
        engine.restore(replace(state, **repeated))
        total, alive = torch.zeros(tasks, count), torch.ones(tasks, count)
        for action in candidates.unbind(dim=2):
            outcome = engine.step(action)
            total += alive * (outcome.reward - self.flip_penalty * on_back(engine, outcome.next_obs))
            alive = alive * ~(outcome.terminated | outcome.diverged)
        self.steps += tasks * count * horizon
        return total


def on_back(engine: Engine, obs: Tensor) -> Tensor:
    """Marks the worlds that lie on their back, where the pitch is known. `[task, world]`, bool."""
    pitch = engine.spaces.meaning.pitch
    return torch.zeros(obs.shape[:2], dtype=torch.bool) if pitch is None else obs[..., pitch].cos() < 0


class Measured(NamedTuple):
    """An episode of each held-out task."""

    returns: Tensor
    """`[task]`"""
    on_back: Tensor
    """Share of steps that ended on the back. `[task]`"""
    steps: int
    """Steps of the simulator within plans."""


def measured(suite: Suite, asked: argparse.Namespace) -> Measured:
    """Plays an episode of held-out tasks."""
    sizes = Sizes(asked.candidates, asked.rounds, asked.decay, asked.elites, asked.kept, asked.plan_std, asked.momentum)
    with ExitStack() as stack:
        engine = stack.enter_context(closing(engine_of(suite, asked.tasks, 1, threads=1)))
        engine.assign(suite.test[: asked.tasks])
        counts = [asked.candidates] if asked.white else sizes.scored()
        model = TrueModel(suite, asked.tasks, counts, stack, asked.flip_penalty)
        noise = Noise(asked.seed, ("planner",), asked.tasks, 1)
        engine.reset(noise.fork("reset"))
        plan = Plan.none((asked.tasks,), sizes, asked.plan_horizon, engine.spaces.action, engine.device)
        colour, total = colouring(asked.plan_horizon, asked.colour), torch.zeros(asked.tasks)
        flipped = torch.zeros(asked.tasks)
        for step in range(engine.horizon):
            state = engine.state()

            def score(candidates: Tensor, state: SimulatorState = state) -> Tensor:
                return model.score(state, candidates)

            shape, source = (asked.plan_horizon, engine.spaces.action), noise.fork("plan", step)
            if asked.white:
                draws = source.normal(asked.rounds, asked.candidates, *shape)[:, 0].transpose(0, 1)
                mean = cross_entropy(score, plan.mean, draws, asked.plan_std, asked.elites)
                action, plan = mean[:, 0], plan._replace(mean=shifted(mean.unsqueeze(1))[:, 0])
            else:
                draws = source.normal(sum(sizes.drawn()), *shape)[:, 0]
                best, plan = icem(score, plan, torch.einsum("wcta,ts->wcsa", draws, colour), sizes)
                action, plan = best[:, 0], plan.shifted()
            outcome = engine.step(action.unsqueeze(1))
            total += outcome.reward[:, 0]
            flipped += on_back(engine, outcome.next_obs)[:, 0] / engine.horizon
    return Measured(total, flipped, model.steps)


def main(words: Sequence[str] | None = None) -> int:
    """Prints the returns of one planner."""
    asked = arguments(words)
    try:
        suite = suites.load(asked.suite)
    except UserError as error:
        print(error, file=sys.stderr)
        return 2
    begun = time.process_time()
    episodes = measured(suite, asked)
    spent, decisions = time.process_time() - begun, asked.tasks * suite.horizon
    print(f"mean return {episodes.returns.mean():.1f} of {numbers(episodes.returns)}")
    print(
        f"percent of steps on the back: mean {100 * episodes.on_back.mean():.1f} of {numbers(100 * episodes.on_back)}"
    )
    print(f"{episodes.steps / decisions:.0f} steps of the simulator an action, {spent:.0f} s of one core in all")
    return 0


def numbers(values: Tensor) -> str:
    """The values of all tasks."""
    return ", ".join(f"{value:.0f}" for value in values.tolist())


def arguments(words: Sequence[str] | None) -> argparse.Namespace:
    """Arguments of the command line."""
    parser = argparse.ArgumentParser(prog="python -m study.planner", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--suite", default="half-cheetah-params")
    parser.add_argument("--tasks", type=int, default=5, help="held-out tasks, the first ones")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--plan-horizon", type=int, default=30, help="steps that a plan looks ahead")
    parser.add_argument("--candidates", type=int, default=40, help="sequences of the first round")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--decay", type=float, default=1.25, help="each round has fewer sequences by this factor")
    parser.add_argument("--elites", type=int, default=10)
    parser.add_argument("--kept", type=int, default=3, help="elites that are scored again")
    parser.add_argument("--plan-std", type=float, default=0.5)
    parser.add_argument("--momentum", type=float, default=0.1)
    parser.add_argument("--colour", type=float, default=0.25, help="exponent of the noise's spectrum")
    parser.add_argument("--flip-penalty", type=float, default=10.0, help="loss in plans for a step on the back")
    parser.add_argument("--white", action="store_true", help="plain cross-entropy method: nothing kept, mean followed")
    return parser.parse_args(words)


if __name__ == "__main__":
    sys.exit(main())
