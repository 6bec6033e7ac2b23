"""A collector that simulates nothing: its trials are those of a dataset."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from robometa.data import Rollout, Trial
from robometa.errors import UserError
from robometa.learners.protocol import Learner
from robometa.sim.engine import Divergence
from robometa.suites.suite import Suite
from robometa.trials.dataset import Dataset
from robometa.trials.pieces import Batch


class FromDataset:
    """Draws the trials of each batch from a dataset."""

    def __init__(self, dataset: Dataset, suite: Suite, learner: Learner) -> None:
        """Loads the dataset.

        Raises:
            UserError: If it is of another suite, has too few episodes, or a shard was changed.
        """
        about, shots = dataset.about, learner.config.shots
        dataset.require_suite(suite)
        if shots + 1 > about.episodes:
            raise UserError(
                f"shots must be at most {about.episodes - 1}: {dataset.folder} has {about.episodes} episodes"
            )
        self._learner, self._trials = learner, dataset.load()
        self.on_divergence: Callable[[Divergence], None] | None = None
        """Never called."""

    def collect(self, batch: Batch) -> Trial:
        """Draws trials, each at most once if there are enough; their episodes are spread evenly over the recorded ones.

        So a trial has as many episodes as a training asks for, from the first recorded one to the last.
        """
        rollout, expert, task = self._trials
        tasks, worlds = batch.noise.tasks, batch.noise.worlds
        generator = batch.noise.fork("dataset").generator()
        rounds = -(-tasks * worlds // len(task))
        rows = np.concatenate([generator.permutation(len(task)) for _ in range(rounds)])[: tasks * worlds]
        episodes = [round(place) for place in np.linspace(0, rollout.reward.shape[1] - 1, batch.shots + 1)]
        device, chosen = self._learner.device, torch.from_numpy(rows)

        def taken(values: Tensor, episode: int) -> Tensor:
            return values[chosen, episode].unflatten(0, (tasks, worlds)).to(device)

        rollouts = [
            Rollout(**{name: taken(values, episode) for name, values in vars(rollout).items()}) for episode in episodes
        ]
        trial = batch.trial(rollouts)
        experts = tuple(taken(expert, episode) for episode in episodes)
        return replace(trial, tasks=task[chosen].unflatten(0, (tasks, worlds))[:, 0], experts=experts)

    def processor_seconds(self) -> float:
        """Returns 0: no other process computes."""
        return 0.0

    def remarks(self) -> list[str]:
        """Returns no remark."""
        return []

    def close(self) -> None:
        """Nothing is to be freed."""
