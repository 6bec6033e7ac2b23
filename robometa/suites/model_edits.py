"""Changes to a model before it is compiled: names and sensors are added, and what only shows is left out."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import PurePosixPath
from typing import Any

import mujoco
import numpy as np

from robometa.suites.own_model import Sensor
from robometa.suites.terrain import Terrain
from robometa.suites.variations import driven_joints

FREE = mujoco.mjtJoint.mjJNT_FREE
MESH, SPHERE = mujoco.mjtGeom.mjGEOM_MESH, mujoco.mjtGeom.mjGEOM_SPHERE
LOOKS = ("mesh_", "tex_", "skin_", "bvh_")
"""Beginnings of the names of a model's arrays that are mostly looks."""
SMALLEST_SAVING = 1 << 16
"""Bytes of looks below which a model stays as it is."""
SEEING = ("RANGEFINDER", "GEOMDIST", "GEOMNORMAL", "GEOMFROMTO")
"""Types of sensors that read the shapes of geoms that collide with nothing."""
EQUAL = (
    "body_mass",
    "body_inertia",
    "body_ipos",
    "body_iquat",
    "body_pos",
    "body_quat",
    "jnt_pos",
    "jnt_axis",
    "qpos0",
)
"""Arrays that leaving out looks must not change."""
KIND = mujoco.mjtObj
FLOOR = "robometa/floor"
"""Name of a floor that is added, and of its material in a video."""
TERRAIN = "robometa/terrain"
"""Name of uneven ground that is added, and of its field of heights."""
EVERYTHING = (1 << 31) - 1
"""Mask of a geom that collides with every other that collides at all."""
FOOT, ACTUATOR = "FOOT", "ACTUATOR"
"""Words for what a sensor looks at: a foot, which MuJoCo has none for, and an actuator, which goes by its index."""
FOOT_ZONE, EVERYWHERE = 1.5, 100.0
"""Radius of a foot's touch zone in sizes of its geom, and for a whole body, m."""
OPTIONS = {
    "timestep": "timestep",
    "impratio": "impratio",
    "iterations": "iterations",
    "line_search": "ls_iterations",
}
"""MuJoCo's words for numbers of the simulation."""
TORSO = "torso"
"""Name of the body that is a robot's own, if it has one of this name."""


def name_bodies(spec: mujoco.MjSpec) -> None:
    """Names each body that has no name by its number, so that it can be meant."""
    bodies = list(in_order(spec.worldbody))
    taken = {body.name for body in bodies}
    for index, body in enumerate(bodies):
        if not body.name and f"body-{index}" not in taken:
            body.name = f"body-{index}"


def in_order(body: Any) -> Iterator[Any]:
    """A body and those below it, in the order of their numbers in the compiled model."""
    yield body
    for child in body.bodies:
        yield from in_order(child)


def add_sensors(spec: mujoco.MjSpec, sensors: Iterable[Sensor]) -> None:
    """Adds sensors to a model that is not compiled yet."""
    for name, kind, target, watched in sensors:
        if target == FOOT:
            add_foot(spec, name, watched)
            continue
        spec.add_sensor(
            name=name,
            type=getattr(mujoco.mjtSensor, f"mjSENS_{kind}"),
            objtype=getattr(mujoco.mjtObj, f"mjOBJ_{target}"),
            objname=_actuator(spec, int(watched)) if target == ACTUATOR else watched,
        )


def _actuator(spec: mujoco.MjSpec, index: int) -> str:
    """Name of an actuator, which gets one if it has none."""
    actuator = spec.actuators[index]
    actuator.name = actuator.name or f"actuator-{index}"
    return str(actuator.name)


def add_foot(spec: mujoco.MjSpec, name: str, foot: str) -> None:
    """Adds a sensor of the force on a foot, a geom or else a body, to a model that is not compiled yet."""
    geom, body = spec.geom(foot), spec.body(foot)
    if geom is None and body is None:
        raise ValueError(f"it has no geom and no body {foot!r}, which the suite calls a foot")
    if geom is not None:  # a zone around the shape: its body may have others, such as a calf
        ends = np.array(geom.fromto).reshape(2, 3)
        drawn = bool(np.isfinite(ends).all())  # between two points, which MuJoCo turns into a place later
        size = max(geom.size[:1]) + np.linalg.norm(ends[1] - ends[0]) / 2 if drawn else max(geom.size)
        zone = {"pos": ends.mean(axis=0) if drawn else geom.pos, "size": [FOOT_ZONE * size or EVERYWHERE] * 3}
        geom.parent.add_site(name=name, type=mujoco.mjtGeom.mjGEOM_SPHERE, group=5, **zone)
    else:
        body.add_site(name=name, type=mujoco.mjtGeom.mjGEOM_SPHERE, group=5, size=[EVERYWHERE] * 3)
    spec.add_sensor(name=name, type=mujoco.mjtSensor.mjSENS_TOUCH, objtype=mujoco.mjtObj.mjOBJ_SITE, objname=name)


