"""Meta-World's scripted experts in the place of a learner: an upper bound on a task's success."""

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
from robometa.suites.suite import Suite
from robometa.suites.task import Task

NAME = "scripted"
"""Name of the experts in the place of a policy."""
GOAL = slice(36, 39)
"""Indices of the goal in an expert's observation."""


class Scripted:
    """Upstream's scripted expert of each task, with access to the task and its goal, as an oracle.

    An expert is deterministic and does not adapt: it acts the same with noise and without.
    """

    configuration: ClassVar[type] = object
    pools_worlds: ClassVar[bool] = False
    sees_parameters: ClassVar[bool] = False
    trains_on_parameters: ClassVar[bool] = False
    learns_offline: ClassVar[bool] = False
    adapts_within_episode: ClassVar[bool] = False

    def __init__(self, tasks: Sequence[Task] = (), acts_on: Callable[[Task], bool] | None = None) -> None:
        """Makes the experts of the tasks.

        Args:
            tasks: The tasks to act on, in the order of the batch.
            acts_on: Selects the tasks to act on; actions on the others are zero. All if None.

        Raises:
            UserError: If Meta-World cannot run here.
        """
        upstream.check()
        from metaworld.policies import ENV_POLICY_MAP

        experts: dict[str, Any] = ENV_POLICY_MAP
        self.config: Any = None
        self.device = torch.device("cpu")
        self._experts = [experts[task.objective]() if acts_on is None or acts_on(task) else None for task in tasks]
        self._goals = [goal_of(task) for task in tasks]

    def begin(self, tasks: int, worlds: int, noise: Noise) -> None:
        """Returns no adaptation, because each expert is made for its task."""

    def act(self, adaptation: None, step: Step, noise: Tensor) -> tuple[Tensor, None]:
        """Returns the experts' actions, or zeros where none acts. `[task, world, action]`."""
        obs = step.obs.double().numpy().copy()
        actions = np.zeros((*obs.shape[:2], 4), dtype=np.float32)
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="Constant")  # experts ask for more than 1 and are clipped
            for expert, goal, of_task, action in zip(self._experts, self._goals, obs, actions, strict=True):
                if expert is None:
                    continue
                of_task[:, GOAL] = goal
                for world, observation in enumerate(of_task):
                    action[world] = expert.get_action(observation)
        return torch.from_numpy(actions).clamp(-1.0, 1.0), None

    def adapt(self, adaptation: None, rollout: Rollout, noise: Noise) -> None:
        """Returns no adaptation: an expert does not adapt."""

    def update(self, trial: Trial) -> dict[str, float]:
        """Does nothing: an expert does not learn."""
        return {}

    def state_dict(self) -> dict[str, Tensor]:
        """Returns an empty state."""
        return {}

    def load_state_dict(self, state: dict[str, Tensor]) -> None:
        """Does nothing: the state is empty."""


def goal_of(task: Task) -> np.ndarray:
    """Returns the position of a task's goal, m. `[3]`."""
    start = upstream.template(task.objective, "v2").start(dict(task.parameters)["goal"], {})
    return start.constants["goal"]


def needs_experts(suite: Suite) -> None:
    """Checks that a suite's tasks have experts.

    Raises:
        UserError: If they are not Meta-World's.
    """
    if not suite.family.has_experts:
        raise UserError(f"the scripted experts know Meta-World's tasks, and suite {suite.name} has others")
