"""Servos for a model without actuators, before it is compiled."""

from __future__ import annotations

from typing import Any

import mujoco

from robometa.suites.model_edits import in_order

HINGE, SLIDE = mujoco.mjtJoint.mjJNT_HINGE, mujoco.mjtJoint.mjJNT_SLIDE


def add_servos(spec: mujoco.MjSpec) -> None:
    """Adds an actuator for each hinge and slide that is not the base's to a model that has none."""
    if len(spec.actuators):
        return
    for body in list(in_order(spec.worldbody))[1:]:
        if any(body in bodies for bodies in map(_base, spec.worldbody.bodies)):
            continue
        for joint in body.joints:
            if joint.type in (HINGE, SLIDE):
                joint.name = joint.name or f"joint-of-{body.name}"
                spec.add_actuator(name=joint.name, target=joint.name, trntype=mujoco.mjtTrn.mjTRN_JOINT)


def _base(root: Any) -> list[Any]:
    """The bodies whose joints carry a robot of a tree of bodies on the world; empty if it stands or floats there.

    They are a root with several joints, or bodies without geoms and the next one, with an endless slide.
    """
    if len(root.joints) > 1:
        return [root]
    line = [root]
    while not line[-1].geoms and len(line[-1].bodies) == 1:
        line.append(line[-1].bodies[0])
    joints = [joint for body in line for joint in body.joints]
    return line if len(joints) > 1 and any(joint.type == SLIDE and not _limited(joint) for joint in joints) else []


def _limited(joint: Any) -> bool:
    """Tests if a joint of a model that is not compiled yet has a range."""
    automatic = joint.limited == mujoco.mjtLimited.mjLIMITED_AUTO
    return bool(joint.range[0] < joint.range[1] if automatic else joint.limited)