def set_physics(spec: mujoco.MjSpec, physics: Mapping[str, Any]) -> None:
    """Changes numbers of the simulation; those that are None stay the model's own."""
    if physics.get("cone") is not None:
        spec.option.cone = getattr(mujoco.mjtCone, f"mjCONE_{physics['cone'].upper()}")
    for key, option in OPTIONS.items():
        if physics.get(key) is not None:
            setattr(spec.option, option, physics[key])


def add_terrain(spec: mujoco.MjSpec, terrain: Terrain) -> None:
    """Lays a height field, flat as yet, on the floor; it has the friction of the first plane, if there is one."""
    rows, columns = terrain.size()
    # MuJoCo stretches heights to 0..1 when it compiles, and leaves equal ones as they are.
    spec.add_hfield(
        name=TERRAIN,
        nrow=rows,
        ncol=columns,
        size=[terrain.reach, terrain.reach, terrain.height, 0.1],
        userdata=[0.0] * (rows * columns),
    )
    planes = [geom for geom in spec.worldbody.geoms if geom.type == mujoco.mjtGeom.mjGEOM_PLANE]
    ground = spec.worldbody.add_geom(name=TERRAIN, type=mujoco.mjtGeom.mjGEOM_HFIELD, hfieldname=TERRAIN)
    ground.contype = ground.conaffinity = EVERYTHING
    if planes:
        ground.friction, ground.condim, ground.margin = planes[0].friction, planes[0].condim, planes[0].margin


def add_floor(spec: mujoco.MjSpec) -> None:
    """Adds a flat floor that everything that can be touched collides with."""
    plane = spec.worldbody.add_geom(name=FLOOR, type=mujoco.mjtGeom.mjGEOM_PLANE, size=[0, 0, 1])
    plane.contype = plane.conaffinity = EVERYTHING


def main_body(model: mujoco.MjModel) -> str:
    """Name of the body that can only be meant as the robot's; empty if there are several, or none.

    It is the torso, else the only body with a free joint, else the only one of them that carries actuators, else the
    only one on the ground that its own joints move in several directions.
    """
    names = [model.body(index).name for index in range(model.nbody)]
    if TORSO in names:
        return TORSO
    free = [int(model.jnt_bodyid[joint]) for joint in range(model.njnt) if model.jnt_type[joint] == FREE]
    driven = {int(model.body_rootid[model.jnt_bodyid[joint]]) for joint in driven_joints(model)}
    planar = [body for body in range(1, model.nbody) if model.body_parentid[body] == 0 and model.body_jntnum[body] > 1]
    for candidates in (free, [body for body in free if body in driven], [] if free else planar):
        if len(candidates) == 1:
            return names[candidates[0]]
    return ""


def without_looks(model: mujoco.MjModel, again: Callable[[], mujoco.MjSpec]) -> mujoco.MjModel:
    """A model without the meshes, textures and skins that only show; the model itself if that saves little.

    Bodies, geoms and all numbers that the physics depend on stay: a mesh that collides with nothing becomes a sphere.

    Args:
        model: The compiled model.
        again: Reads anew what it was compiled from.
    """
    if _bytes_of_looks(model) < SMALLEST_SAVING:
        return model
    lean = leave_out_looks(model, again)
    return model if lean is None else lean[1]


def leave_out_looks(
    model: mujoco.MjModel, again: Callable[[], mujoco.MjSpec]
) -> tuple[mujoco.MjSpec, mujoco.MjModel] | None:
    """Leaves out what only shows, however little it is; None if the physics would change.

    Args:
        model: The compiled model.
        again: Reads anew what it was compiled from.

    Returns:
        The model before and after it is compiled.
    """
    if _sees(model):
        return None
    bare = again()
    try:
        _leave_out(bare, model)
        lean = bare.compile()
    except (ValueError, RuntimeError):
        return None
    same = lean.ngeom == model.ngeom and lean.nq == model.nq and lean.nv == model.nv
    same = same and all(np.allclose(getattr(lean, name), getattr(model, name), rtol=1e-9, atol=1e-12) for name in EQUAL)
    return (bare, lean) if same else None


