"""Gymnasium environments that draw themselves: pictures by a process of its own, or MuJoCo's viewer."""

from __future__ import annotations

import subprocess
from pathlib import Path
from tempfile import TemporaryFile
from typing import IO, Any, ClassVar

import numpy as np

from robometa.compute.python_process import python
from robometa.errors import UserError, unknown
from robometa.sim.gym.env import SuiteEnv, require_arguments, require_open
from robometa.storage.scratch import scratch
from robometa.suites.suite import Suite
from robometa.suites.task import Task
from robometa.video import film, gl_backends, storyboard
from robometa.video.film import Film, Panel, Target
from robometa.video.storyboard import Subject

MODES = ("rgb_array", "human")
"""Render modes."""
WIDTH, HEIGHT = 480, 480
"""Size of a picture, pixels: that of Gymnasium's own environments."""


class FilmedEnv(SuiteEnv):
    """A task of a suite in one world, to be looked at."""

    metadata: ClassVar[dict[str, Any]] = {"render_modes": list(MODES), "render_fps": 20}
    UNKEPT: ClassVar[tuple[str, ...]] = ("_drawer",)

    def __init__(
        self,
        suite: str | Path | None = None,
        split: str = "train",
        task: int = 0,
        render_mode: str | None = None,
        width: int = WIDTH,
        height: int = HEIGHT,
        **others: Any,
    ) -> None:
        """Loads the suite and starts an engine of one world; nothing draws before the first picture.

        Args:
            suite: A shipped suite's name or the path of a suite's file.
            split: `train` or `test`.
            task: Index of the task in that split; `reset(options={"task": 5})` changes it.
            render_mode: `rgb_array` for pictures, `human` for a window, None for neither.
            width: Width of a picture, pixels.
            height: Height of a picture, pixels.
            **others: Unknown arguments, which are refused.

        Raises:
            UserError: Naming what is allowed, if there is no such argument, suite, split, task or mode.
        """
        require_arguments(FilmedEnv, others)
        if render_mode is not None and render_mode not in MODES:
            raise UserError(unknown("render_mode", render_mode, MODES))
        if not 16 <= min(width, height) <= max(width, height) <= 4096:
            raise UserError(f"width and height must be from 16 to 4096 pixels, not {width} and {height}")
        self.render_mode, self._size = render_mode, (width, height)
        super().__init__(suite, split, task)

    def _begin(self, task: Task) -> None:
        """Starts the engine for a task."""
        super()._begin(task)
        self._drawer: Drawer | Window | None = None
        self._drawn = task
        step = storyboard.subject(self.suite, task).control_step
        modes = list(MODES) if gl_backends.has_display() else ["rgb_array"]
        self.__dict__["metadata"] = {"render_modes": modes, "render_fps": max(1, round(1 / step))}

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[np.ndarray, dict[str, Any]]:
        """Starts an episode. `[obs]`, and nothing else."""
        before = self._task
        result = super().reset(seed=seed, options=options)
        if self._drawer is not None and self._task != before:
            self._put_down()  # another task may have another model and another target
        if self.render_mode == "human":
            self.render()
        return result

    def step(self, action: np.ndarray) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
        """One control step under an action in -1..1. `[action]`."""
        result = super().step(action)
        if self.render_mode == "human":
            self.render()
        return result

    def render(self) -> np.ndarray | None:
        """Draws the world as it is. `[height, width, 3]`, uint8; None in a window.

        Raises:
            UserError: If the environment was made without a render mode or not reset yet, or nothing can draw here.
        """
        if self.render_mode is None:
            raise UserError(f"render needs render_mode={' or '.join(MODES)}, as in gymnasium.make(ID, render_mode=...)")
        require_open(self._closed)
        if not self._running:
            raise UserError("render needs a reset before it")
        now = self._engine.in_force[0]
        if self._drawer is not None and now is not self._drawn and not self._drawer.aim(_target(self.suite, now)):
            self._put_down()
        if self._drawer is None:
            make = Drawer if self.render_mode == "rgb_array" else Window
            self._drawer = make(self.suite, now, self._size)
        self._drawn = now
        state = self._engine.state()
        return self._drawer.draw(state.physics[0, 0], state.sensors[0, 0])

    def close(self) -> None:
        """Frees the engine, and what draws."""
        self._put_down()
        super().close()

    def _put_down(self) -> None:
        if self._drawer is not None:
            self._drawer.close()
            self._drawer = None


