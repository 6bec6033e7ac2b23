"""Stable-Baselines3 trained from scratch on each held-out task: a baseline without meta-learning."""

from __future__ import annotations

import copy
import random
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor

from robometa import suites
from robometa.compute.hardware import Hardware
from robometa.data import Rollout, Step, Trial
from robometa.errors import UserError, unknown
from robometa.evaluation.evaluate import measure
from robometa.noise import Noise
from robometa.progress import progress
from robometa.reports.report import Report
from robometa.sim.gym.registration import suite_names
from robometa.suites.load import suite_reference
from robometa.suites.suite import Suite
from robometa.suites.task import Task
from robometa.trials.trial import torch_on

MOST_STEPS = 1_000_000_000
PPO_ROLLOUT = 2048
"""Maximum number of steps between PPO's updates: Stable-Baselines3's default."""
TD3_NOISE = 0.1
"""Standard deviation of TD3's exploration: the paper's, https://arxiv.org/abs/1802.09477."""
REPLAY = 1_000_000
"""Maximum number of steps in a replay buffer: Stable-Baselines3's default."""

Acting = Callable[[Any, Tensor, Tensor], Tensor]
"""Maps a Stable-Baselines3 policy, observations `[world, obs]` and normal numbers to actions. `[world, action]`"""


def evaluate_from_scratch(
    algorithm: str,
    suite: str | Path | Suite,
    *,
    steps: int | Sequence[int] | None = None,
    tasks: int | None = None,
    split: str = "test",
    shots: int = 2,
    worlds: int = 20,
    seed: int = 0,
    threads: int | None = None,
) -> Report:
    """Trains Stable-Baselines3 on each held-out task alone, and scores it on the same episodes as adaptations.

    The report's shot 0 is the untrained policy; each further shot is a training from scratch, with more steps.

    Args:
        algorithm: `sb3-ppo`, `sb3-sac` or `sb3-td3`, with Stable-Baselines3's own options.
        suite: A shipped suite's name, a suite file, or a suite.
        steps: Environment steps of a training, or of several; those of `shots` episodes if None. PPO learns from
            rollouts of equal length and may leave a few steps out; the report has the number taken.
        tasks: Number of the split's tasks, from the first; all if None.
        split: `test` or `train`.
        shots: Number of episodes to train with if `steps` is None.
        worlds: Episodes of each task that are scored.
        seed: Seed of the trainings, and of resets and exploration in scoring.
        threads: Threads that step the simulation in scoring. Results do not depend on it.

    Returns:
        The report.

    Raises:
        UserError: If there is no such algorithm or suite, or a number is out of its range.
    """
    suite = suite if isinstance(suite, Suite) else suites.load(suite)
    if algorithm not in ALGORITHMS:
        raise UserError(unknown("algorithm", algorithm, ALGORITHMS))
    trainings = [max(shots, 1) * suite.horizon] if steps is None else [steps] if isinstance(steps, int) else list(steps)
    for count in trainings:
        if not 2 <= count <= MOST_STEPS:
            raise UserError(f"steps must be from 2 to {MOST_STEPS}, not {count}")
    for name, value, most in (("worlds", worlds, 100_000), ("trainings", len(trainings), 1000)):
        if not 1 <= value <= most:
            raise UserError(f"{name} must be from 1 to {most}, not {value}")
    chosen = suite.tasks(split)
    if tasks is not None and not 1 <= tasks <= len(chosen):
        raise UserError(f"tasks must be from 1 to {len(chosen)}, not {tasks}")
    chosen = chosen[:tasks]
    policies: dict[Task, list[Any]] = {}
    with progress() as bar, torch_on(1), _global_randomness_kept():
        counter = bar.add_task(f"{algorithm} from scratch", total=len(chosen) * sum(trainings))
        for index, task in enumerate(chosen):
            policies[task], taken = _trained(
                algorithm, suite, split, index, trainings, seed, lambda: bar.advance(counter)
            )
    report = measure(
        FromScratch(algorithm),
        suite,
        split=split,
        shots=len(trainings),
        worlds=worlds,
        seed=seed,
        hardware=Hardware(threads=threads),
        name=algorithm,
        tasks=tasks,
        for_tasks=lambda some: FromScratch(algorithm, [policies[task] for task in some]),
    )
    steps_seen = (0, *taken)
    return replace(report, steps_seen=steps_seen, episodes_seen=tuple(count / suite.horizon for count in steps_seen))