def text_of(model: mujoco.MjModel, again: Callable[[], mujoco.MjSpec]) -> str:
    """Writes a model without its looks as one MJCF text, which names the files that its physics depend on.

    Args:
        model: The compiled model.
        again: Reads anew what it was compiled from.
    """
    lean = leave_out_looks(model, again)
    if lean is not None:
        return str(lean[0].to_xml())
    spec = again()
    spec.compile()
    return str(spec.to_xml())


def _bytes_of_looks(model: mujoco.MjModel) -> int:
    arrays = [getattr(model, name) for name in dir(model) if name.startswith(LOOKS)]
    return sum(array.nbytes for array in arrays if isinstance(array, np.ndarray))


def _sees(model: mujoco.MjModel) -> bool:
    """Tests if a sensor reads the shapes of geoms that collide with nothing."""
    seeing = {int(getattr(mujoco.mjtSensor, f"mjSENS_{kind}")) for kind in SEEING}
    return bool(seeing & set(model.sensor_type.tolist()))


def _leave_out(spec: mujoco.MjSpec, model: mujoco.MjModel) -> None:
    """Leaves looks out of a model that is not compiled yet.

    Args:
        spec: The model.
        model: The same, compiled as it is.
    """
    used = _used_geoms(model)
    kept = set()
    for index, geom in enumerate(geom for body in in_order(spec.worldbody) for geom in body.geoms):
        if index in used or model.geom_type[index] != int(MESH):
            kept.add(geom.meshname)
        else:
            _make_sphere(geom, model, index)
    for body in list(in_order(spec.worldbody))[1:]:
        _fix_inertia(body, model)
    spec.compiler.inertiafromgeom = mujoco.mjtInertiaFromGeom.mjINERTIAFROMGEOM_AUTO
    for skin in list(spec.skins):
        _delete(spec, skin)
    for mesh in list(spec.meshes):
        if (mesh.name or PurePosixPath(mesh.file.replace("\\", "/")).stem) not in kept:
            _delete(spec, mesh)
    for material in spec.materials:
        material.textures = [""] * len(material.textures)
    for texture in list(spec.textures):
        _delete(spec, texture)


def _delete(spec: Any, element: Any) -> None:
    """Deletes an element; MuJoCo 4 has the method of the model, MuJoCo 3.3 that of the element."""
    if hasattr(spec, "delete"):
        spec.delete(element)
    else:
        element.delete()


def _used_geoms(model: mujoco.MjModel) -> set[int]:
    """Geoms whose shape the physics depend on: they collide, a sensor or tendon names them, or fluid pushes them."""
    geoms = set(np.flatnonzero((model.geom_contype != 0) | (model.geom_conaffinity != 0)).tolist())
    geoms |= {int(geom) for pair in range(model.npair) for geom in (model.pair_geom1[pair], model.pair_geom2[pair])}
    geoms |= set(model.sensor_objid[model.sensor_objtype == int(KIND.mjOBJ_GEOM)].tolist())
    geoms |= set(model.sensor_refid[model.sensor_reftype == int(KIND.mjOBJ_GEOM)].tolist())
    return geoms | set(np.flatnonzero(model.geom_fluid.any(axis=1)).tolist())


def _make_sphere(geom: Any, model: mujoco.MjModel, index: int) -> None:
    geom.rgba = [0, 0, 0, 0]  # nothing that stands in for a mesh is drawn
    geom.type, geom.meshname, geom.size = SPHERE, "", [max(float(model.geom_rbound[index]), 1e-3), 0, 0]
    geom.pos, geom.quat, geom.mass, geom.density = model.geom_pos[index], model.geom_quat[index], 0.0, 0.0


def _fix_inertia(body: Any, model: mujoco.MjModel) -> None:
    """Writes down a body's inertia, which MuJoCo may have computed from its meshes."""
    index = model.body(body.name).id
    if model.body_mass[index] == 0:
        return
    body.explicitinertial, body.mass = True, model.body_mass[index]
    body.ipos, body.iquat, body.inertia = model.body_ipos[index], model.body_iquat[index], model.body_inertia[index]
    body.fullinertia = [np.nan, 0, 0, 0, 0, 0]
