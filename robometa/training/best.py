"""Held-out scores during a training, and the policy with the best of them."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable

from robometa.compute.hardware import Hardware
from robometa.learners.protocol import Learner
from robometa.policies import card, policy_folder
from robometa.suites.suite import Suite
from robometa.training import records
from robometa.training.held_out import HeldOut
from robometa.training.loggers.logger import EVALUATION, HELD_OUT_RETURN
from robometa.training.run_config import RunConfig
from robometa.training.run_folder import METRICS, TIMINGS, Progress, RunFolder

BEST = "best"
"""Folder below a run's that holds the best policy."""


class Best:
    """Scores the learner every few iterations, and keeps the policy with the highest return after the last shot."""

    def __init__(
        self,
        run: RunFolder,
        suite: Suite,
        learner: Learner,
        hardware: Hardware,
        config: Callable[[], RunConfig],
        say: Callable[[str], None],
    ) -> None:
        """Scores nothing yet.

        Args:
            run: Folder of the run.
            suite: Suite that it trains on.
            learner: Learner that is trained.
            hardware: Hardware that the training goes on with.
            config: Returns the configuration of the run.
            say: Passes a message to the user.
        """
        self._run, self._suite, self._learner, self._config, self._say = run, suite, learner, config, say
        self._held_out = HeldOut(suite, learner, config().seed, hardware)
        self._highest = float("-inf")

    def close(self) -> None:
        """Frees the engine."""
        self._held_out.close()

    def recall(self, rows: Iterable[dict[str, float]]) -> None:
        """Finds the best score so far in the lines of the metrics."""
        self._highest = max((row[self._criterion] for row in rows if self._criterion in row), default=float("-inf"))

    def assess(self, progress: Progress, row: dict[str, float], times: dict[str, float]) -> None:
        """Adds the scores to an iteration's line, and their time to its times, if it is one to score."""
        if progress.iterations % self._config().evaluate_every:
            return
        started = time.perf_counter()
        row |= self._held_out.scores(self._learner)
        if row[self._criterion] > self._highest:
            self._highest = row[self._criterion]
            self._keep(progress, row, times)
        times[EVALUATION] = time.perf_counter() - started

    @property
    def _criterion(self) -> str:
        """Name of the score that decides."""
        return f"{HELD_OUT_RETURN}{self._held_out.shots}"

    def _keep(self, progress: Progress, row: dict[str, float], times: dict[str, float]) -> None:
        """Writes the policy, unless the disk refuses it."""
        learner, suite, config = self._learner, self._suite, self._config()
        timings = [*self._run.rows(TIMINGS), times]
        rows = [*self._run.rows(METRICS), row]
        about = records.record_of(config, progress, rows, timings, best_every=config.evaluate_every)
        try:
            text = card.text(config.learner, learner, suite, about)
            with self._run.opened() as folder:
                policy_folder.save_policy(
                    self._run.path / BEST, learner, config.learner, suite, about, text, within=folder
                )
        except OSError as error:
            self._say(f"iteration {progress.iterations}: {self._run.path / BEST} cannot be written ({error.strerror})")
