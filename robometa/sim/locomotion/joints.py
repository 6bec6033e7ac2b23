"""Joints of a locomotion robot's model as a controller needs them: names, default positions, gains."""

from __future__ import annotations

import mujoco

from robometa.sim.joints import Joints
from robometa.sim.locomotion import models
from robometa.sim.locomotion.actions import controls_of, is_position_servo
from robometa.sim.locomotion.beginnings import Beginnings
from robometa.sim.locomotion.signals import part_name
from robometa.suites.mujoco_numbers import HINGE, ON_JOINT, SLIDE
from robometa.suites.suite import Suite

POSITION_SERVO = int(mujoco.mjtBias.mjBIAS_AFFINE)


def joints(suite: Suite) -> Joints:
    """Describes the joints and the actuators of a suite's robot, in the model's order.

    Raises:
        UserError: If the robot's model cannot be loaded.
    """
    model, _ = models.compiled(suite.robot)
    begin, controls = Beginnings(model, suite.robot).qpos, controls_of(model, suite.robot)
    scalar = [index for index in range(model.njnt) if model.jnt_type[index] in (SLIDE, HINGE)]
    moved = [int(model.actuator_trnid[index, 0]) for index in range(model.nu)]
    on_joint = [model.actuator_trntype[index] == ON_JOINT for index in range(model.nu)]
    servos = [model.actuator_biastype[index] == POSITION_SERVO for index in range(model.nu)]
    names = [part_name("joint", model.joint(joint).name, joint) for joint in range(model.njnt)]
    default = {index: float(begin[model.jnt_qposadr[index]]) for index in scalar}
    return Joints(
        names=tuple(names[joint] for joint in scalar),
        default=tuple(default.values()),
        actuated=tuple(names[joint] if on else "" for joint, on in zip(moved, on_joint, strict=True)),
        stiffness=tuple(-float(model.actuator_biasprm[i, 1]) if servo else 0.0 for i, servo in enumerate(servos)),
        damping=tuple(-float(model.actuator_biasprm[i, 2]) if servo else 0.0 for i, servo in enumerate(servos)),
        rest=tuple(
            default.get(joint, 0.0) * float(model.actuator_gear[i, 0])
            if on and is_position_servo(model, i) and not controls.resting
            else float(controls.centre[i]) * controls.resting
            for i, (joint, on) in enumerate(zip(moved, on_joint, strict=True))
        ),
    )
