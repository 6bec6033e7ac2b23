"""The training loop: a trial and an update in every iteration, with checkpoints, logs and an orderly stop."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import asdict
from pathlib import Path
from typing import NoReturn

import torch

from robometa import registry
from robometa.compute.hardware import Hardware
from robometa.data import Trial
from robometa.errors import Stopped, TrainingError, UserError
from robometa.escape import word
from robometa.learners.protocol import Learner
from robometa.noise import Noise
from robometa.policies import policy_folder
from robometa.policies.policy import Policy
from robometa.registry.given import given
from robometa.registry.options import configuration_words, departures
from robometa.registry.user_file import short
from robometa.suites.suite import Suite
from robometa.training.best import Best
from robometa.training.callback import Callback, Iteration
from robometa.training.checkpoints import Checkpoints
from robometa.training.divergence_dumps import Dumps
from robometa.training.guarded_update import guarded_update
from robometa.training.iteration import checked_metrics, task_batch, trial_metrics
from robometa.training.iteration_clock import IterationClock
from robometa.training.loggers.logger import LoggedRun, Logger, LoggerFactory
from robometa.training.loggers.shipped import chosen
from robometa.training.run_config import RunConfig
from robometa.training.run_folder import METRICS, TIMINGS, Progress, RunFolder
from robometa.training.stop_signals import stop_on_signals
from robometa.trials.collectors.choose import collector_for
from robometa.trials.collectors.collector import Collector, Job
from robometa.trials.collectors.from_dataset import FromDataset
from robometa.trials.dataset import Dataset
from robometa.trials.pieces import Batch
from robometa.trials.trial import torch_on

MAX_SKIPPED_IN_A_ROW = 5
"""Updates in a row that may come out not finite before a training stops."""


class Training:
    """A run in progress: its folder, its learner and its counts."""

    def __init__(
        self,
        run: RunFolder,
        suite: Suite,
        learner: Learner,
        config: RunConfig,
        loggers: Sequence[LoggerFactory] | None = None,
        callback: Callback | None = None,
        hardware: Hardware | None = None,
    ) -> None:
        """A training before its first iteration.

        Args:
            run: Folder to write.
            suite: Suite to train on.
            learner: Untrained learner.
            config: Configuration of the run.
            loggers: Loggers of the training, made and opened by `go_on`; those of its configuration if None.
            callback: Called after every iteration.
            hardware: Hardware that it goes on with; the one that the run began with if None.

        Raises:
            UserError: If what collects its trials cannot be made; nothing is written then.
        """
        self.run, self.suite, self.learner, self.config = run, suite, learner, config
        self.options, self.hardware = learner.config, hardware or config.hardware
        drawn = self.options.drawn_tasks if suite.endless else 0
        self.tasks = [suite.drawn(config.seed, index) for index in range(drawn)] or suite.train
        self.drawn_from = config.seed if drawn else None
        self.progress = Progress()
        self.metrics, self.timings = run.table(METRICS), run.table(TIMINGS)
        tables = self.metrics, self.timings
        self.checkpoints = Checkpoints(run, learner, lambda: self.progress, tables, self._say)
        self._factories, self._loggers = chosen(config.log) if loggers is None else loggers, list[Logger]()
        self._callback = callback
        self.best = (
            Best(run, suite, learner, self.hardware, lambda: self.config, self._say) if config.evaluate_every else None
        )
        self.collector = self._collector()
        self._clock = IterationClock(self.collector.processor_seconds)
        self.collector.on_divergence = Dumps(
            run, suite, self.tasks, self.drawn_from, lambda: self.progress.iterations, self._say
        )

    def close(self) -> None:
        """Frees engines and processes, after which the training cannot continue."""
        self.collector.close()
        if self.best is not None:
            self.best.close()

    def go_on(self, until: int | None = None) -> None:
        """Trains up to an iteration; to the last one if None.

        Raises:
            TrainingError: If a stop was requested, or training cannot go on; saved files stay.
            KeyboardInterrupt: If it was to stop at once; the finished iterations are saved first.
        """
        end = self.options.iterations if until is None else until
        self.checkpoints.begin()
        with ExitStack() as stack:
            stack.enter_context(torch_on(self.hardware.torch_threads or torch.get_num_threads()))
            self._open_loggers(stack)
            stop = stack.enter_context(stop_on_signals(self._answer_stop))
            if self.best is not None:
                self.best.recall(self.metrics.rows())
            wants_more = True
            while self.progress.iterations < end and wants_more:
                try:
                    self._clock.start()
                    trial = self.collector.collect(self._batch())
                    self._clock.sampled()
                    self.checkpoints.before_update()
                    metrics, why_skipped = guarded_update(self.learner, trial)
                    wants_more = self._conclude(trial, metrics, why_skipped)
                except KeyboardInterrupt:
                    self._leave_at_once()
                self._save_if_due(bool(stop) or not wants_more)
                finished = self.progress.iterations == end or not wants_more
                self._stop_if_asked([] if finished else stop)

    def _collector(self) -> Collector:
        """Makes what collects the trials: a simulator, or the dataset that the run learns from.

        Raises:
            UserError: If the dataset has changed since the run began, or does not fit.
        """
        config = self.config
        if config.dataset is None:
            return collector_for(self._job(), self.learner, self.hardware.collect)
        dataset = Dataset(Path(config.dataset))
        if dataset.sha256 != config.dataset_sha256:
            raise UserError(f"{config.dataset} is no longer the dataset that the run began with")
        return FromDataset(dataset, self.suite, self.learner)

    def _batch(self) -> Batch:
        """The trials of the iteration to come: their tasks and their noise."""
        options, seed, iteration = self.options, self.config.seed, self.progress.iterations
        indices = task_batch(len(self.tasks), options.tasks, seed, iteration)
        noise = Noise(seed, ("train", iteration), options.tasks, options.worlds)
        return Batch(tuple(indices), options.shots, noise)

    def _conclude(self, trial: Trial, metrics: dict[str, float], why_skipped: str) -> bool:
        """Counts an iteration, evaluates, logs and calls back after it; returns False if that ends the training."""
        times, row = self._clock.times(), self._counted(trial, metrics, why_skipped)
        if self.best is not None:
            self.best.assess(self.progress, row, times)
        self._write(row, times)
        self.checkpoints.iteration_written()
        for logger in self._loggers:
            logger.log(row | times)
        wants_more = self._call_back(row)
        self._clock.stop()
        return wants_more

    def _counted(self, trial: Trial, metrics: dict[str, float], why_skipped: str) -> dict[str, float]:
        """Counts an iteration, passes on remarks about it, and returns its metrics.

        Raises:
            UserError: If the learner's metrics have a name of the training's own.
        """
        iteration = self.progress.iterations
        self.progress = self.progress.after(trial.steps(), skipped=bool(why_skipped))
        for remark in self.collector.remarks():
            self._say(f"iteration {iteration + 1}: {remark}")
        if why_skipped:
            self._say(f"iteration {iteration + 1}: update skipped, nothing was learned from it: {why_skipped}")
        counts = {"iteration": iteration, "steps": self.progress.steps, "iteration_steps": trial.steps()}
        own = {**counts, **trial_metrics(trial), "skipped": float(self.progress.skipped)}
        return own | checked_metrics(metrics, self.config.learner)

    def _call_back(self, row: dict[str, float]) -> bool:
        """Calls the user's function, if there is one; saves a checkpoint if it raises something."""
        if self._callback is None:
            return True
        progress = self.progress
        done = Iteration(progress.iterations, self.options.iterations, progress.steps, dict(row), self._copied_policy)
        try:
            return self._callback(done) is not False
        except Exception:
            self.checkpoints.save()
            raise

    def _copied_policy(self, units: str) -> Policy:
        """A policy of a copy of the learner."""
        name, state = self.config.learner, policy_folder.state_of(self.learner)
        copied = {key: tensor.detach().clone() for key, tensor in state.items()}
        options = asdict(self.options)
        learner = policy_folder.restored(name, options, self.suite, copied, self.run.path, str(self.learner.device))
        return Policy(learner, self.suite, registry.label(name), units)

    def _open_loggers(self, stack: ExitStack) -> None:
        """Makes the loggers and opens them for as long as the stack."""
        label, suite, seed = registry.label(self.config.learner), self.suite.name, self.config.seed
        title = f"{label} ({self._configuration()}) on {suite}, seed {seed}: {self.run.path}"
        described = {
            "suite": suite,
            "learner": label,
            "preset": self.config.preset,
            "seed": seed,
            **self.config.options,
        }
        progress, last = self.progress, self.options.iterations
        logged = LoggedRun(title, self.run.path, last, progress.iterations, progress.steps, described, self._say)
        self._loggers = []
        for factory in self._factories:
            self._loggers.append(stack.enter_context(factory(logged)))
        if self.config.dataset is not None:
            self._say("return is that of the dataset's episodes; `robometa evaluate` measures what was learned")
        if (late := self.suite.unreached(self.options.shots)) is not None:
            self._say(f"warning: {late}")

    def _configuration(self) -> str:
        """Name of the learner's configuration, with options that differ from its preset."""
        name = self.config.learner
        preset = asdict(registry.of(name, self.learner).presets()[self.config.preset])
        of_suite = self.suite.learner.get(short(name), {})
        return configuration_words(self.config.preset, departures(preset, of_suite, asdict(self.options)))

    def _say(self, text: str) -> None:
        """Passes a message to every logger."""
        for logger in self._loggers:
            logger.say(text)

    def _job(self) -> Job:
        """Describes the training for its collector."""
        config = self.config
        return Job(
            suite=self.suite,
            learner=config.learner,
            learner_sha256=config.learner_sha256,
            config=self.options,
            seed=config.seed,
            hardware=self.hardware,
            tasks=tuple(self.tasks),
            piece=config.piece,
        )

    def _write(self, row: dict[str, float], times: dict[str, float]) -> None:
        """Adds a line to each table; one that the disk refuses waits for the next time."""
        for table, line in ((self.metrics, row), (self.timings, {"iteration": row["iteration"], **times})):
            try:
                table.append(line)
            except OSError as error:
                self._say(f"iteration {self.progress.iterations}: {table.path} cannot be written ({error.strerror})")

    def _save_if_due(self, stopping: bool) -> None:
        """Saves a checkpoint if one is due; training continues if the disk refuses it."""
        progress = self.progress
        last, lost = progress.iterations == self.options.iterations, self._too_many_skipped()
        if self.checkpoints.due(self.config.checkpoint_minutes) or last or lost or stopping:
            self.checkpoints.save()

    def _leave_at_once(self) -> NoReturn:
        """Saves the finished iterations.

        Raises:
            KeyboardInterrupt: Always.
        """
        raise KeyboardInterrupt(f"stopped at once {self._state(self.checkpoints.save_finished())}") from None

    def _answer_stop(self) -> None:
        """Answers the first stop signal."""
        about = f" (about {left} s)" if (left := self._clock.seconds_left()) else ""
        self._say(f"stopping after this iteration{about}; Ctrl-C again stops at once and keeps what is finished")

    def resume_command(self) -> str:
        """The command line that resumes the run, with the user's own files and another collector than it began with."""
        began, now = self.config.hardware.collect, self.hardware.collect
        options = ("" if now == began else f" --collect {now}") + given(self.config.learner)
        return f"robometa resume {word(self.run.path)}{options}"

    def _too_many_skipped(self) -> bool:
        return self.progress.skipped_in_a_row >= MAX_SKIPPED_IN_A_ROW

    def _state(self, done: int) -> str:
        """Describes the progress of a stopped training, and the command that resumes it."""
        saved = self.checkpoints.described(done)
        return f"after {done} of {self.options.iterations} iterations, {saved}; go on with: {self.resume_command()}"

    def _stop_if_asked(self, stop: list[str]) -> None:
        progress, go_on = self.progress, self.resume_command()
        if stop:
            raise Stopped(f"stopped by {stop[0]} {self._state(progress.iterations)}")
        if self._too_many_skipped():
            raise TrainingError(
                f"{progress.skipped_in_a_row} updates in a row came out not finite, and were skipped: lower the "
                f"learning rate or the step size and start again. {self.run.path} has the {self.checkpoints.newest} "
                f"iterations until here ({self.checkpoints.described(progress.iterations)}); {go_on} tries the next one"
            )