class Drawer:
    """A process that draws pictures of a task: MuJoCo picks an OpenGL backend once, on import."""

    def __init__(self, suite: Suite, task: Task, size: tuple[int, int]) -> None:
        """Starts the process.

        Raises:
            UserError: If nothing can draw here.
        """
        self._subject, self._size = storyboard.subject(suite, task), size
        backend = gl_backends.find()
        self._errors: IO[bytes] = TemporaryFile()  # noqa: SIM115 # closed with the process
        with scratch() as job:
            film.write(_still(suite, self._subject, size), job)
            film.write_model(self._subject.dressed(), job)
            self._process = subprocess.Popen(
                python("-m", "robometa.video.frame_process", job),
                env=gl_backends.environment(backend),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=self._errors,
            )
            self._read(1)  # it has read its files

    def aim(self, target: Target) -> bool:
        """Returns True if it shows this target; another one needs another process."""
        return target == self._subject.target

    def draw(self, physics: np.ndarray, sensors: np.ndarray) -> np.ndarray:
        """A picture of a state. `[height, width, 3]`, uint8."""
        width, height = self._size
        place = self._subject.place(physics[None], sensors[None])[0]
        numbers = np.concatenate((physics[1 : 1 + self._subject.positions], place))
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(numbers.astype("<f8").tobytes())
            self._process.stdin.flush()
        except BrokenPipeError:
            pass  # reading says why
        return np.frombuffer(self._read(3 * width * height), np.uint8).reshape(height, width, 3).copy()

    def _read(self, size: int) -> bytes:
        """Reads so many bytes.

        Raises:
            UserError: If the process has ended.
        """
        assert self._process.stdout is not None
        content = self._process.stdout.read(size)
        if len(content) < size:
            self._errors.seek(0)
            last = self._errors.read().decode(errors="replace").strip().rpartition("\n")[2]
            raise UserError(f"the process that draws has ended: {last}")
        return content

    def close(self) -> None:
        """Ends the process."""
        self._process.kill()
        self._process.communicate()
        self._errors.close()

    def __del__(self) -> None:
        """Ends the process with the environment."""
        if vars(self).get("_process") is not None and self._process.returncode is None:
            self.close()


class Window:
    """MuJoCo's viewer of a task."""

    def __init__(self, suite: Suite, task: Task, size: tuple[int, int]) -> None:
        """Opens the window.

        Raises:
            UserError: If none can be opened here.
        """
        gl_backends.require_window(None)
        from robometa.video import live  # it needs learners too

        self._subject = storyboard.subject(suite, task)
        self._viewer = live.Viewer(self._subject, lambda key: None)

    def aim(self, target: Target) -> bool:
        """Shows another target from now on, and returns True."""
        self._viewer.aim(target)
        return True

    def draw(self, physics: np.ndarray, sensors: np.ndarray) -> None:
        """Shows a state."""
        if self._viewer.is_open():
            self._viewer.show(physics[1 : 1 + self._subject.positions])

    def close(self) -> None:
        """Closes the window."""
        self._viewer.close()


def _target(suite: Suite, task: Task) -> Target:
    return storyboard.subject(suite, task).target


def _still(suite: Suite, subject: Subject, size: tuple[int, int]) -> Film:
    """A film of no time, which has all but the pictures' content."""
    nothing = np.zeros(1)
    place = np.zeros((1, 2 if subject.camera() is None else 3))
    panel = Panel("", np.zeros((1, subject.positions)), place, nothing, nothing, nothing > 0, nothing > 0)
    return Film(
        suite=suite.name,
        task=subject.words,
        learner="",
        measure="",
        unit="",
        body=subject.body,
        planar=subject.planar,
        own_look=subject.own_look,
        target=subject.target,
        span=(0.0, 1.0),
        width=size[0],
        height=size[1],
        rate=1.0,
        hold=0,
        duration=0.0,
        gif=False,
        camera=subject.camera(),
        times=nothing,
        panels=(panel,),
    )
