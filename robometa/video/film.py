"""The content of a video: recorded positions and the numbers beside them, in files without executable content."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import Any

import mujoco
import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]


@dataclass(frozen=True)
class Panel:
    """One episode of the robot, frame by frame."""

    title: str
    positions: Array
    """MuJoCo's generalised positions. `[frame, position]`"""
    place: Array
    """The body's place, m: in the plane, or in space if the camera is fixed. `[frame, 2]` or `[frame, 3]`"""
    measure: Array
    """The number that the target is about, such as the speed in m/s. `[frame]`"""
    returns: Array
    """Sum of rewards so far. `[frame]`"""
    reached: Array
    """The success condition holds. `[frame]`, bool"""
    over: Array
    """The episode has ended early. `[frame]`, bool"""
    asked: Array = field(default_factory=lambda: np.zeros((0, 0)))
    """Numbers of the target of a task that changes; empty if the film's stays. `[frame, number]`"""
    news: Array = field(default_factory=lambda: np.zeros(0, dtype=str))
    """Description of the task, for a while from the beginning and from each change; empty for a task that stays.
    `[frame]`, texts"""
    changed: Array = field(default_factory=lambda: np.zeros(0))
    """Times of the changes, s. `[change]`"""


@dataclass(frozen=True)
class Target:
    """The target of a task, with the marker that shows it."""

    kind: str
    """`speed`, `direction`, `heading`, `goal` in the plane, `place` in space, or `none`."""
    values: tuple[float, ...] = ()
    """The speed in m/s, the sign, the angle in rad, or the place in m."""
    tolerance: float = 0.0
    """Largest distance from the target that is a success, m/s or m."""
    norm: float = 2.0
    """Norm of the distance to a goal: 1 makes its neighbourhood a diamond."""
    others: tuple[tuple[float, float], ...] = ()
    """Goals of the other tasks, m."""


@dataclass(frozen=True)
class Camera:
    """A fixed camera."""

    look_at: tuple[float, float, float]
    """The point at the picture's middle, m."""
    azimuth: float
    """Azimuth of the camera, degrees."""
    elevation: float
    """Elevation of the camera, degrees."""
    distance: float
    """Distance for a square or wide picture, m."""


@dataclass(frozen=True)
class Film:
    """Panels side by side, and what is written around them."""

    suite: str
    task: str
    """The task's position in the suite, and its target in words."""
    learner: str
    measure: str
    """Label of the panels' `measure`."""
    unit: str
    body: str
    """The body that the camera follows."""
    planar: bool
    """The robot moves along a line, and the camera sees it from the side."""
    own_look: bool
    """The model keeps its own light."""
    target: Target
    span: tuple[float, float]
    """Range of the speed gauge, m/s."""
    width: int
    height: int
    rate: float
    """Frames per second."""
    hold: int
    """Repetitions of the last frame."""
    duration: float
    """Length of a whole episode, s."""
    gif: bool
    camera: Camera | None
    """The fixed camera; None for one that follows the body."""
    times: Array
    """Time of each frame, s. `[frame]`"""
    panels: tuple[Panel, ...] = field(default=())

    def target_of(self, panel: Panel, frame: int) -> Target:
        """The target at a frame of a panel."""
        return replace(self.target, values=tuple(panel.asked[frame].tolist())) if panel.asked.size else self.target


def write(film: Film, folder: Path) -> None:
    """Writes a film into a folder: `film.json` and the arrays."""
    table = asdict(film)
    panels = table.pop("panels")
    arrays = {"times": table.pop("times")}
    for index, panel in enumerate(panels):
        arrays |= {f"{name}/{index}": value for name, value in panel.items() if name != "title"}
    table["titles"] = [panel["title"] for panel in panels]
    (folder / "film.json").write_text(json.dumps(table), encoding="utf-8")
    np.savez(folder / "film.npz", **arrays)


def write_model(model: mujoco.MjModel, folder: Path) -> None:
    """Writes a model into a folder: `model.mjb`; MuJoCo's own function does not notice a full disk."""
    content = np.empty(mujoco.mj_sizeModel(model), np.uint8)
    mujoco.mj_saveModel(model, None, content)
    (folder / "model.mjb").write_bytes(content.data)


def read(folder: Path) -> Film:
    """The film that `write` put into a folder."""
    table = json.loads((folder / "film.json").read_text(encoding="utf-8"))
    titles, target, camera = table.pop("titles"), table.pop("target"), table.pop("camera")
    names = [entry.name for entry in fields(Panel) if entry.name != "title"]
    with np.load(folder / "film.npz", allow_pickle=False) as arrays:
        panels = tuple(
            Panel(title, **{name: arrays[f"{name}/{index}"] for name in names}) for index, title in enumerate(titles)
        )
        stands = None if camera is None else Camera(**camera)
        return Film(**table, target=Target(**target), camera=stands, times=arrays["times"], panels=panels)
