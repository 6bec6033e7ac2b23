"""OpenGL backends without a screen; each is tried in its own process, because MuJoCo picks one on import."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from functools import cache
from pathlib import Path

from robometa.compute import python_process
from robometa.compute.python_process import python
from robometa.errors import UserError
from robometa.escape import word
from robometa.registry.given import given
from robometa.storage.paths import failed_write

BACKENDS = ("egl", "osmesa")
"""MuJoCo's names for them, the better one first."""
PACKAGES = {"egl": "libegl1 libgl1-mesa-dri", "osmesa": "libosmesa6"}
"""Debian and Ubuntu packages that each backend needs."""
HINT = (
    "videos need EGL or OSMesa to draw without a screen, and neither works here: "
    f"sudo apt-get install {PACKAGES['egl']}  (or {PACKAGES['osmesa']})"
)
TRIAL = """
import mujoco
model = mujoco.MjModel.from_xml_string("<mujoco><worldbody><geom size='1'/></worldbody></mujoco>")
with mujoco.Renderer(model, 16, 16) as renderer:
    renderer.update_scene(mujoco.MjData(model))
    renderer.render()
"""
WINDOW = """
import sys
import glfw
if not glfw.init():
    sys.exit(1)
glfw.window_hint(glfw.VISIBLE, False)
sys.exit(0 if glfw.create_window(64, 64, "", None, None) else 1)
"""
"""A program that opens a hidden window."""
UNWRITABLE = 74
"""Exit code of a process that draws if a file cannot be written: `EX_IOERR` of sysexits.h."""
PATIENCE = 120.0
"""Timeout of a trial, s."""


def environment(backend: str) -> dict[str, str]:
    """The variables of a process that draws with a backend."""
    # PyOpenGL must agree with MuJoCo, and this process may have set it to something else.
    return python_process.environment(MUJOCO_GL=backend, PYOPENGL_PLATFORM=backend)


@cache
def works(backend: str) -> bool:
    """True if a backend can draw a picture; tried once."""
    try:
        process = subprocess.run(
            python("-c", TRIAL),
            env=environment(backend),
            capture_output=True,
            timeout=PATIENCE,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return False
    return process.returncode == 0


def find() -> str:
    """The first backend that works.

    Raises:
        UserError: If none does, saying what to install.
    """
    for backend in BACKENDS:
        if works(backend):
            return backend
    raise UserError(HINT)


def has_display() -> bool:
    """Returns False on a Linux machine without a display."""
    return not sys.platform.startswith("linux") or any(os.environ.get(name) for name in ("DISPLAY", "WAYLAND_DISPLAY"))


def require_window(policy: Path | None, learner: str | None = None) -> None:
    """Checks that a window can be opened, in a separate process.

    Args:
        policy: Policy to record instead; None for an environment.
        learner: File and class of its learner, if it is a user's own.

    Raises:
        UserError: If none can, saying what to do.
    """
    record = f"watch a video instead: robometa record {word(policy)}{given(learner or '')}"
    instead = record if policy else "render_mode='rgb_array' needs none"
    what = "play" if policy else "render_mode='human'"
    if not has_display():
        raise UserError(f"{what} opens a window, and DISPLAY is not set: log in with `ssh -X`, or {instead}")
    command, variables = python("-c", WINDOW), python_process.environment()
    try:
        finished = subprocess.run(command, env=variables, capture_output=True, timeout=PATIENCE, check=False)
        opened = finished.returncode == 0
    except subprocess.TimeoutExpired:
        opened = False
    if not opened:
        raise UserError(f"{what} opens a window, and the display here gives none with OpenGL: {instead}")


def draw(folder: Path, backend: str, advance: Callable[[], None]) -> None:
    """Draws the film of a folder in a separate process, with a backend that works.

    Args:
        folder: Input of `robometa.video.render_process`, which also writes its files there.
        backend: OpenGL backend.
        advance: Called after every frame.

    Raises:
        OSError: If it cannot write the video.
        RuntimeError: If it fails otherwise, with its error output.
    """
    log = folder / "errors.txt"
    command = python("-m", "robometa.video.render_process", folder)
    with log.open("w", encoding="utf-8") as errors:
        process = subprocess.Popen(command, env=environment(backend), stdout=subprocess.PIPE, stderr=errors)
        try:
            assert process.stdout is not None
            for _ in process.stdout:
                advance()
            process.wait()
        finally:
            process.kill()  # does nothing to one that has ended
            process.communicate()
    said = log.read_text(encoding="utf-8", errors="replace")
    if process.returncode == UNWRITABLE:
        raise failed_write("ffmpeg", said, folder.parent)
    if process.returncode != 0:
        raise RuntimeError(f"drawing the video failed:\n{said}")
