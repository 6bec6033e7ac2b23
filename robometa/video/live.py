"""A policy in MuJoCo's own viewer: it acts in real time, and keys change its task, let it adapt, or break a joint."""

from __future__ import annotations

import queue
import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from typing import Any, Protocol

import mujoco
import numpy as np

from robometa.errors import UserError
from robometa.learners.protocol import Learner
from robometa.noise import Noise
from robometa.sim.engine import Engine
from robometa.suites.suite import Suite
from robometa.suites.task import Task
from robometa.suites.variations import VARIATIONS
from robometa.trials import make
from robometa.trials.trial import Shot, collect, trial_loop
from robometa.video import storyboard
from robometa.video.film import Target
from robometa.video.live_marks import distance_to_see, mark
from robometa.video.storyboard import Subject
from robometa.video.task_words import in_words

NEXT_TASK, SHOT, BREAK, FORGET = "6", "7", "8", "9"
"""Keys that the viewer does not use itself."""
KEYS = f"{NEXT_TASK} next task   {SHOT} one more shot   {BREAK} break the next joint   {FORGET} forget and begin anew"
STRENGTH = "motor_strength"
"""Variation that breaks a joint."""


class Window(Protocol):
    """A window that shows a robot."""

    def aim(self, target: Target) -> None:
        """Shows the marks of another target from now on."""

    def show(self, positions: np.ndarray) -> None:
        """Shows the robot at its generalised positions."""

    def is_open(self) -> bool:
        """Returns False once the user has closed it."""

    def close(self) -> None:
        """Closes it."""


class Viewer:
    """MuJoCo's viewer, which runs on a separate thread."""

    def __init__(self, subject: Subject, press: Callable[[int], None]) -> None:
        """Opens the window; `press` is called with the code of each key."""
        import mujoco.viewer

        self._model = subject.dressed()
        self._body = self._model.body(subject.body).id
        self._data = mujoco.MjData(self._model)
        self._handle: Any = mujoco.viewer.launch_passive(
            self._model, self._data, key_callback=press, show_left_ui=False, show_right_ui=False
        )
        with self._handle.lock():
            self._handle.cam.type = mujoco.mjtCamera.mjCAMERA_TRACKING
            self._handle.cam.trackbodyid = self._body
            self._handle.cam.azimuth, self._handle.cam.elevation = 90.0, -15.0
        self.aim(subject.target)

    def aim(self, target: Target) -> None:
        """Shows the marks of another target from now on, from far enough away."""
        self._target = target
        with self._handle.lock():
            self._handle.cam.distance = distance_to_see(target, self._model.stat.extent)

    def show(self, positions: np.ndarray) -> None:
        """Shows the robot at its generalised positions."""
        with self._handle.lock():
            self._data.qpos[:] = positions
            mujoco.mj_forward(self._model, self._data)
            mark(self._handle.user_scn, self._target, self._data.xpos[self._body], self._model.stat.extent)
        self._handle.sync()

    def is_open(self) -> bool:
        """Returns False once the user has closed it."""
        return bool(self._handle.is_running())

    def close(self) -> None:
        """Closes it."""
        if self._handle.is_running():
            self._handle.close()


WindowMaker = Callable[[Subject, Callable[[int], None]], Window]


class _AskedError(Exception):
    """A key was pressed that ends the episode on screen."""

    def __init__(self, key: str) -> None:
        super().__init__(key)
        self.key = key


