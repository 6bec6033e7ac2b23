"""Actuators with activations, tendons, closed loops and mocap bodies of robots of one's own."""

import mujoco
import numpy as np
import pytest
import torch

from robometa.sim.locomotion.beginnings import notes
from robometa.sim.locomotion.joints import joints
from robometa.sim.locomotion.models import varied
from robometa.sim.locomotion.signals import robot_spaces
from tests.own_robots import FLOOR, compile_here, engine_of, positions, suite_of

ARM = (
    '<body name="upper" pos="0 0 1"><joint name="shoulder" axis="0 1 0" damping="1" {limit}/>'
    '<geom type="capsule" fromto="0 0 0 0 0 -0.3" size="0.03" mass="1"/><body name="hand" pos="0 0 -0.3">'
    '<joint {elbow} axis="0 1 0" damping="1"/><geom type="capsule" fromto="0 0 0 0 0 -0.3" size="0.03" mass="1"/>'
    "</body></body>"
)
STILL = 'body = "hand"\nreset_noise = 0.0\nreset_velocity_noise = 0.0\n'
KEY = '<keyframe><key name="home" qpos="0.5 -0.7"/></keyframe>'
SERVO = '<position joint="elbow" kp="200"/>'


@pytest.fixture(autouse=True)
def _compile_here(monkeypatch):
    compile_here(monkeypatch)


def arm(actuators, more="", *, limit="", elbow='name="elbow"', bodies=""):
    world = FLOOR + ARM.format(limit=limit, elbow=elbow) + bodies
    return (
        f'<mujoco><compiler angle="radian"/><worldbody>{world}</worldbody>'
        f"<actuator>{actuators}</actuator>{more}</mujoco>"
    )


@pytest.mark.parametrize(
    ("shoulder", "robot", "unit"),
    [
        ('<position joint="shoulder" kp="200" timeconst="0.1"/>', "", "rad"),
        ('<intvelocity joint="shoulder" kp="200" actrange="-2 2" ctrlrange="-1 1"/>', "", "rad/s"),
        ('<position joint="shoulder" kp="2" timeconst="0.1"/>', "gains = { stiffness = 200.0 }\n", "rad"),
        ('<muscle joint="shoulder" force="9"/>', "gains = { stiffness = 200.0 }\n", "rad"),
    ],
)
def test_an_action_of_0_holds_a_servo_with_an_activation_at_the_keyframe(tmp_path, shoulder, robot, unit):
    limit = 'range="-2 2" limited="true"'
    engine = engine_of(suite_of(tmp_path, arm(shoulder + SERVO, KEY, limit=limit), STILL + robot))
    assert robot_spaces(engine.suite).action[0].unit == unit
    for _ in range(20):
        engine.step(torch.zeros(1, 1, 2))
    assert np.abs(positions(engine)[0] - (0.5, -0.7)).max() < 0.06
    engine.step(torch.ones(1, 1, 2))
    for _ in range(20):
        engine.step(torch.ones(1, 1, 2))
    assert positions(engine)[0, 0] > 0.65


def test_the_strength_of_a_tendons_motor_scales_the_limit_of_its_joints(tmp_path):
    limit = 'actuatorfrcrange="-2 2" actuatorfrclimited="true"'
    tendon = '<tendon><fixed name="cord"><joint joint="shoulder" coef="1"/></fixed></tendon>'
    xml = arm('<motor tendon="cord" ctrlrange="-9 9" ctrllimited="true"/>', tendon, limit=limit)
    suite = suite_of(tmp_path, xml, STILL, "motor_strength = 0.1\n")
    assert varied(suite.train[0]).jnt_actfrcrange[0].tolist() == pytest.approx([-0.2, 0.2])


@pytest.mark.parametrize(
    ("equality", "tied"),
    [
        ('<joint joint1="shoulder" joint2="elbow"/>', 2),
        ('<connect body1="hand" body2="world" anchor="0 0 -0.3"/>', 2),
        ('<connect body1="hand" body2="upper" anchor="0 0 0"/>', 1),
        ('<connect body1="hand" body2="world" anchor="0 0 -0.3" active="false"/>', 0),
    ],
)
def test_joints_that_a_constraint_ties_begin_without_noise(tmp_path, equality, tied):
    xml = arm(SERVO, f"<equality>{equality}</equality>")
    engine = engine_of(suite_of(tmp_path, xml, 'body = "hand"\n'), worlds=5)
    assert (np.ptp(positions(engine), axis=0) == 0).sum() == tied
    told = [note for note in notes(engine.model, engine.robot) if "equality" in note]
    assert told == [f"without noise of {tied} joint{'s' * (tied > 1)} that an equality constraint ties"] * (tied > 0)


def test_a_mocap_body_begins_where_the_keyframe_has_it(tmp_path):
    bodies = '<body name="target" mocap="true" pos="0 0 2"/>'
    key = '<keyframe><key name="home" qpos="0 0" mpos="1 0 0.5" mquat="0 1 0 0"/></keyframe>'
    suite = suite_of(tmp_path, arm(SERVO, key, bodies=bodies), STILL, "gravity = 0.9\n")
    for model in (engine_of(suite).model, varied(suite.train[0])):
        data = mujoco.MjData(model)
        assert [data.mocap_pos[0].tolist(), data.mocap_quat[0].tolist()] == [[1, 0, 0.5], [0, 1, 0, 0]]


def test_unnamed_joints_have_one_name_in_the_whole_contract(tmp_path):
    xml = arm('<motor joint="shoulder"/>', elbow="")
    suite = suite_of(tmp_path, xml, STILL + 'observe = ["joint_positions"]\n')
    names = [one.name.partition("/")[2] for one in robot_spaces(suite).observation]
    assert names == list(joints(suite).names) == ["shoulder", "joint-1"]
