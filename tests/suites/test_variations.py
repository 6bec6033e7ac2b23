"""Variations reach what they name: contact pairs, saturated servos, muscles, joints with several actuators."""

import mujoco
import numpy as np
import pytest

from robometa.errors import UserError
from robometa.suites.robots import ROBOTS
from robometa.suites.variations import VARIATIONS, driven_joints

ROBOT = ROBOTS["hopper"]


def model_of(actuators, joints='<joint name="a" axis="0 1 0"/>', more=""):
    return mujoco.MjModel.from_xml_string(
        '<mujoco><compiler autolimits="true"/><worldbody><geom name="floor" type="plane" size="0 0 1"/>'
        f'<body name="torso" pos="0 0 1">{joints}'
        '<geom name="ball" size="0.1" friction="0.5 0.01 0.001"/></body></worldbody>'
        f"<actuator>{actuators}</actuator>{more}</mujoco>"
    )


def vary(model, name, values):
    VARIATIONS[name].apply(model, np.array(values), ROBOT)


def force(model, control, activation=None):
    data = mujoco.MjData(model)
    data.ctrl[:] = control
    if activation is not None:
        data.act[:] = activation
    mujoco.mj_forward(model, data)
    return data.qfrc_actuator.copy()


@pytest.mark.parametrize("strength", [0.5, 0.1, -1.0, 0.0])
@pytest.mark.parametrize(
    "actuator",
    [
        '<position joint="a" kp="1000" forcerange="-5 5"/>',
        '<motor joint="a" gear="20" forcerange="-2 3"/>',
        '<motor joint="a" gear="20"/>',
        '<velocity joint="a" kv="100"/>',
    ],
)
def test_strength_scales_what_an_actuator_gives_saturated_or_not(actuator, strength):
    model = model_of(actuator)
    whole = force(model, 10.0)[0]
    vary(model, "motor_strength", [strength])
    assert force(model, 10.0)[0] == pytest.approx(strength * whole)


@pytest.mark.parametrize("force_of", ["-1", "300"])
def test_strength_scales_a_muscle_and_none_of_its_lengths(force_of):
    actuator = f'<muscle joint="a" force="{force_of}" lengthrange="0 1" range="0.7 1.1"/>'
    model = model_of(actuator, '<joint name="a" axis="0 1 0" range="-60 60"/>')
    whole, lengths = force(model, 1.0, 1.0)[0], model.actuator_gainprm[0, [0, 1, 4, 5, 6, 7, 8]].copy()
    vary(model, "motor_strength", [0.5])
    assert whole != 0
    assert force(model, 1.0, 1.0)[0] == pytest.approx(0.5 * whole)
    assert model.actuator_gainprm[0, [0, 1, 4, 5, 6, 7, 8]].tolist() == lengths.tolist()


def test_strength_scales_the_limit_of_a_joint():
    model = model_of('<motor joint="a" gear="20"/>', '<joint name="a" axis="0 1 0" actuatorfrcrange="-3 3"/>')
    vary(model, "motor_strength", [0.5])
    assert force(model, 10.0)[0] == pytest.approx(1.5)


def test_friction_reaches_contact_pairs_as_it_reaches_other_contacts():
    pair = '<contact><pair geom1="floor" geom2="ball" friction="1 1 0.005 0.0001 0.0001"/></contact>'
    model = model_of('<motor joint="a"/>', more=pair)
    vary(model, "geom_friction", [0.5, 0.5, 0.5, 0.1, 0.1, 0.1])
    # The floor's sliding friction is the larger of the two, and the ball's torsional and rolling friction.
    assert model.pair_friction[0].tolist() == pytest.approx([0.5, 0.5, 0.0005, 0.00001, 0.00001])


def test_a_joint_of_two_actuators_has_one_offset():
    joints = '<joint name="a" axis="0 1 0"/><joint name="b" axis="1 0 0"/>'
    model = model_of('<motor joint="b"/><velocity joint="b"/><motor joint="a"/>', joints)
    assert driven_joints(model) == [1, 0]
    vary(model, "joint_offset", [0.2, 0.3])
    assert model.qpos0.tolist() == pytest.approx([-0.3, -0.2])


def test_an_offset_of_what_is_no_joint_is_refused():
    site = model_of('<motor site="s"/>', '<joint name="a" axis="0 1 0"/><site name="s"/>')
    with pytest.raises(UserError, match="joint_offset needs every actuator to drive a hinge or a slide"):
        vary(site, "joint_offset", [])
