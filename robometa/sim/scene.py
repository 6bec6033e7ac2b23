"""What a video shows of a task in space: the robot's model dressed for the camera, and what marks the target."""

from __future__ import annotations

from collections.abc import Sequence

import mujoco
import numpy as np

from robometa.errors import UserError
from robometa.sim.robots import ROBOTS
from robometa.sim.variations import VARIATIONS
from robometa.suites import Task

FLOOR, SKY = "robometa/floor", "robometa/sky"
PALE, SHADE, EDGE = (0.90, 0.90, 0.875), (0.815, 0.82, 0.81), (0.76, 0.765, 0.76)
HORIZON, ZENITH = (0.94, 0.95, 0.95), (0.60, 0.72, 0.83)
DEFAULT_PAINT, PAINT = (0.8, 0.6, 0.4), (0.90, 0.62, 0.28)
TARGET = (0.85, 0.20, 0.30)
SHADOW_MAP = 1024
"""Side of the shadow map, pixels: at MuJoCo's 4096 a software renderer spends most of its time on shadows."""
FLOOR_REACH = 60.0
"""Half side of the floor drawn under a robot that has none, m."""


def dressed(task: Task) -> mujoco.MjModel:
    """A task's model to look at: the same bodies and joints, on a light checkered floor with squares of 1 m.

    The robots of this package are repainted; a user's own model keeps its colours, sky and floor.

    Raises: UserError: If MuJoCo cannot load the model file.
    """
    try:
        spec = mujoco.MjSpec.from_file(str(task.robot.mjcf))
        _add_floor_material(spec)
        if task.robot.mjcf in {robot.mjcf for robot in ROBOTS.values()}:
            _repaint(spec)
        model = spec.compile()
    except (ValueError, RuntimeError) as error:
        raise UserError(f"{task.robot.mjcf.name} is not a model that MuJoCo can load: {error}") from None
    for name, value in task.parameters:
        if name in VARIATIONS:
            VARIATIONS[name].apply(model, np.array(value), task.robot)
    mujoco.mj_setConst(model, mujoco.MjData(model))
    model.vis.quality.shadowsize = SHADOW_MAP
    return model


def _add_floor_material(spec: mujoco.MjSpec) -> None:
    spec.add_texture(
        name=FLOOR,
        type=mujoco.mjtTexture.mjTEXTURE_2D,
        builtin=mujoco.mjtBuiltin.mjBUILTIN_CHECKER,
        mark=mujoco.mjtMark.mjMARK_EDGE,
        rgb1=PALE,
        rgb2=SHADE,
        markrgb=EDGE,
        width=512,
        height=512,
    )
    # A checker has two squares a side: half a repetition per metre makes squares of 1 m.
    material = spec.add_material(name=FLOOR, texrepeat=(0.5, 0.5), texuniform=True, specular=0.1, shininess=0.1)
    material.textures[mujoco.mjtTextureRole.mjTEXROLE_RGB] = FLOOR


def _repaint(spec: mujoco.MjSpec) -> None:
    """Gives a robot of this package the house's sky, floor, light and paint."""
    for texture in list(spec.textures):
        if texture.type == mujoco.mjtTexture.mjTEXTURE_SKYBOX:
            texture.delete()
    spec.add_texture(
        name=SKY,
        type=mujoco.mjtTexture.mjTEXTURE_SKYBOX,
        builtin=mujoco.mjtBuiltin.mjBUILTIN_GRADIENT,
        rgb1=ZENITH,
        rgb2=HORIZON,
        width=256,
        height=256,
    )
    spec.visual.headlight.ambient = (0.42, 0.42, 0.42)
    spec.visual.headlight.diffuse = (0.25, 0.25, 0.25)
    spec.visual.headlight.specular = (0.0, 0.0, 0.0)
    for light in spec.lights:
        light.dir, light.diffuse, light.specular = (0.35, 0.45, -1.0), (0.55, 0.54, 0.52), (0.15, 0.15, 0.15)
    for geom in spec.geoms:
        if geom.type == mujoco.mjtGeom.mjGEOM_PLANE:
            geom.material, geom.rgba, geom.size = FLOOR, (1, 1, 1, 1), (0, 0, 1)
        elif np.allclose(geom.rgba[:3], DEFAULT_PAINT, atol=0.01):
            geom.material, geom.rgba = "", (*PAINT, 1)


class Camera:
    """Follows the robot, level and without its bobbing, or stands above the place where the goals are."""

    def __init__(self, model: mujoco.MjModel, body: str, planar: bool, goals: Sequence[tuple[float, float]]) -> None:
        """Chooses distance and slant from the robot's size.

        Args:
            model: The robot's.
            body: The body to follow.
            planar: Whether the robot moves along a line, to be seen from the side.
            goals: Places that must stay in sight, m; empty if there are none.
        """
        self.body = model.body(body).id
        self.height = 0.0
