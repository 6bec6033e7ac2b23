"""Meta-World's own few-shot evaluation of experts that solve a known share of the goals, beside the truth.

Upstream's scripted experts act on a quarter of the goals of each task, those with the smallest first coordinate, and
do nothing on the others. `metaworld.evaluation.metalearning_evaluation` counts the first episodes of a task to finish,
and an episode finishes early when it succeeds: a goal that is solved is counted again and again before one that is not
has been counted once. Needs the extra `metaworld`:

    python examples/overstated_success.py --suite ml10
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

from metaworld import make_ml_envs_test
from metaworld.evaluation import metalearning_evaluation

from robometa import suites
from robometa.evaluation.evaluate import measure
from robometa.evaluation.metaworld_adapter import MetaWorldAdapter
from robometa.evaluation.scripted_experts import Scripted
from robometa.suites.suite import Suite
from robometa.suites.task import Task

Choice = Callable[[Task], bool]


class ToldExperts(MetaWorldAdapter):
    """The scripted experts in upstream's evaluation, which get each goal that it draws."""

    def __init__(self, environments: Any, tasks: list[Task], acts_on: Choice) -> None:
        """Knows the tasks by their goals."""
        self._environments, self._acts_on = environments, acts_on
        self._tasks = {dict(task.parameters)["goal"]: task for task in tasks}
        super().__init__(Scripted(), environments.num_envs)

    def init(self) -> None:
        """Calls the experts of the goals that have been drawn."""
        goals = self._environments.get_attr("_last_rand_vec")
        drawn = [self._tasks[tuple(map(float, goal))] for goal in goals if goal is not None]
        self.learner = Scripted(drawn, self._acts_on)
        super().init()


def smallest(tasks: list[Task], share: float) -> Choice:
    """True if a task is among this share of the goals of its kind that have the smallest first coordinate."""
    chosen: set[Task] = set()
    for name in {task.objective for task in tasks}:
        of_name = sorted((task for task in tasks if task.objective == name), key=lambda task: task.parameters)
        chosen |= set(of_name[: round(share * len(of_name))])
    return chosen.__contains__


def first_goals(suite: Suite, goals: int) -> list[Task]:
    """The first so many held-out goals of each task."""
    names = dict.fromkeys(task.objective for task in suite.test)
    return [task for name in names for task in [task for task in suite.test if task.objective == name][:goals]]


def upstream_says(suite: Suite, acts_on: Choice, goals: int, environments: int, steps: int) -> float:
    """The success rate that upstream's function reports, each goal being drawn once."""
    tasks = first_goals(suite, goals)
    made = make_ml_envs_test(
        suite.name.partition("/")[2] or suite.name.upper(),
        seed=42,
        meta_batch_size=environments,
        total_tasks_per_cls=goals,
        max_episode_steps=steps,
    )
    experts = ToldExperts(made, tasks, acts_on)
    # Experts learn nothing, so an episode to adapt stands for ten. Three are scored, as upstream's default says.
    outcome = metalearning_evaluation(
        experts, made, num_evals=len(tasks) // environments, adaptation_episodes=1, evaluation_episodes=3
    )
    made.close()
    return float(outcome[0])


def truth(suite: Suite, acts_on: Choice, goals: int, steps: int) -> float:
    """The share of the goals that the same experts solve: one episode of each, as nothing in it is random."""
    short = replace(suite, horizon=steps)
    experts = partial(Scripted, acts_on=acts_on)
    report = measure(Scripted(), short, shots=0, worlds=1, tasks=goals, for_tasks=experts)
    return float(report.mean_action.success.mean())


def main() -> None:
    """Prints both."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--suite", default="ml10", help="ml10, ml45, ml1/reach-v3, ... (default: ml10)")
    parser.add_argument(
        "--share", type=float, default=0.25, help="of the goals that the experts act on (default: 0.25)"
    )
    parser.add_argument("--goals", type=int, default=40, help="held-out goals of each task (default: 40)")
    parser.add_argument("--environments", type=int, default=20, help="in upstream's vector (default: 20)")
    asked = parser.parse_args()
    suite = suites.load(asked.suite)
    acts_on = smallest(first_goals(suite, asked.goals), asked.share)
    print(f"{suite.name}, {asked.goals} held-out goals of each task; experts act on {asked.share:.0%} of them")
    print(f"solved, every goal counted once:              {truth(suite, acts_on, asked.goals, 500):.1%}", flush=True)
    says = upstream_says(suite, acts_on, asked.goals, asked.environments, 500)
    print(f"metaworld.evaluation.metalearning_evaluation: {says:.1%}")


if __name__ == "__main__":
    main()
