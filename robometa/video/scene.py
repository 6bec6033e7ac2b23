"""A locomotion task in a video: its bodies and joints, with floor, sky, light and paint."""

from __future__ import annotations

from typing import Any

import mujoco
import numpy as np

from robometa.errors import UserError
from robometa.sim.locomotion.models import from_binary, vary
from robometa.suites.model_edits import FLOOR, TERRAIN, add_terrain
from robometa.suites.own_model import compile_robot
from robometa.suites.robots import Robot, is_shipped
from robometa.suites.task import Task

DRESS = "robometa.video.dress_process"
"""The module that compiles a user's own model with floor and sky."""
SKY = "robometa/sky"
PALE, SHADE, EDGE = (0.90, 0.90, 0.875), (0.815, 0.82, 0.81), (0.76, 0.765, 0.76)
HORIZON, ZENITH = (0.94, 0.95, 0.95), (0.60, 0.72, 0.83)
DEFAULT_PAINT, PAINT = (0.8, 0.6, 0.4), (0.90, 0.62, 0.28)
SUNLIGHT = (0.35, 0.45, -1.0)
"""Direction of the light."""
SHADOW_MAP, SHADOW_REACH = 1024, 3.0
"""Side of the shadow map, pixels, and how far it covers, in extents of the model. At MuJoCo's 4096 a software renderer
spends most of its time on shadows; at its reach of 1 the map's edge shows on the floor."""
SMALLEST_EXTENT = 1.0
"""Smallest extent of a scene, m. Shadows and clipping scale with it, and a point robot's own is too small."""


def dressed(task: Task) -> mujoco.MjModel:
    """Returns a task's model for the camera, on a light checkered floor with squares of 1 m.

    The robots of this package are repainted; a user's own model keeps its colours, sky and floor.

    Raises:
        UserError: If MuJoCo cannot load the model file.
    """
    own = own_look(task)
    model = from_binary(compile_robot(task.robot, module=DRESS).binary) if own else _repainted(task.robot)
    vary(model, task, only_looks=True)  # the model that the physics use may have other geoms
    model.vis.quality.shadowsize, model.vis.map.shadowclip = SHADOW_MAP, SHADOW_REACH
    model.stat.extent = max(model.stat.extent, SMALLEST_EXTENT)
    return model


def _repainted(robot: Robot) -> mujoco.MjModel:
    """Compiles a robot of this package with the house's look."""
    try:
        spec = mujoco.MjSpec.from_file(str(robot.mjcf))
        if robot.real is not None and robot.real.terrain is not None:
            add_terrain(spec, robot.real.terrain)
        _repaint(spec)
        furnish(spec)
        return spec.compile()
    except (ValueError, RuntimeError) as error:
        raise UserError(f"{robot.mjcf.name} is not a model that MuJoCo can load: {error}") from None


def furnish(spec: mujoco.MjSpec) -> None:
    """Adds the floor's material, and a sky and light where there are none, to a model that is not compiled yet.

    What only shows stays, even in a model that discards it.
    """
    spec.compiler.discardvisual = False
    for geom in spec.worldbody.geoms:
        if geom.name in (FLOOR, TERRAIN):
            geom.material = FLOOR
    _add_floor_material(spec)
    if not skies(spec):
        add_sky(spec)
    if not spec.lights:
        _add_sun(spec)
        _light(spec)


def own_look(task: Task) -> bool:
    """Returns True for a user's own model, which keeps its look."""
    return not is_shipped(task.robot.mjcf)


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


def skies(spec: mujoco.MjSpec) -> list[Any]:
    """The skies of a model that is not compiled yet."""
    return [texture for texture in spec.textures if texture.type == mujoco.mjtTexture.mjTEXTURE_SKYBOX]


def add_sky(spec: mujoco.MjSpec) -> None:
    """Adds the house's sky to a model that is not compiled yet."""
    spec.add_texture(
        name=SKY,
        type=mujoco.mjtTexture.mjTEXTURE_SKYBOX,
        builtin=mujoco.mjtBuiltin.mjBUILTIN_GRADIENT,
        rgb1=ZENITH,
        rgb2=HORIZON,
        width=256,
        height=256,
    )


def _repaint(spec: mujoco.MjSpec) -> None:
    """Gives a robot of this package the house's floor, light and paint, and takes its sky away."""
    for texture in skies(spec):
        texture.delete()
    _light(spec)
    for geom in spec.geoms:
        if geom.type == mujoco.mjtGeom.mjGEOM_PLANE:
            geom.material, geom.rgba, geom.size = FLOOR, (1, 1, 1, 1), (0, 0, 1)
        elif np.allclose(geom.rgba[:3], DEFAULT_PAINT, atol=0.01):
            geom.material, geom.rgba = "", (*PAINT, 1)


def _light(spec: mujoco.MjSpec) -> None:
    """Gives a scene the house's light."""
    spec.visual.headlight.ambient = (0.42, 0.42, 0.42)
    spec.visual.headlight.diffuse = (0.25, 0.25, 0.25)
    spec.visual.headlight.specular = (0.0, 0.0, 0.0)
    for light in spec.lights:
        light.dir, light.diffuse, light.specular = SUNLIGHT, (0.55, 0.54, 0.52), (0.15, 0.15, 0.15)


def _add_sun(spec: mujoco.MjSpec) -> None:
    """Adds a light from afar."""
    sun = spec.worldbody.add_light(pos=(0, 0, 4))
    if hasattr(sun, "directional"):  # before MuJoCo 3.3.1
        sun.directional = True
    else:
        sun.type = mujoco.mjtLightType.mjLIGHT_DIRECTIONAL
