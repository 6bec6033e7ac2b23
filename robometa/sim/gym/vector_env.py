"""Tasks of a suite as Gymnasium environments: many worlds, stepped at once by one engine."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from gymnasium.envs.registration import EnvSpec
from gymnasium.utils import seeding
from gymnasium.vector import AutoresetMode, VectorEnv
from gymnasium.vector.utils import batch_space

from robometa import suites
from robometa.errors import UserError
from robometa.noise import Noise
from robometa.sim.engine import SimulatorState
from robometa.sim.gym.env import (
    checked_action,
    chosen_task,
    named,
    require_arguments,
    require_open,
    require_options,
    reward_of,
    spaces_of,
    with_horizon,
)
from robometa.sim.select import engine_of

MAX_ENVS = 100_000
"""Most worlds of a vector, as of an evaluation."""


@dataclass(frozen=True)
class WorldsNoise(Noise):
    """Random numbers of worlds with a seed each: those of a single environment with that seed."""

    seeds: tuple[int, ...] = ()

    def generator(self, *place: int) -> np.random.Generator:
        """Returns the numpy generator of a world, and up to two further indices."""
        return Noise(self.seeds[place[0]], self.purpose, 1, self.worlds).generator(0, *place[1:])


class SuiteVectorEnv(VectorEnv[np.ndarray, np.ndarray, np.ndarray]):  # type: ignore[misc] # Gymnasium is not checked
    """Tasks of a suite in many worlds, stepped by one engine."""

    metadata: ClassVar[dict[str, Any]] = {"render_modes": [], "autoreset_mode": AutoresetMode.SAME_STEP}

    def __init__(
        self,
        suite: str | Path | None = None,
        num_envs: int = 1,
        split: str = "train",
        task: int | Sequence[int] | None = None,
        threads: int | None = None,
        autoreset_mode: AutoresetMode | str = AutoresetMode.SAME_STEP,
        **others: Any,
    ) -> None:
        """Loads the suite and starts the engine.

        Args:
            suite: A shipped suite's name or the path of a suite's file.
            num_envs: How many worlds.
            split: `train` or `test`.
            task: Index in that split of every world's task, or one index for each; the split's tasks in turn if None.
            threads: Threads that step the worlds; all processors if None.
            autoreset_mode: When a world begins anew after an episode: `SameStep`, `NextStep`, or `Disabled` for
                `reset(options={"reset_mask": ...})`.
            **others: Unknown arguments, which are refused.

        Raises:
            UserError: Naming what is allowed, if there is no such argument, suite, split, task or mode.
        """
        require_arguments(SuiteVectorEnv, others)
        if isinstance(num_envs, bool) or not isinstance(num_envs, int | np.integer) or not 1 <= num_envs <= MAX_ENVS:
            raise UserError(f"num_envs must be a whole number from 1 to {MAX_ENVS}, not {num_envs!r:.40}")
        self.suite, self.num_envs, self._split = suites.load(named(suite)), num_envs, split
        self._mode = _mode(autoreset_mode)
        self.__dict__["metadata"] = {**type(self).metadata, "autoreset_mode": self._mode}
        if task is None:
            task = [index % len(self.suite.tasks(split)) for index in range(num_envs)]
        self._tasks = self._chosen(task)
        self._spec: EnvSpec | None = None
        self._engine = engine_of(self.suite, tasks=num_envs, worlds=1, threads=threads)
        self._engine.assign([chosen_task(self.suite, split, index) for index in self._tasks])
        self.single_observation_space, self.single_action_space = spaces_of(self._engine)
        self.observation_space = batch_space(self.single_observation_space, num_envs)
        self.action_space = batch_space(self.single_action_space, num_envs)
        self._sources = [seeding.np_random(None)[0] for _ in range(num_envs)]
        self._over = np.zeros(num_envs, dtype=bool)
        self._noise: WorldsNoise | None = None

    @property
    def spec(self) -> EnvSpec | None:
        """Gymnasium's specification, with the suite's horizon."""
        return self._spec

    @spec.setter
    def spec(self, spec: EnvSpec | None) -> None:
        self._spec = with_horizon(spec, self.suite)

    def _chosen(self, task: Any) -> list[int]:
        """Index of every world's task."""
        if isinstance(task, int | np.integer):
            return [int(task)] * self.num_envs
        indices = list(task) if isinstance(task, Sequence | np.ndarray) else None
        if indices is None or len(indices) != self.num_envs:
            raise UserError(f"task must be an index, or one for each of {self.num_envs} worlds, not {task!r}")
        return indices

    def reset(
        self, *, seed: int | Sequence[int | None] | None = None, options: dict[str, Any] | None = None
    ) -> tuple[np.ndarray, dict[str, Any]]:
        """Starts an episode in every world, or in some. `[world, obs]`, and nothing else.

        A trial of a task that changes begins here, and goes on when a world begins anew by itself.

        Args:
            seed: Seed of the first world, of which the next ones count on, or one for each, of which None leaves a
                world's as it is. A world's first episode is that of a single environment with its seed.
            options: `reset_mask` marks the worlds to reset, `[world]`, bool; `task` gives them another task, an index
                or one for each world.

        Raises:
            UserError: If there is no such option or task, a list has another length, or the environment is closed.
        """
        require_open(self.closed)
        require_options(options, ("reset_mask", "task"))
        options = options or {}
        mask = self._mask(options.get("reset_mask"))
        seeds = self._seeds(seed)
        tasks = [
            new if reset else old
            for new, old, reset in zip(
                self._chosen(options.get("task", self._tasks)), self._tasks, mask.tolist(), strict=True
            )
        ]
        chosen = [chosen_task(self.suite, self._split, index) for index in tasks]
        before = None if self._noise is None or mask.all() else self._engine.state()
        if before is None and not mask.all():
            raise UserError("reset_mask goes with worlds that have begun: the first reset is of all")
        drawn = []
        for world in range(self.num_envs):
            if mask[world] and seeds[world] is not None:
                self._sources[world] = seeding.np_random(seeds[world])[0]
            old = 0 if self._noise is None else self._noise.seeds[world]
            drawn.append(int(self._sources[world].integers(2**62)) if mask[world] else old)
        self._noise = WorldsNoise(0, ("gymnasium",), self.num_envs, worlds=1, seeds=tuple(drawn))
        if tasks != self._tasks or before is None:
            self._engine.assign(chosen)
            self._tasks = tasks
        obs = self._engine.reset(self._noise)
        self._over &= ~mask
        if before is not None:
            merged = _merged(before, self._engine.state(), mask, self._noise)
            self._engine.restore(merged)
            obs = merged.obs
        return obs[:, 0].numpy().copy(), {}

    def _seeds(self, seed: int | Sequence[int | None] | None) -> list[int | None]:
        if seed is None or isinstance(seed, int | np.integer):
            return [None if seed is None else int(seed) + world for world in range(self.num_envs)]
        if len(seed) != self.num_envs:
            raise UserError(f"seed must be a number, or one for each of {self.num_envs} worlds, not {len(seed)}")
        return list(seed)

    def _mask(self, mask: Any) -> np.ndarray:
        if mask is None:
            return np.ones(self.num_envs, dtype=bool)
        fits = isinstance(mask, np.ndarray) and mask.shape == (self.num_envs,) and mask.dtype == np.bool_
        if not fits or not mask.any():
            raise UserError(f"reset_mask must be an array of {self.num_envs} bools, at least one of them True")
        return np.asarray(mask)

    def step(self, actions: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, dict[str, Any]]:
        """One control step of every world under actions in -1..1. `[world, action]`.

        With `SameStep`, where an episode ended the observation is the next episode's first and `final_obs` the ended
        one's last. With `NextStep` it is the last, and the next step begins the next episode whatever the action.

        Raises:
            UserError: If the actions have another shape, with `Disabled` an episode is over, or all are closed.
        """
        require_open(self.closed)
        if self._noise is None:
            raise UserError("step needs a reset before it")
        checked = checked_action(actions, self.action_space.shape, self.suite)
        waiting = self._over.copy()
        if self._mode is AutoresetMode.DISABLED and waiting.any():
            worlds = ", ".join(map(str, waiting.nonzero()[0]))
            raise UserError(f'the episodes of worlds {worlds} are over: reset(options={{"reset_mask": ...}})')
        before = self._engine.state() if waiting.any() else None
        outcome = self._engine.step(checked)
        obs, final = outcome.obs[:, 0].numpy(), outcome.next_obs[:, 0].numpy()
        if before is not None:  # those that begin now have stood still
            self._engine.restore(_merged(before, self._engine.state(), ~waiting, self._noise))
            obs, final = (np.where(waiting[:, None], before.obs[:, 0].numpy(), values) for values in (obs, final))
        terminated, truncated = (part[:, 0].numpy() & ~waiting for part in (outcome.terminated, outcome.truncated))
        reward = np.where(waiting, 0.0, reward_of(self._engine, outcome)[:, 0].numpy().astype(np.float64))
        info: dict[str, Any] = {}
        for name in ("success", "diverged"):
            info[name] = getattr(outcome, name)[:, 0].numpy() & ~waiting
            info[f"_{name}"] = ~waiting
        ended = terminated | truncated
        if self._mode is not AutoresetMode.SAME_STEP:
            self._over = ended
            return final.copy(), reward, terminated, truncated, info
        if ended.any():
            last = np.full(self.num_envs, None, dtype=object)
            for world in ended.nonzero()[0]:
                last[world] = final[world].copy()
            info |= {"final_obs": last, "_final_obs": ended, "final_info": dict(info), "_final_info": ended}
        return obs.copy(), reward, terminated, truncated, info

    def close_extras(self, **kwargs: Any) -> None:
        """Frees the engine."""
        self._engine.close()


