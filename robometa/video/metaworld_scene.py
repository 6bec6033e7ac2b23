"""A manipulation task in a video: its scene, lit, and a camera that sees hand, object and goal."""

from __future__ import annotations

from functools import cached_property
from typing import Any

import mujoco
import numpy as np
from numpy.typing import NDArray

from robometa.sim.metaworld.upstream import template
from robometa.suites.metaworld import MetaWorld
from robometa.suites.suite import Suite
from robometa.suites.task import Task
from robometa.video import scene
from robometa.video.film import Camera, Target
from robometa.video.fonts import number
from robometa.video.metaworld_targets import reached

Array = NDArray[Any]

AZIMUTHS, ELEVATIONS = (135.0, 150.0, 120.0, 165.0, 105.0, 90.0, 195.0, 210.0, 225.0), (-28.0, -42.0)
"""Angles of the camera, the better ones first, degrees. At 90 it looks over the robot's shoulder, at 180 along the
table."""
MARGIN, MIN_RADIUS = 0.18, 0.36
"""Space around the places that must be visible, and the smallest radius that is shown, m."""
VISIBLE_WITHIN = 0.06
"""Distance from a place that a line of sight must reach, m: an object hides its own middle."""
TIPS = ("rightEndEffector", "leftEndEffector")
"""Sites at the tips of the fingers."""
AMBIENT, SUN, FILL = (0.46, 0.46, 0.46), (0.42, 0.41, 0.39), (0.14, 0.14, 0.15)
"""Brightness of the ambient light, of the one light that throws shadows, and of the others."""
SUN_PLACE, SUN_DIRECTION = (0.0, 0.6, 2.0), (0.12, 0.3, -1.0)
"""Above the table, m, so that a small shadow map is fine enough there."""
SHADOW_REACH = 0.4
"""Extent of the shadow map, in extents of the model."""
SEEN = np.array([1, 1, 1, 0, 0, 0], dtype=np.uint8)
"""Groups of geoms that a video shows."""


class Manipulation:
    """One of Meta-World's tasks, to be filmed."""

    planar, own_look, body = False, True, "hand"
    measured = ("to the goal", "m")
    rate = 20.0

    def __init__(self, suite: Suite, task: Task) -> None:
        """Reads the beginning of the task from upstream's environment."""
        assert isinstance(suite.family, MetaWorld)
        self._template = template(task.objective, suite.family.reward)
        self._start = self._template.start(dict(task.parameters)["goal"], {})
        self._reached = reached(task.objective)
        self._goal: Array = self._start.constants["goal"]
        self.words = _in_words(task.objective, self._goal)
        self.target = Target("place", tuple(self._goal.tolist()), self._reached.radius)
        model = self._template.model
        self.control_step = float(self._template.frame_skip * model.opt.timestep)
        self.positions = int(model.nq)

    @cached_property
    def _model(self) -> mujoco.MjModel:
        """Upstream's bodies and colours, in daylight and without its marks."""
        spec = mujoco.MjSpec.from_file(str(self._template.env.model_name))
        _light(spec)
        model = spec.compile()
        for field, rows, values in self._start.edits:
            getattr(model, field)[rows] = values
        model.site_rgba[:, 3] = 0.0  # upstream's own marks, its goal's among them
        model.vis.quality.shadowsize, model.vis.map.shadowclip = scene.SHADOW_MAP, SHADOW_REACH
        return model

    def dressed(self) -> mujoco.MjModel:
        """The model to look at."""
        return self._model

    def place(self, physics: Array, sensors: Array) -> Array:
        """Middle between the fingertips, m. `[time, state]` to `[time, 3]`."""
        return self._followed(physics, fingers=True)

    def measure(self, physics: Array, sensors: Array, asked: Array | None = None) -> Array:
        """Distance from the goal of what must come to it, m. `[time, state]` to `[time]`."""
        away = self._followed(physics, self._reached.fingers) - self._goal
        return np.asarray(np.linalg.norm(away * self._reached.scale, axis=1))

    def _followed(self, physics: Array, fingers: bool) -> Array:
        """Place of the fingers, or of what must come to the goal, m. `[time, state]` to `[time, 3]`."""
        data, places = mujoco.MjData(self._model), np.zeros((len(physics), 3))
        for index, state in enumerate(physics):
            data.qpos[:] = state[1 : 1 + self.positions]
            mujoco.mj_kinematics(self._model, data)
            places[index] = _fingers(data) if fingers else self._object(data)
        return places

    def _object(self, data: mujoco.MjData) -> Array:
        place = self._reached.place
        assert place is not None
        if place.kind == "body":
            return np.asarray(data.body(place.name).xpos + place.offset)
        return np.asarray(getattr(data, place.kind)(place.name).xpos + place.offset)

    def camera(self) -> Camera:
        """The camera that sees most of hand, object and goal at the beginning of the episode."""
        data = mujoco.MjData(self._model)
        data.qpos[:] = self._start.state[1 : 1 + self.positions]
        mujoco.mj_fwdPosition(self._model, data)
        thing = _fingers(data) if self._reached.fingers else self._object(data)
        first = self._start.current[4:7]
        seen = np.stack([self._goal, thing, _fingers(data), first, (self._goal + thing) / 2])
        low, high = seen.min(axis=0), seen.max(axis=0)
        middle, reach = (low + high) / 2, max(MIN_RADIUS, float(np.linalg.norm(high - low)) / 2 + MARGIN)
        views = [
            Camera(tuple(middle.tolist()), azimuth, elevation, 2.6 * reach)
            for elevation in ELEVATIONS
            for azimuth in AZIMUTHS
        ]
        return max(views, key=lambda view: self._visible(data, view, seen))  # the first of the best

    def _visible(self, data: mujoco.MjData, view: Camera, places: Array) -> int:
        """Number of the places that are visible. `[place, 3]`."""
        turn, slant = np.radians(view.azimuth), np.radians(view.elevation)
        ahead = np.array([np.cos(slant) * np.cos(turn), np.cos(slant) * np.sin(turn), np.sin(slant)])
        eye, hit = np.array(view.look_at) - view.distance * ahead, np.zeros(1, dtype=np.int32)
        count = 0
        for place in places:
            away = place - eye
            distance = float(np.linalg.norm(away))
            free = mujoco.mj_ray(self._model, data, eye, away / distance, SEEN, 1, -1, hit)
            count += free < 0 or free > distance - VISIBLE_WITHIN
        return count


def _in_words(name: str, goal: Array) -> str:
    """Describes a task, such as `door open, goal at (-0.28, 0.43, 0.15) m`."""
    place = ", ".join(number(value, 2) for value in goal)
    return f"{name.removesuffix('-v3').replace('-', ' ')}, goal at ({place}) m"


def _fingers(data: mujoco.MjData) -> Array:
    """The middle between the fingertips, m. `[3]`."""
    right, left = (data.site(tip).xpos for tip in TIPS)
    return np.asarray((right + left) / 2)


def _light(spec: mujoco.MjSpec) -> None:
    """Gives a scene the house's sky and light: one sun, and no shadows by the other lights."""
    for texture in scene.skies(spec):
        texture.delete()
    scene.add_sky(spec)
    spec.visual.headlight.ambient = AMBIENT
    for index, light in enumerate(spec.lights):
        light.castshadow = index == 0
        light.diffuse = SUN if index == 0 else FILL
        light.specular = (0.1, 0.1, 0.1)
    spec.lights[0].pos, spec.lights[0].dir = SUN_PLACE, SUN_DIRECTION
