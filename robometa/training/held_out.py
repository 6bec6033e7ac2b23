"""Few-shot scores during a training, on tasks that are not trained on."""

from __future__ import annotations

from robometa.compute.hardware import Hardware
from robometa.learners.protocol import Learner
from robometa.noise import Noise
from robometa.sim.engine import Engine
from robometa.suites.suite import Suite
from robometa.suites.task import Task
from robometa.training.loggers.logger import HELD_OUT_RETURN, HELD_OUT_SUCCESS
from robometa.trials.make import engine_for
from robometa.trials.trial import collect, trial_loop

HELD_OUT_TASKS = 10
"""Most tasks that are scored."""
HELD_OUT_WORLDS = 4
"""Episodes of each task, unless the learner pools worlds: it adapts to as many as in training then."""
DRAWN_FROM = -1
"""Seed of the tasks that are drawn to be scored; no run has it."""


def held_out_tasks(suite: Suite) -> tuple[Task, ...]:
    """Tasks to score: drawn for this purpose where the suite has distributions, else some of its test split."""
    if suite.endless:
        return tuple(suite.drawn(DRAWN_FROM, index) for index in range(HELD_OUT_TASKS))
    return suite.test[:: max(1, len(suite.test) // HELD_OUT_TASKS)][:HELD_OUT_TASKS]


class HeldOut:
    """Scores a learner with mean actions; always the same tasks and the same random numbers, which are its own."""

    def __init__(
        self,
        suite: Suite,
        learner: Learner,
        seed: int,
        hardware: Hardware,
        tasks: tuple[Task, ...] | None = None,
    ) -> None:
        """Makes no engine yet.

        Args:
            suite: Suite of the tasks.
            learner: Learner that is scored.
            seed: Seed of resets and exploration.
            hardware: Simulator and its threads.
            tasks: Tasks to score; a few held-out ones if None.
        """
        self._suite, self._hardware = suite, hardware
        self.tasks, self.shots = held_out_tasks(suite) if tasks is None else tasks, learner.config.shots
        worlds = learner.config.worlds if learner.pools_worlds else HELD_OUT_WORLDS
        self._noise = Noise(seed, ("held-out",), len(self.tasks), worlds)
        self._engine: Engine | None = None

    def scores(self, learner: Learner, last_only: bool = False) -> dict[str, float]:
        """Mean return and success of a learner after each adaptation; the learner is not changed.

        Args:
            learner: Learner to score.
            last_only: Leave out all but the last adaptation, whose score is the same then.
        """
        if self._engine is None:
            noise = self._noise
            self._engine = engine_for(learner, self._suite, noise.tasks, noise.worlds, self._hardware)
        engine = self._engine
        engine.assign(self.tasks)
        returns, successes = dict[str, float](), dict[str, float]()
        for shot in trial_loop(learner, self._noise, self.shots):
            if shot.number == self.shots or not last_only:
                source = self._noise.fork("quiet", shot.number)
                quiet, _ = collect(
                    engine, learner, shot.adaptation, source, explore=False, previous=shot.previous, place=shot.place
                )
                returns[f"{HELD_OUT_RETURN}{shot.number}"] = float(quiet.episode_return().mean())
                successes[f"{HELD_OUT_SUCCESS}{shot.number}"] = float(quiet.episode_success().float().mean())
            if shot.number < self.shots:
                shot.complete(
                    *collect(engine, learner, shot.adaptation, shot.noise, previous=shot.previous, place=shot.place)
                )
        return returns | successes

    def close(self) -> None:
        """Frees the engine."""
        if self._engine is not None:
            self._engine.close()