def _mode(mode: AutoresetMode | str) -> AutoresetMode:
    """The mode of this name.

    Raises:
        UserError: If there is none.
    """
    names = {one.value: one for one in AutoresetMode}
    chosen = mode if isinstance(mode, AutoresetMode) else names.get(str(mode))
    if chosen is None:
        raise UserError(f"autoreset_mode must be {', '.join(names)}, not {mode!r}")
    return chosen


def _merged(old: SimulatorState, new: SimulatorState, mask: np.ndarray, noise: Noise) -> SimulatorState:
    """Takes marked worlds from one state, the others from another. `[world]`, bool."""

    def merged(one: np.ndarray | None, other: np.ndarray | None) -> Any:
        if one is None or other is None:
            return other
        width = max(one.shape[-1], other.shape[-1]) if one.ndim == 3 else 0  # states of other models are padded
        one, other = (
            np.pad(part, [(0, 0), (0, 0), (0, width - part.shape[-1])]) if width else part for part in (one, other)
        )
        return np.where(mask.reshape(-1, *[1] * (other.ndim - 1)), other, one)

    return replace(
        new,
        **{
            name: merged(getattr(old, name), getattr(new, name))
            for name in ("physics", "sensors", "steps", "episodes", "memory", "clock")
        },
        obs=torch.where(torch.from_numpy(mask)[:, None, None], new.obs, old.obs),
        noise=noise,
    )
