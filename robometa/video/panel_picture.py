"""A panel's picture: the robot from where it is seen best, and what marks its target in space."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import mujoco
import numpy as np

from robometa.sim.locomotion.ground import has_ground
from robometa.suites.model_edits import FLOOR
from robometa.video.film import Array, Film, Panel, Target
from robometa.video.scene import SUNLIGHT

TARGET = (0.86, 0.16, 0.30)
"""Colour of everything that shows the target."""
PLACE = (0.80, 0.22, 0.86)
"""Colour of a place in space: the arm that is to reach it is red, and things on the table are of any other colour."""
OTHERS = (0.45, 0.50, 0.56, 0.55)
"""Colour of the goals of other tasks."""
MARKERS = 500
"""Maximum number of markers in a scene."""
TRAIL = 160
"""Maximum number of segments of a trail."""
THREAD = 0.004
"""Half the width of a trail in space, m."""
SMALLEST_MARK, MIDDLE = 0.025, 0.008
"""Radius of the smallest neighbourhood of a place that is drawn, and of its middle, m."""
FLOOR_REACH = 40.0
"""Half side of the floor under a robot that has none, m."""
SIDE, ABOVE, MAP = -12.0, -35.0, -52.0
"""Elevation of the camera: beside a planar robot, above another, and above goals, degrees."""
SMALLEST = 0.05
"""Half the size of the smallest robot, m."""
FACING = np.eye(3).flatten()
TURNED = np.array([[1, -1, 0], [1, 1, 0], [0, 0, math.sqrt(2)]]).flatten() / math.sqrt(2)
"""An eighth of a turn about the vertical."""


class View:
    """Draws the robot of a film at given positions; to be closed after use."""

    def __init__(self, model: mujoco.MjModel, film: Film, width: int, height: int) -> None:
        """Opens a picture of width x height pixels."""
        model.vis.global_.offwidth = max(width, model.vis.global_.offwidth)
        model.vis.global_.offheight = max(height, model.vis.global_.offheight)
        self.model, self.film, self.data = model, film, mujoco.MjData(model)
        self.body = model.body(film.body).id
        self.renderer = mujoco.Renderer(model, height, width, max_geom=model.ngeom + MARKERS)
        self.floor = None if has_ground(model) else model.material(FLOOR).id
        mujoco.mj_kinematics(model, self.data)
        low, high = _box(model, self.data, self.body)
        self.reach, self.waist = float((high - low).max()) / 2, float(low[2] + high[2]) / 2
        self.upright = float(high[2] - low[2]) >= float((high - low)[:2].max())
        self.camera = mujoco.MjvCamera()
        self.camera.azimuth = 90.0
        self._aim(min(1.0, width / height))

    def close(self) -> None:
        """Frees the picture."""
        self.renderer.close()

    def draw(self, panel: Panel, frame: int, colour: Sequence[float]) -> Array:
        """The picture of a panel's frame. `[height, width, 3]`, uint8."""
        self.data.qpos[:] = panel.positions[frame]
        mujoco.mj_fwdPosition(self.model, self.data)
        self.camera.lookat = self._look_at(panel.place[frame])
        self.renderer.update_scene(self.data, self.camera)
        scene = self.renderer.scene
        # A mirrored floor would draw everything twice, and hide the checkers that show how fast it goes.
        scene.flags[mujoco.mjtRndFlag.mjRND_REFLECTION] = False
        self._light()
        self._mark(panel, frame, colour)
        return np.asarray(self.renderer.render())

    def _aim(self, narrow: float) -> None:
        """Chooses slant, distance and the middle of what must be seen."""
        target, stands = self.film.target, self.film.camera
        if stands is not None:
            self.camera.azimuth, self.camera.elevation = stands.azimuth, stands.elevation
            self.camera.distance = stands.distance / narrow
        elif target.kind == "goal":
            places = np.array([(0.0, 0.0), target.values, *target.others])
            low, high = places.min(axis=0), places.max(axis=0)
            self.middle, self.arena = (low + high) / 2, float((high - low).max()) / 2
            self.camera.elevation, self.camera.distance = MAP, 2.5 * (self.arena + 0.5 * self.reach) / narrow
        else:
            self.camera.elevation = SIDE if self.film.planar or self.upright else ABOVE
            self.camera.distance = (4.4 if self.film.planar else 5.0) * self.reach / narrow

    def _look_at(self, place: Array) -> Array:
        """The point at the picture's middle: level with the robot's middle, whatever it does."""
        if self.film.camera is not None:
            return np.array(self.film.camera.look_at)
        if self.film.target.kind != "goal":
            # A planar robot stands low in its picture: above it are its target and the gauge.
            return np.array([*place, self.waist + (0.5 if self.film.planar else 0.1) * self.reach])
        # The goals stand still in the picture, as long as the robot is among them.
        away = place - self.middle
        beyond = max(0.0, float(np.linalg.norm(away)) - 1.2 * self.arena)
        return np.array([*(self.middle + away * beyond / max(float(np.linalg.norm(away)), 1e-9)), 0.0])

    def _light(self) -> None:
        """Moves the light with the camera, so that shadows never end."""
        if not self.film.own_look:
            away = 4.0 * self.reach * np.array(SUNLIGHT)
            for light in self.renderer.scene.lights[: self.renderer.scene.nlight]:
                if not light.headlight:
                    light.pos = np.asarray(self.camera.lookat) - away

    def _mark(self, panel: Panel, frame: int, colour: Sequence[float]) -> None:
        target = self.film.target_of(panel, frame)
        if self.floor is not None:
            geom = self._add(mujoco.mjtGeom.mjGEOM_PLANE, (FLOOR_REACH, FLOOR_REACH, 1), (0, 0, 0), (1, 1, 1, 1))
            geom.matid = self.floor
        if target.kind == "direction":
            self._mark_direction(panel.place[frame], target.values[0])
        elif target.kind == "heading":
            self._mark_heading(panel.place[frame], target.values[0])
        elif target.kind == "goal":
            self._mark_goals(target)
        elif target.kind == "place":
            size = max(target.tolerance, SMALLEST_MARK)
            self._add(mujoco.mjtGeom.mjGEOM_SPHERE, (MIDDLE, 0, 0), target.values, (*PLACE, 1))
            self._add(mujoco.mjtGeom.mjGEOM_SPHERE, (size, 0, 0), target.values, (*PLACE, 0.4))
        if not self.film.planar:
            self._trail(panel.place[: frame + 1], colour)

    def _mark_direction(self, place: Array, sign: float) -> None:
        middle = np.array([*place, self.waist + 1.2 * self.reach])
        half = np.array([0.5 * self.reach * sign, 0, 0])
        self._arrow(middle - half, middle + half)

    def _mark_heading(self, place: Array, angle: float) -> None:
        ahead = np.array([math.cos(angle), math.sin(angle), 0.0])
        start = np.array([*place, 0.06 * self.reach])
        self._arrow(start + 0.8 * self.reach * ahead, start + 1.9 * self.reach * ahead)

    def _mark_goals(self, target: Target) -> None:
        size, dot = target.tolerance, 0.016 * self.arena
        for place in target.others:
            self._add(mujoco.mjtGeom.mjGEOM_CYLINDER, (dot, 0.002, 0), (*place, 0.004), OTHERS)
        if target.norm == 1.0:
            side = size / math.sqrt(2)
            kind, shape = mujoco.mjtGeom.mjGEOM_BOX, (side, side, 0.004)
        else:
            kind, shape = mujoco.mjtGeom.mjGEOM_CYLINDER, (size, 0.004, 0)
        self._add(kind, shape, (*target.values, 0.008), (*TARGET, 0.4), TURNED)
        thin, post = 0.01 * self.arena, 0.2 * self.arena
        foot, top = (*target.values, post / 2), (*target.values, post)
        self._add(mujoco.mjtGeom.mjGEOM_CYLINDER, (thin, post / 2, 0), foot, (*TARGET, 1))
        self._add(mujoco.mjtGeom.mjGEOM_SPHERE, (4 * thin, 0, 0), top, (*TARGET, 1))

    def _trail(self, path: Array, colour: Sequence[float]) -> None:
        """Draws the robot's past path: on the floor if it has two coordinates, in space if it has three."""
        path = path[:: -(-len(path) // TRAIL)] if len(path) > TRAIL else path
        flat = path.shape[1] == 2
        width = 0.014 * (self.arena if self.film.target.kind == "goal" else self.reach) if flat else THREAD
        if flat:
            path = np.column_stack((path, np.full(len(path), 0.3 * width)))
        for start, end in zip(path[:-1], path[1:], strict=True):
            geom = self._add(mujoco.mjtGeom.mjGEOM_CAPSULE, (width,) * 3, (0, 0, 0), (*colour, 0.8))
            mujoco.mjv_connector(geom, mujoco.mjtGeom.mjGEOM_CAPSULE, width, start, end)

    def _arrow(self, start: Array, end: Array) -> None:
        geom = self._add(mujoco.mjtGeom.mjGEOM_ARROW, (1, 1, 1), (0, 0, 0), (*TARGET, 1))
        mujoco.mjv_connector(geom, mujoco.mjtGeom.mjGEOM_ARROW, 0.05 * self.reach, start, end)

    def _add(self, kind: int, size: Any, place: Any, colour: Any, turn: Array = FACING) -> Any:
        """One more shape in the scene."""
        scene = self.renderer.scene
        geom = scene.geoms[scene.ngeom]
        mujoco.mjv_initGeom(geom, kind, np.array(size, float), np.array(place, float), turn, np.array(colour, "f4"))
        scene.ngeom += 1
        return geom


def _box(model: mujoco.MjModel, data: mujoco.MjData, body: int) -> tuple[Array, Array]:
    """Lowest and highest corner of a box around the robot, m."""
    own = model.body_rootid[model.geom_bodyid] == model.body_rootid[body]
    # With the body itself, since a robot need not have a shape.
    middle = np.vstack((data.geom_xpos[own], data.xpos[body]))
    around = np.append(model.geom_rbound[own], SMALLEST)[:, None]
    return (middle - around).min(axis=0), (middle + around).max(axis=0)