class Live:
    """A policy that acts on a task until the window is closed."""

    def __init__(
        self,
        learner: Learner,
        suite: Suite,
        *,
        split: str = "test",
        task: int = 0,
        seed: int = 0,
        window: WindowMaker = Viewer,
        say: Callable[[str], None] = print,
        pause: Callable[[float], None] = time.sleep,
    ) -> None:
        """Prepares a trial.

        Args:
            learner: Acts and adapts; it is not changed.
            suite: Suite of the task.
            split: `test` or `train`.
            task: Index of the first task in its split.
            seed: Seed of resets and exploration.
            window: Makes the window.
            say: Takes what is said about the trial.
            pause: Waits for a number of seconds.

        Raises:
            UserError: If there is no such task.
        """
        self._learner, self._suite, self._split, self._seed = learner, suite, split, seed
        self._tasks = suite.tasks(split)
        if not 0 <= task < len(self._tasks):
            raise UserError(
                f"no task {task} in the {split} split of {suite.name}: its tasks are 0 to {len(self._tasks) - 1}"
            )
        self._task, self._broken, self._trials = task, -1, 0
        self._open, self._say, self._pause = window, say, pause
        self._keys: queue.SimpleQueue[str] = queue.SimpleQueue()
        self._window: Window | None = None
        self._worlds = learner.config.worlds if learner.pools_worlds else 1

    def press(self, code: int) -> None:
        """Takes the code of a key, from any thread."""
        if 0 < code < 128 and chr(code) in (NEXT_TASK, SHOT, BREAK, FORGET):
            self._keys.put(chr(code))

    def run(self) -> None:
        """Shows trials until the window is closed."""
        self._say(KEYS)
        with closing(make.engine_for(self._learner, self._suite, 1, self._worlds)) as engine:
            try:
                while self._window is None or self._window.is_open():
                    self._trial(engine)
            finally:
                self._shut()

    def _trial(self, engine: Engine) -> None:
        """Shows a trial until a key ends it."""
        task = self._present_task(engine)
        engine.assign([task])
        shown = storyboard.subject(self._suite, task)
        if self._window is None:
            self._window = self._open(shown, self.press)
        self._window.aim(shown.target)
        self._say(f"{self._split} task {self._task}: {shown.words}")
        noise = Noise(self._seed, ("play", self._split, self._task, self._trials), 1, self._worlds)
        self._trials += 1
        try:
            for shot in trial_loop(self._learner, noise, None):
                if not self._repeat(engine, shot, shown):
                    return
                self._say(f"shot {shot.number + 1}: explores, then adapts")
                rollout, adaptation = self._shown(engine, shot, shown, shot.noise, explore=True)
                shot.complete(rollout, adaptation)
        except _AskedError as asked:
            self._turn(asked.key, engine)

    def _repeat(self, engine: Engine, shot: Shot, shown: Subject) -> bool:
        """Shows episodes with mean actions; returns True when one more shot is asked for, False without a window."""
        episode = 0
        while self._window is not None and self._window.is_open():
            try:
                noise = shot.noise.fork("shown", episode)
                rollout, _ = self._shown(engine, shot, shown, noise, explore=False)
            except _AskedError as asked:
                if asked.key == SHOT:
                    return True
                raise
            self._say(f"after {shot.number} shots: return {float(rollout.episode_return()[0, 0]):.1f}")
            episode += 1
        return False

    def _shown(self, engine: Engine, shot: Shot, shown: Subject, noise: Noise, *, explore: bool) -> Any:
        """Collects a rollout and shows its first world in real time."""
        started = time.monotonic()
        known = engine.in_force[0]

        def watch(step: int) -> None:
            nonlocal known
            assert self._window is not None
            if not self._window.is_open():
                raise _AskedError("")
            if not self._keys.empty():
                key = self._keys.get()
                if key != SHOT or not explore:  # a shot is in progress already
                    raise _AskedError(key)
            if engine.in_force[0] is not known:  # the task has changed
                known = engine.in_force[0]
                self._window.aim(storyboard.subject(self._suite, known).target)
                self._say(f"now {in_words(known)}")
            self._window.show(engine.state().physics[0, 0, 1 : 1 + shown.positions])
            self._pause(max(0.0, started + step * shown.control_step - time.monotonic()))

        return collect(
            engine,
            self._learner,
            shot.adaptation,
            noise,
            explore=explore,
            previous=shot.previous,
            place=shot.place,
            watch=watch,
        )

    def _turn(self, key: str, engine: Engine) -> None:
        """Changes what is shown next."""
        if key == NEXT_TASK:
            self._task, self._broken = (self._task + 1) % len(self._tasks), -1
            if self._suite.family.one_simulation_per_world:  # each task has another model
                self._shut()
        elif key == BREAK:
            if self._suite.family.one_simulation_per_world:
                self._say("joints of this suite cannot be broken")
                return
            count = engine.spaces.action
            self._broken = self._broken + 1 if self._broken + 1 < count else -1
            self._say("all joints work" if self._broken < 0 else f"actuator {self._broken} of {count} is broken")

    def _present_task(self, engine: Engine) -> Task:
        """The task, with its broken joint."""
        task = self._tasks[self._task]
        if self._broken < 0:
            return task
        values = dict(task.parameters)
        strength = list(values.get(STRENGTH, (1.0,) * engine.spaces.action))
        strength[self._broken] = 0.0
        assert STRENGTH in VARIATIONS
        return replace(task, parameters=tuple(sorted((values | {STRENGTH: tuple(strength)}).items())))

    def _shut(self) -> None:
        """Closes the window."""
        if self._window is not None:
            self._window.close()
            self._window = None