class FromScratch:
    """Policies trained on one task each, as a learner; `adapt` moves on to the task's next policy."""

    configuration: ClassVar[type] = object
    pools_worlds: ClassVar[bool] = False
    sees_parameters: ClassVar[bool] = False
    trains_on_parameters: ClassVar[bool] = False
    learns_offline: ClassVar[bool] = False
    adapts_within_episode: ClassVar[bool] = False

    def __init__(self, algorithm: str, policies: Sequence[Sequence[Any]] = ()) -> None:
        """Acts with `policies`, at each shot with those of that shot. `[task][shot]`."""
        self.config: Any = None
        self.device = torch.device("cpu")
        self._act, self._policies = ALGORITHMS[algorithm], policies

    def begin(self, tasks: int, worlds: int, noise: Noise) -> int:
        """Returns the number of the first shot."""
        return 0

    def act(self, adaptation: int, step: Step, noise: Tensor) -> tuple[Tensor, int]:
        """Returns the actions of each task's policy. `[task, world, action]`."""
        policies = [of_task[adaptation] for of_task in self._policies]
        actions = [self._act(*parts) for parts in zip(policies, step.obs, noise, strict=True)]
        return torch.stack(actions), adaptation

    def adapt(self, adaptation: int, rollout: Rollout, noise: Noise) -> int:
        """Returns the number of the next shot: its policy has been trained already."""
        return adaptation + 1

    def update(self, trial: Trial) -> dict[str, float]:
        """Does nothing: nothing is learned over tasks."""
        return {}

    def state_dict(self) -> dict[str, Tensor]:
        """Returns an empty state."""
        return {}

    def load_state_dict(self, state: dict[str, Tensor]) -> None:
        """Does nothing: the state is empty."""


def _trained(
    algorithm: str, suite: Suite, split: str, index: int, steps: Sequence[int], seed: int, advance: Callable[[], None]
) -> tuple[list[Any], list[int]]:
    """Trains a task's policies.

    Args:
        algorithm: The algorithm's name.
        suite: The suite of the task.
        split: `test` or `train`.
        index: Index of the task in its split.
        steps: Environment steps of each training.
        seed: Seed of the trainings.
        advance: Called after each step, for a progress bar.

    Returns:
        The untrained policy and one of each training, and the steps that each training took.
    """
    from stable_baselines3.common.logger import Logger

    drawn = Noise(seed, ("from scratch", algorithm, split, index), 1, 1).generator().integers(2**31)
    policies: list[Any] = []
    taken: list[int] = []
    for count in steps:
        with closing(_environment(suite, split, index)) as environment:
            model, exact = _model(algorithm, environment, count, int(drawn))
            model.set_logger(Logger(folder=None, output_formats=[]))  # its own leaves a folder among temporary files
            if not policies:
                policies.append(copy.deepcopy(model.policy))

            def on_step(*_: Any) -> bool:
                advance()
                return True  # go on

            model.learn(exact, callback=on_step)
        policies.append(model.policy)
        taken.append(int(model.num_timesteps))
    return policies, taken


def _environment(suite: Suite, split: str, index: int) -> Any:
    """Makes a task's environment by its Gymnasium id."""
    import gymnasium

    reference = suite_reference(suite)
    if reference in suite_names():
        return gymnasium.make(f"robometa/{reference}-v0", split=split, task=index)
    return gymnasium.make("robometa/suite-v0", suite=reference, split=split, task=index)


def _model(algorithm: str, environment: Any, steps: int, seed: int) -> tuple[Any, int]:
    """Makes an untrained model, and computes the steps to train it for."""
    import stable_baselines3
    from stable_baselines3.common.noise import NormalActionNoise

    common = {"policy": "MlpPolicy", "env": environment, "seed": seed, "device": "cpu"}
    if algorithm == "sb3-ppo":
        rollouts = -(-steps // PPO_ROLLOUT)
        length = steps // rollouts
        with warnings.catch_warnings():  # of a last minibatch that is shorter
            warnings.filterwarnings("ignore", message="You have specified a mini-batch size")
            return stable_baselines3.PPO(n_steps=length, batch_size=min(64, length), **common), rollouts * length
    common["buffer_size"] = min(steps, REPLAY)
    if algorithm == "sb3-sac":
        return stable_baselines3.SAC(**common), steps
    size = environment.action_space.shape
    common["action_noise"] = NormalActionNoise(np.zeros(size), np.full(size, TD3_NOISE))
    return stable_baselines3.TD3(**common), steps


@contextmanager
def _global_randomness_kept() -> Iterator[None]:
    """Restores the global generators after the block: Stable-Baselines3 seeds them and draws from them."""
    before = random.getstate(), np.random.get_state(), torch.get_rng_state()  # noqa: NPY002
    try:
        yield
    finally:
        random.setstate(before[0])
        np.random.set_state(before[1])  # noqa: NPY002
        torch.set_rng_state(before[2])


def _ppo(policy: Any, obs: Tensor, noise: Tensor) -> Tensor:
    normal = policy.get_distribution(obs).distribution
    return normal.loc + normal.scale * noise


def _sac(policy: Any, obs: Tensor, noise: Tensor) -> Tensor:
    mean, log_std, _ = policy.actor.get_action_dist_params(obs)
    return torch.tanh(mean + log_std.exp() * noise)


def _td3(policy: Any, obs: Tensor, noise: Tensor) -> Tensor:
    return policy.actor(obs) + TD3_NOISE * noise


ALGORITHMS: dict[str, Acting] = {"sb3-ppo": _ppo, "sb3-sac": _sac, "sb3-td3": _td3}
"""Each algorithm's way of acting, by its name on the command line: zero noise gives the mean action."""
