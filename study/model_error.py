"""Measures how much of one step a model explains on robots that it has never seen: `python -m study.model_error`.

Experience of a trained policy, which no planner shapes, so that models are compared on equal data.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Sequence
from contextlib import closing
from dataclasses import replace
from typing import cast

from robometa import load
from robometa.data import Trial
from robometa.errors import UserError
from robometa.noise import Noise
from robometa.policies.policy import Policy
from robometa.registry.options import resolve
from robometa.rl.planning_learner import PlanningLearner
from robometa.suites.task import Task
from robometa.trials.make import build, engine_for
from robometa.trials.trial import run_trial

POLICY = "policies/half-cheetah-params-rl2"
LEARNERS = ("pets", "cadm", "grbal")
TRANSITIONS = 8192
"""Transitions on which every model's error is measured, however many a window of its learner has."""


def experience(policy: Policy, tasks: Sequence[Task], worlds: int, seed: int) -> Trial:
    """An episode of the policy in each world of the tasks, exploring."""
    with closing(engine_for(policy.learner, policy.suite, len(tasks), worlds)) as engine:
        noise = Noise(seed, ("model error",), len(tasks), worlds)
        return run_trial(engine, policy.learner, tasks, range(len(tasks)), 0, noise)


def main(words: Sequence[str] | None = None) -> int:
    """Prints each learner's errors."""
    asked = arguments(words)
    try:
        policy = load(asked.policy)
        learners = [learner_of(name, policy, asked) for name in asked.learners]
    except UserError as error:
        print(error, file=sys.stderr)
        return 2
    seen = experience(policy, policy.suite.train, asked.worlds, asked.seed)
    unseen = experience(policy, policy.suite.test, asked.worlds, asked.seed + 1)
    print(
        f"{seen.steps()} steps of {len(policy.suite.train)} robots, {unseen.steps()} of {len(policy.suite.test)} others"
    )
    for name, learner in zip(asked.learners, learners, strict=True):
        begun = time.process_time()
        learner.update(seen)
        spent = time.process_time() - begun
        trials = (("training robots", seen), ("held-out robots", unseen))
        errors = ", ".join(f"{words} {error_on(trial, learner):.4f}" for words, trial in trials)
        print(
            f"{name}: {errors}; {learner.config.gradient_steps} gradient steps, {spent:.0f} s of one core", flush=True
        )
    return 0


def error_on(trial: Trial, learner: PlanningLearner) -> float:
    """A model's error on a trial, on as many transitions as every other's."""
    return learner.model_error(trial, TRANSITIONS // learner.future)


def learner_of(name: str, policy: Policy, asked: argparse.Namespace) -> PlanningLearner:
    """An untrained learner of the first preset with the asked gradient steps."""
    config = resolve(policy.suite, name, {"gradient_steps": asked.gradient_steps})
    capacity = len(policy.suite.train) * asked.worlds * policy.suite.horizon
    learner = build(name, replace(config, capacity=capacity), policy.suite, asked.seed)
    return cast(PlanningLearner, learner)


def arguments(words: Sequence[str] | None) -> argparse.Namespace:
    """Arguments of the command line."""
    parser = argparse.ArgumentParser(prog="python -m study.model_error", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--policy", default=POLICY, help=f"whose experience ({POLICY})")
    parser.add_argument("--learners", nargs="+", choices=LEARNERS, default=LEARNERS, help="models to train (all)")
    parser.add_argument("--worlds", type=int, default=4, help="episodes of each robot (4)")
    parser.add_argument("--gradient-steps", type=int, default=3000)
    parser.add_argument("--seed", type=int, default=0)
    return parser.parse_args(words)


if __name__ == "__main__":
    sys.exit(main())
