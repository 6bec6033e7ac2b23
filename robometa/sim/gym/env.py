"""Tasks of a suite as Gymnasium environments: one world, or many of them stepped at once by the engine."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar

import gymnasium
import numpy as np
import torch
from gymnasium.vector import AutoresetMode, VectorEnv
from gymnasium.vector.utils import batch_space

from robometa import suites
from robometa.errors import UserError
from robometa.noise import Noise
from robometa.sim.divergence_charge import charged_step
from robometa.sim.engine import Engine, Outcome
from robometa.sim.locomotion.reader import MAXIMUM
from robometa.sim.select import engine_of
from robometa.suites.suite import Suite
from robometa.suites.task import Task


class SuiteEnv(gymnasium.Env[np.ndarray, np.ndarray]):  # type: ignore[misc] # Gymnasium is not checked
    """A task of a suite in one world. Truncates at the suite's horizon by itself."""

    metadata: ClassVar[dict[str, Any]] = {"render_modes": []}

    def __init__(self, suite: str | Path, split: str = "train", task: int = 0) -> None:
        """Loads the suite and starts an engine of one world.

        Args:
            suite: A shipped suite's name or the path of a suite's file.
            split: `train` or `test`.
            task: Index of the task in that split; `reset(options={"task": 5})` changes it.

        Raises:
            UserError: Naming what is allowed, if there is no such suite, split or task.
        """
        self.suite, self.split = suites.load(suite), split
        self.task = chosen_task(self.suite, split, task)
        self._engine = engine_of(self.suite, tasks=1, worlds=1, threads=1)
        self._engine.assign([self.task])
        self.observation_space, self.action_space = _spaces(self._engine)

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[np.ndarray, dict[str, Any]]:
        """Starts an episode. `[obs]`, and nothing else."""
        super().reset(seed=seed)
        if options is not None and "task" in options:
            self.task = chosen_task(self.suite, self.split, options["task"])
            self._engine.assign([self.task])
        return self._engine.reset(_noise(self.np_random, tasks=1))[0, 0].numpy(), {}

    def step(self, action: np.ndarray) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
        """One control step under an action in -1..1. `[action]`."""
        outcome = self._engine.step(torch.as_tensor(action, dtype=torch.float32))
        return (
            outcome.next_obs[0, 0].numpy(),
            _reward(self._engine, outcome).item(),
            bool(outcome.terminated),
            bool(outcome.truncated),
            {"success": bool(outcome.success), "diverged": bool(outcome.diverged)},
        )

    def close(self) -> None:
        """Frees the engine."""
        self._engine.close()


class SuiteVectorEnv(VectorEnv[np.ndarray, np.ndarray, np.ndarray]):  # type: ignore[misc]
    """Tasks of a suite in many worlds, stepped by one engine; a world whose episode ends starts anew at once."""

    metadata: ClassVar[dict[str, Any]] = {"render_modes": [], "autoreset_mode": AutoresetMode.SAME_STEP}

    def __init__(
        self,
        suite: str | Path,
        num_envs: int = 1,
        split: str = "train",
        task: int | Sequence[int] | None = None,
        threads: int | None = None,
    ) -> None:
        """Loads the suite and starts the engine.

        Args:
            suite: A shipped suite's name or the path of a suite's file.
            num_envs: How many worlds.
            split: `train` or `test`.
            task: Index in that split of every world's task, or one index for each; the split's tasks in turn if None.
            threads: Threads that step the worlds; all processors if None.

        Raises:
            UserError: Naming what is allowed, if there is no such suite, split or task.
        """
        self.suite, self.num_envs = suites.load(suite), num_envs
        if task is None:
            task = [index % len(self.suite.tasks(split)) for index in range(num_envs)]
        indices = [task] * num_envs if isinstance(task, int) else list(task)
        self._engine = engine_of(self.suite, tasks=num_envs, worlds=1, threads=threads)
        self._engine.assign([chosen_task(self.suite, split, index) for index in indices])
        self.single_observation_space, self.single_action_space = _spaces(self._engine)
        self.observation_space = batch_space(self.single_observation_space, num_envs)
        self.action_space = batch_space(self.single_action_space, num_envs)

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[np.ndarray, dict[str, Any]]:
        """Starts an episode in every world. `[world, obs]`, and nothing else."""
        super().reset(seed=seed, options=options)
        return self._engine.reset(_noise(self.np_random, self.num_envs))[:, 0].numpy(), {}

    def step(self, actions: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, dict[str, Any]]:
        """One control step of every world under actions in -1..1. `[world, action]`.

        Where an episode ended, the observation is the next episode's first and `final_obs` the ended one's last.
        """
        outcome = self._engine.step(torch.as_tensor(actions, dtype=torch.float32))
        terminated, truncated = outcome.terminated[:, 0].numpy(), outcome.truncated[:, 0].numpy()
        info: dict[str, Any] = {}
        for name in ("success", "diverged"):
            info[name] = getattr(outcome, name)[:, 0].numpy().copy()
            info[f"_{name}"] = np.ones(self.num_envs, dtype=bool)
        ended = terminated | truncated
        if ended.any():
            final = np.full(self.num_envs, None, dtype=object)
            for world in ended.nonzero()[0]:
                final[world] = outcome.next_obs[world, 0].numpy().copy()
            info |= {"final_obs": final, "_final_obs": ended, "final_info": dict(info), "_final_info": ended}
        reward = _reward(self._engine, outcome)[:, 0].numpy().astype(np.float64)
        return outcome.obs[:, 0].numpy(), reward, terminated.copy(), truncated.copy(), info

    def close_extras(self, **kwargs: Any) -> None:
        """Frees the engine."""
        self._engine.close()


def chosen_task(suite: Suite, split: str, index: int) -> Task:
    """The task of this index in a split.

    Raises:
        UserError: If there is no such split or index, naming the allowed ones.
    """
    tasks = suite.tasks(split)
    if not isinstance(index, int | np.integer) or not 0 <= index < len(tasks):
        raise UserError(f"no task {index!r} among the {split} tasks of {suite.name}: 0 to {len(tasks) - 1}")
    return tasks[index]


def _spaces(engine: Engine) -> tuple[gymnasium.spaces.Box, gymnasium.spaces.Box]:
    """Observation and action space. A state beyond `MAXIMUM` has diverged and is never shown."""
    see, act = engine.spaces.observation, engine.spaces.action
    return (
        gymnasium.spaces.Box(-MAXIMUM, MAXIMUM, (see,), np.float32),
        gymnasium.spaces.Box(-1.0, 1.0, (act,), np.float32),
    )


def _reward(engine: Engine, outcome: Outcome) -> torch.Tensor:
    """Rewards of a step, with the charge where the simulation diverged. `[task, world]`."""
    return charged_step(outcome.reward, outcome.diverged, engine.worst_reward, engine.horizon)


def _noise(source: np.random.Generator, tasks: int) -> Noise:
    return Noise(int(source.integers(2**62)), ("gymnasium",), tasks, worlds=1)
