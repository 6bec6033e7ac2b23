"""Meta-World's scripted experts in the place of a learner: what a task allows, to measure learners against."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor

from robometa.data import Rollout, Step, Trial
from robometa.errors import UserError
from robometa.noise import Noise
from robometa.sim.metaworld import upstream
from robometa.suites.suite import Suite, Task

NAME = "scripted"
"""What the experts are called where a policy is asked for."""
GOAL = slice(36, 39)
"""Where an expert looks for the goal in an observation."""


class Scripted:
    """Upstream's expert of each task, which is told its task and its goal, as an oracle is.

    Nothing is random in an expert, and none of them adapts: it acts alike with noise and without.
    """

    configuration: ClassVar[type] = object
    pools_worlds: ClassVar[bool] = False
    sees_parameters: ClassVar[bool] = False

    def __init__(self, tasks: Sequence[Task] = (), acts_on: Callable[[Task], bool] | None = None) -> None:
        """Calls the experts.

        Args:
            tasks: The tasks that they are to act on, in the order of the batch.
            acts_on: On which of them they act, for experts that leave the others alone; all if None.
        Raises: UserError: If Meta-World cannot run here.
        """
        upstream.check()
        from metaworld.policies import ENV_POLICY_MAP

        experts: dict[str, Any] = ENV_POLICY_MAP
        self.config: Any = None
        self.device = torch.device("cpu")
        self._experts = [experts[task.objective]() if acts_on is None or acts_on(task) else None for task in tasks]
        self._goals = [goal_of(task) for task in tasks]

    def begin(self, tasks: int, worlds: int, noise: Noise) -> None:
        """Nothing is to be found out."""

    def act(self, adaptation: None, step: Step, noise: Tensor) -> tuple[Tensor, None]:
        """The experts' actions, or none where they leave a task alone. `[task, world, action]`"""
        seen = step.obs.double().numpy().copy()
        actions = np.zeros((*seen.shape[:2], 4), dtype=np.float32)
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="Constant")  # experts ask for more than 1 and are clipped
            for expert, goal, observations, chosen in zip(self._experts, self._goals, seen, actions, strict=True):
                if expert is None:
                    continue
                observations[:, GOAL] = goal
                for world, observation in enumerate(observations):
                    chosen[world] = expert.get_action(observation)
        return torch.from_numpy(actions).clamp(-1.0, 1.0), None

    def adapt(self, adaptation: None, rollout: Rollout, noise: Noise) -> None:
        """Nothing is found out."""

    def update(self, trial: Trial) -> dict[str, float]:
        """Nothing is learned."""
        return {}

    def state(self) -> dict[str, Tensor]:
        """Nothing to keep."""
        return {}

    def load(self, state: dict[str, Tensor]) -> None:
        """Nothing to take back."""


def goal_of(task: Task) -> np.ndarray:
    """Where a task's goal is, m. `[3]`"""
    start = upstream.template(task.objective, "v2").start(dict(task.parameters)["goal"], {})
    return start.constants["goal"]


def needs_experts(suite: Suite) -> None:
    """Returns if a suite's tasks have experts.

    Raises: UserError: If they are not Meta-World's.
    """
    if not suite.family.has_experts:
        raise UserError(f"the scripted experts know Meta-World's tasks, and suite {suite.name} has others")
