"""The ground under a robot: what does not move and can be touched."""

from __future__ import annotations

import mujoco
import numpy as np
from numpy.typing import NDArray

from robometa.sim.locomotion.carriers import joints_of, path_to
from robometa.suites.mujoco_numbers import FREE, ON_JOINT, ON_TENDON, SLIDE

STEEP = 0.1
"""Least part of a contact's direction that is up or down, for the ground below a robot."""


def fixed_geoms(model: mujoco.MjModel) -> NDArray[np.bool_]:
    """Marks the geoms that never move. `[geom]`."""
    return np.asarray(model.body_weldid[model.geom_bodyid] == 0)


def has_ground(model: mujoco.MjModel) -> bool:
    """Tests if something that never moves can be touched, or a plane is drawn."""
    touchable = fixed_geoms(model) & ((model.geom_contype != 0) | (model.geom_conaffinity != 0))
    return bool(touchable.any() or int(mujoco.mjtGeom.mjGEOM_PLANE) in model.geom_type)


def falls_for_ever(model: mujoco.MjModel, body: int) -> bool:
    """Tests if nothing can stop a body from falling: no ground, spring, limit, tether or thrust."""
    root = int(model.body_rootid[body])
    disabled = mujoco.mjtDisableBit
    if np.abs(model.opt.gravity).max() == 0 or model.opt.disableflags & int(disabled.mjDSBL_GRAVITY):
        return False
    tree = model.body_rootid == root
    held = model.neq > 0 or model.opt.density > 0 or model.opt.viscosity > 0 or model.body_gravcomp[tree].any()
    thrust = (model.actuator_trntype > ON_TENDON).any()
    if held or thrust or not _may_fall(model, body):
        return False
    return bool(model.opt.disableflags & int(disabled.mjDSBL_CONTACT)) or not _may_touch(model, tree)


def _may_fall(model: mujoco.MjModel, body: int) -> bool:
    """Tests if the joints that carry a body let it fall without end."""
    data = mujoco.MjData(model)
    mujoco.mj_kinematics(model, data)
    down = model.opt.gravity / np.linalg.norm(model.opt.gravity)
    driven = set(model.actuator_trnid[model.actuator_trntype == ON_JOINT, 0].tolist())
    for joint in (joint for one in path_to(model, body) for joint in joints_of(model, one)):
        if model.jnt_type[joint] == FREE:
            return True
        stopped = model.jnt_limited[joint] or model.jnt_stiffness[joint] > 0 or joint in driven
        if model.jnt_type[joint] == SLIDE and abs(data.xaxis[joint] @ down) > STEEP and not stopped:
            return True
    return False


def _may_touch(model: mujoco.MjModel, tree: NDArray[np.bool_]) -> bool:
    """Tests if a geom of these bodies collides with one that never moves. `[body]`."""
    own, fixed = tree[model.geom_bodyid], fixed_geoms(model)
    contype, conaffinity = model.geom_contype, model.geom_conaffinity
    meets = (contype[own][:, None] & conaffinity[fixed]) | (conaffinity[own][:, None] & contype[fixed])
    paired = any(
        (own[one] and fixed[other]) or (own[other] and fixed[one])
        for one, other in zip(model.pair_geom1, model.pair_geom2, strict=True)
    )
    return bool(meets.any() or paired)


def depths(model: mujoco.MjModel, data: mujoco.MjData) -> dict[int, float]:
    """Heights by which each tree of bodies must rise to leave the ground, by its root, m.

    Args:
        model: The model.
        data: Positions; what follows from them is computed.
    """
    mujoco.mj_kinematics(model, data)
    mujoco.mj_comPos(model, data)
    mujoco.mj_collision(model, data)
    fixed, deepest = fixed_geoms(model), dict[int, float]()
    for contact in range(data.ncon):
        one, other = data.contact.geom[contact]
        up = abs(float(data.contact.frame[contact][2]))
        if data.contact.dist[contact] >= 0 or fixed[one] == fixed[other] or up < STEEP:
            continue
        root = int(model.body_rootid[model.geom_bodyid[other if fixed[one] else one]])
        deepest[root] = max(deepest.get(root, 0.0), -float(data.contact.dist[contact]) / up)
    return deepest
