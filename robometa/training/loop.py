"""The training loop: a trial, an update, again; saved as it goes, stopped without a loss."""

from __future__ import annotations

import time
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

from robometa import registry
from robometa.data import Trial
from robometa.errors import Stopped, TrainingError
from robometa.learners.protocol import Learner
from robometa.noise import Noise
from robometa.sim.engine import Engine
from robometa.suites.suite import Suite
from robometa.training.divergence_dumps import Dumps
from robometa.training.guarded_update import guarded_update
from robometa.training.loggers.tensorboard import Curves
from robometa.training.loggers.terminal import Screen, screen
from robometa.training.run_folder import METRICS, TIMINGS, RunFolder, Saved
from robometa.training.stop_signals import stop_on_signals
from robometa.trials.trial import run_trial, torch_on

PATIENCE = 5
"""Updates in a row that may come out not finite before a training stops."""


@dataclass
class Progress:
    """How far a training has come."""

    iterations: int = 0
    steps: int = 0
    """Environment steps so far."""
    skipped: int = 0
    """Updates that were skipped because a number was not finite."""
    skipped_in_a_row: int = 0
    """How many of these were the last ones."""


class Training:
    """A run on its way: its folder, its learner, and how far it has come."""

    def __init__(
        self, run: RunFolder, suite: Suite, learner: Learner, engine: Engine, configuration: dict[str, Any]
    ) -> None:
        """At its beginning."""
        self.run, self.suite, self.learner, self.engine = run, suite, learner, engine
        self.configuration, self.config = configuration, learner.config
        drawn = getattr(learner.config, "drawn_tasks", 0) if suite.endless else 0
        self.tasks = [suite.drawn(configuration["seed"], index) for index in range(drawn)] or suite.train
        self.drawn_from = configuration["seed"] if drawn else None
        self.progress = Progress()
        self.saved_at, self.newest = time.monotonic(), 0
        self.metrics, self.timings = run.table(METRICS), run.table(TIMINGS)

    def go_on(self, until: int | None = None) -> None:
        """Trains up to an iteration; to the last one if None.

        Raises: TrainingError: If it was asked to stop, or cannot go on; what was saved stays.
        """
        configuration, end = self.configuration, self.config.iterations if until is None else until
        label, preset = registry.label(configuration["learner"]), configuration["preset"]
        title = f"{label} ({preset} configuration) on {self.suite.name}, seed {configuration['seed']}: {self.run.path}"
        self.saved_at, self.newest = time.monotonic(), self.progress.iterations
        with ExitStack() as stack:
            stack.enter_context(torch_on(configuration["torch_threads"]))
            shown: Screen = stack.enter_context(screen(title, self.config.iterations))
            board = stack.enter_context(Curves(self.run.path, self.progress.iterations, shown.say))
            stop = stack.enter_context(stop_on_signals())
            if hasattr(self.engine, "on_divergence"):
                iteration = lambda: self.progress.iterations  # noqa: E731
                self.engine.on_divergence = Dumps(
                    self.run.path, self.suite, self.tasks, self.drawn_from, iteration, shown.say
                )
            while self.progress.iterations < end:
                row, timing = self._iterate(shown)
                self._note(row, timing, shown)
                board.add(row | timing, row["iteration"])
                shown.show(row, timing)
                self._save_if_due(shown, bool(stop))
                self._stop_if_asked(stop)

    def _iterate(self, shown: Screen) -> tuple[dict[str, float], dict[str, float]]:
        """One trial and its update: what to log of it, and what time it took."""
        config, progress, seed = self.config, self.progress, self.configuration["seed"]
        iteration = progress.iterations
        started, worked = time.perf_counter(), time.process_time()
        noise = Noise(seed, ("train", iteration), config.tasks, config.worlds)
        indices = task_batch(len(self.tasks), config.tasks, seed, iteration)
        trial = run_trial(self.engine, self.learner, self.tasks, indices, config.shots, noise)
        sampled = time.perf_counter()
        metrics, why = guarded_update(self.learner, trial)
        timing = {
            "sampling": sampled - started,
            "update": time.perf_counter() - sampled,
            "processor": time.process_time() - worked,
        }
        progress.iterations += 1
        progress.steps += trial.steps()
        progress.skipped += bool(why)
        progress.skipped_in_a_row = progress.skipped_in_a_row + 1 if why else 0
        row = {"iteration": iteration, "steps": progress.steps, "iteration_steps": trial.steps(), **measure(trial)}
        row |= {"skipped": float(progress.skipped), **metrics}
        if why:
            shown.say(f"iteration {iteration + 1}: update skipped, nothing was learned from it: {why}")
        return row, timing

    def _note(self, row: dict[str, float], timing: dict[str, float], shown: Screen) -> None:
        """Writes a line of each table; what the disk does not take is kept for the next time."""
        for table, line in ((self.metrics, row), (self.timings, {"iteration": row["iteration"], **timing})):
            try:
                table.append(line)
            except OSError as error:
                shown.say(f"iteration {self.progress.iterations}: {table.path} cannot be written ({error.strerror})")

    def _save_if_due(self, shown: Screen, stopping: bool) -> None:
        """Saves a checkpoint if it is time to; one that the disk does not take is told and tried again later."""
        progress = self.progress
        due = time.monotonic() - self.saved_at > 60 * self.configuration["checkpoint_minutes"]
        last, lost = progress.iterations == self.config.iterations, progress.skipped_in_a_row >= PATIENCE
        if due or last or lost or stopping:
            try:
                # A checkpoint without the lines before it would go on with a table that has lost some.
                self.metrics.flush()
                self.timings.flush()
                self.run.save_checkpoint(Saved(self.learner.state(), **vars(progress)))
                self.newest = progress.iterations
            except OSError as error:
                shown.say(
                    f"iteration {progress.iterations}: no checkpoint could be written ({error.strerror}); the newest "
                    f"is of iteration {self.newest}, and training goes on"
                )
            self.saved_at = time.monotonic()

    def _stop_if_asked(self, stop: list[str]) -> None:
        progress, go_on = self.progress, f"robometa resume {self.run.path}"
        saved = "all saved" if self.newest == progress.iterations else f"{self.newest} of them saved"
        if stop:
            raise Stopped(
                f"stopped by {stop[0]} after {progress.iterations} of {self.config.iterations} iterations, {saved}; "
                f"go on with: {go_on}"
            )
        if progress.skipped_in_a_row >= PATIENCE:
            raise TrainingError(
                f"{progress.skipped_in_a_row} updates in a row came out not finite, and were skipped: lower the "
                f"learning rate or the step size and start again. {self.run.path} has the {self.newest} iterations "
                f"until here ({saved}); {go_on} tries the next one"
            )


def task_batch(count: int, tasks: int, seed: int, iteration: int) -> list[int]:
    """Which tasks an iteration trains on: consecutive pieces of one shuffled deck after another.

    Every task comes up equally often, and twice in an iteration only where it reaches from one deck into the next.
    """
    indices: list[int] = []
    place = iteration * tasks
    while len(indices) < tasks:
        deck, start = divmod(place + len(indices), count)
        shuffled = Noise(seed, ("tasks", deck), 1, 1).generator().permutation(count).tolist()
        indices += shuffled[start : start + tasks - len(indices)]
    return indices


def measure(trial: Trial) -> dict[str, float]:
    """What a trial shows: mean return and success after each shot, and how many steps diverged."""
    row: dict[str, float] = {}
    for shot, rollout in enumerate(trial.rollouts):
        row[f"return_{shot}"] = float(rollout.episode_return().mean())
    for shot, rollout in enumerate(trial.rollouts):
        row[f"success_{shot}"] = float(rollout.episode_success().float().mean())
    row["diverged"] = float(sum(int(rollout.diverged.sum()) for rollout in trial.rollouts))
    return row
