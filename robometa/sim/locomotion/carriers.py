"""The joints that carry a robot on the world: a free joint, or slides and hinges in one body or one inside another."""

from __future__ import annotations

import mujoco
import numpy as np
from numpy.typing import NDArray

from robometa.suites.mujoco_numbers import FREE, SLIDE
from robometa.suites.variations import driven_joints


def path_to(model: mujoco.MjModel, body: int) -> list[int]:
    """Bodies from a child of the world to a body."""
    path = [body] if body else []
    while path and model.body_parentid[path[0]]:
        path.insert(0, int(model.body_parentid[path[0]]))
    return path


def joints_of(model: mujoco.MjModel, body: int) -> range:
    """Joints of a body."""
    first = int(model.body_jntadr[body])
    return range(first, first + int(model.body_jntnum[body]))


def carriers(model: mujoco.MjModel, body: int) -> list[int]:
    """Joints that carry a body's robot, the outermost first.

    They are its root's, and those of further bodies towards it until a joint is free or driven, or the robot branches.
    Driven ones are the root's own alone: further out they are the robot's limbs.
    """
    driven, joints = set(driven_joints(model)), list[int]()
    for one in path_to(model, body):
        own = joints_of(model, one)
        if joints and not driven.isdisjoint(own):
            break
        joints += own
        ends = any(joint in driven or model.jnt_type[joint] == FREE for joint in joints)
        if ends or len(children(model, one)) != 1:
            break
    return joints


def base_joints(model: mujoco.MjModel, body: int) -> list[int]:
    """Carriers that no actuator drives, if one of them is a slide: a base that is no free joint."""
    driven = driven_joints(model)
    joints = [joint for joint in carriers(model, body) if joint not in driven]
    return joints if any(model.jnt_type[joint] == SLIDE for joint in joints) else []


def children(model: mujoco.MjModel, body: int) -> list[int]:
    """Bodies that a body carries itself."""
    return [int(child) for child in np.flatnonzero(model.body_parentid == body) if child]


def looped_joints(model: mujoco.MjModel) -> list[int]:
    """Joints whose positions an equality constraint ties to others': those of closed loops, and coupled ones."""
    kinds, tied = mujoco.mjtEq, set[int]()
    for index in np.flatnonzero(model.eq_active0):
        first, second = int(model.eq_obj1id[index]), int(model.eq_obj2id[index])
        if model.eq_type[index] == int(kinds.mjEQ_JOINT):
            tied |= {joint for joint in (first, second) if joint >= 0}
        elif model.eq_type[index] in (int(kinds.mjEQ_CONNECT), int(kinds.mjEQ_WELD)):
            on_sites = model.eq_objtype[index] == int(mujoco.mjtObj.mjOBJ_SITE)
            bodies = [int(model.site_bodyid[one]) if on_sites else one for one in (first, second)]
            one, other = (set(path_to(model, body)) for body in bodies)
            tied |= {joint for body in one ^ other for joint in joints_of(model, body)}
    return sorted(tied)


def axes(model: mujoco.MjModel) -> NDArray[np.float64]:
    """Axes of all joints in the world's frame, as the model is drawn. `[joint, 3]`."""
    data = mujoco.MjData(model)
    mujoco.mj_kinematics(model, data)
    return np.array(data.xaxis)
