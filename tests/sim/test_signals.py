"""Names, units and ranges of what policies see and do."""

import mujoco
import numpy as np
import pytest

from robometa import suites
from robometa.noise import Noise
from robometa.sim.locomotion.actions import actuator_name
from robometa.sim.metaworld.signals import HAND
from robometa.sim.signals import robot_spaces
from robometa.trials import make


@pytest.mark.parametrize("name", [*suites.names(), "ml1/reach-v3", "mt10"])
def test_every_number_has_a_name(name):
    if "/" in name or name == "mt10":
        pytest.importorskip("metaworld")
    suite = suites.load(name)
    spaces, sizes = robot_spaces(suite), make.spaces_of(suite)
    assert (len(spaces.observation), len(spaces.action)) == (sizes.observation, sizes.action)
    for signals in (spaces.observation, spaces.action):
        assert len({signal.name for signal in signals}) == len(signals)
        assert all(signal.unit and signal.low <= signal.high for signal in signals)


def described(name):
    spaces = robot_spaces(suites.load(name))
    return [str(signal) for signal in spaces.observation], [str(signal) for signal in spaces.action], spaces.control_hz


def test_the_half_cheetah_s_are_those_of_its_model():
    observation, action, rate = described("half-cheetah-velocity")
    assert observation[0] == "qpos/rootz [m], no robot measures it"
    assert observation[2] == "qpos/bthigh [rad], -0.52 to 1.05"
    assert observation[8] == "qvel/rootx [m/s], no robot measures it"
    assert observation[17] == "qpos/rootx [m], no robot measures it"
    assert action == [
        *("bthigh [120 N m], -1 to 1", "bshin [90 N m], -1 to 1", "bfoot [60 N m], -1 to 1"),
        *("fthigh [120 N m], -1 to 1", "fshin [60 N m], -1 to 1", "ffoot [30 N m], -1 to 1"),
    ]
    assert rate == pytest.approx(20)


def test_an_actuator_without_a_name_has_its_joint_s():
    assert [action.partition(" ")[0] for action in described("ant-velocity")[1]][:3] == ["hip_4", "ankle_4", "hip_1"]


def test_actuators_that_share_a_joint_or_a_name_keep_their_numbers():
    joints = "".join(f'<body><joint name="{name}"/><geom size="1"/></body>' for name in "abc")
    actuators = '<motor joint="a"/><motor joint="a"/><motor joint="b"/><motor joint="c"/><motor joint="a" name="c"/>'
    text = f"<mujoco><worldbody>{joints}</worldbody><actuator>{actuators}</actuator></mujoco>"
    model = mujoco.MjModel.from_xml_string(text)
    names = [actuator_name(model, index) for index in range(model.nu)]
    assert names == ["actuator-0", "actuator-1", "b", "actuator-3", "c"]


def test_sensors_free_joints_and_servos_have_their_units():
    observation, action, _ = described("rover-goal")
    assert "qvel/root/wz [rad/s]" in observation
    assert "heading/x [1]" in observation
    assert "speed/x [m/s]" in observation
    assert action[0] == "front-left [rad/s], -16 to 16"


def test_a_bound_on_observed_velocities_is_shown():
    assert "qvel/foot_joint [rad/s], -10 to 10" in described("hopper-params")[0]


def test_meta_world_s_are_upstream_s():
    observation, action, rate = described("ml1/reach-v3")
    assert observation[:4] == [
        *("hand/x [m], -0.525 to 0.525", "hand/y [m], 0.348 to 1.025", "hand/z [m], -0.0525 to 0.7"),
        "gripper/opening [1], -1 to 1",
    ]
    assert observation[18] == "before/hand/x [m], -0.525 to 0.525"
    assert observation[36] == "goal/x [m], 0 to 0"
    assert action[0] == "hand/x [cm], -1 to 1"
    assert rate == pytest.approx(80)


def test_meta_world_s_bounds_and_rate_are_those_of_its_package():
    pytest.importorskip("metaworld")
    from metaworld.sawyer_xyz_env import SawyerXYZEnv

    space = SawyerXYZEnv._HAND_SPACE
    np.testing.assert_allclose(np.stack((space.low, space.high), axis=1), HAND)
    suite = suites.load("ml1/reach-v3")
    engine = make.engine_for(None, suite, tasks=1, worlds=1)
    engine.reset(Noise(0, (), 1, 1))
    assert float(engine._control_step[0]) == pytest.approx(1 / robot_spaces(suite).control_hz)
    assert float(engine._scale[0, 0]) == pytest.approx(0.01)
    engine.close()
