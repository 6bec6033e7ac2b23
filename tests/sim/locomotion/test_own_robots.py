"""A robot of one's own means what its model says: where it begins, what actions are, and what is measured."""

import math

import mujoco
import numpy as np
import pytest
import torch

from robometa.errors import UserError
from robometa.sim.locomotion import models
from robometa.sim.locomotion.beginnings import TOUCHING, notes
from robometa.sim.locomotion.engine import CpuEngine
from robometa.sim.locomotion.ground import depths
from robometa.sim.locomotion.signals import robot_spaces
from robometa.sim.suite_check import check_suite
from tests.own_robots import FLOOR, HOME, compile_here, engine_of, positions, quadruped, suite_of

POSE = np.array([float(number) for number in HOME.split()])
STILL = "reset_noise = 0.0\nreset_velocity_noise = 0.0\n"


@pytest.fixture(autouse=True)
def _compile_here(monkeypatch):
    compile_here(monkeypatch)


def place(engine, body, world=0):
    data = mujoco.MjData(engine.model)
    data.qpos[:] = positions(engine)[world]
    mujoco.mj_kinematics(engine.model, data)
    return data.body(body).xpos.copy()


def test_an_episode_begins_at_home_and_an_action_of_0_holds_it(tmp_path):
    engine = engine_of(suite_of(tmp_path, quadruped(), STILL))
    assert positions(engine)[0].tolist() == [0, 0, 0.27, 1, 0, 0, 0, *POSE]
    assert engine._reader.control(torch.zeros(1, 8))[0].tolist() == POSE.tolist()
    for _ in range(30):
        engine.step(torch.zeros(1, 1, 8))
    assert np.abs(positions(engine)[0][7:] - POSE).max() < 0.3
    assert 0.2 < place(engine, "trunk")[2] < 0.3


def test_noise_leaves_joints_in_their_ranges_and_feet_above_the_floor(tmp_path):
    engine = engine_of(suite_of(tmp_path, quadruped(), "reset_joint_noise = 1.5\n"), worlds=40)
    model, data = engine.model, mujoco.MjData(engine.model)
    low, high = model.jnt_range[1:].T
    for pose in positions(engine):
        assert (pose[7:] >= low).all()
        assert (pose[7:] <= high).all()
        assert np.linalg.norm(pose[3:7]) == pytest.approx(1)
        data.qpos[:] = pose
        assert max(depths(model, data).values(), default=0.0) <= 2 * TOUCHING
    assert positions(engine)[:, 7].std() > 0.3


def test_noise_of_base_joints_and_velocities_is_apart(tmp_path):
    keys = "reset_base_noise = 0.0\nreset_joint_noise = 0.01\nreset_velocity_noise = 0.5\n"
    engine = engine_of(suite_of(tmp_path, quadruped(height=0.4), keys), worlds=20)
    assert (positions(engine)[:, :7] == [0, 0, 0.4, 1, 0, 0, 0]).all()
    assert 0.003 < (positions(engine)[:, 7:] - POSE).std() < 0.01
    assert engine.state().physics[0, :, 16:30].std() > 0.1


def test_a_keyframe_in_the_floor_is_told_and_lifted(tmp_path):
    suite = suite_of(tmp_path, quadruped(height=0.2), STILL)
    engine = engine_of(suite)
    assert notes(engine.model, suite.robot) == ["69 mm in the ground, and begins that much higher"]
    assert positions(engine)[0, 2] == pytest.approx(0.2686, abs=1e-3)


def test_a_model_without_its_keyframe_begins_as_drawn_and_its_joints_are_told(tmp_path):
    suite = suite_of(tmp_path, quadruped(), STILL + 'keyframe = "qpos0"\n')
    engine = engine_of(suite)
    assert positions(engine)[0, 7:].tolist() == [0, -0.9] * 4
    assert any("joint FL_knee outside its range by 0.9" in note for note in notes(engine.model, suite.robot))
    with pytest.raises(UserError, match=r"unknown keyframe 'hom' in robot\.xml .did you mean 'home'"):
        engine_of(suite_of(tmp_path, quadruped(), 'keyframe = "hom"'))


def test_a_keyframe_may_be_given_by_its_number(tmp_path):
    engine = engine_of(suite_of(tmp_path, quadruped(), STILL + "keyframe = 0\n"))
    assert positions(engine)[0, 7:].tolist() == POSE.tolist()
    with pytest.raises(UserError, match=r"needs a keyframe.*write centre = 'range', or leave centre out"):
        engine_of(suite_of(tmp_path, quadruped(), 'keyframe = "qpos0"\naction = { centre = "keyframe" }\n'))
    with pytest.raises(UserError, match=r"unknown keyframe '7' in robot\.xml"):
        engine_of(suite_of(tmp_path, quadruped(), "keyframe = 7\n"))


def test_limits_that_end_an_episode_where_it_begins_are_told_in_place_of_influences(tmp_path):
    keys = STILL + "height = [0.5, 1.0]\n"
    checked = check_suite(suite_of(tmp_path, quadruped(), keys))
    assert checked.beginning.startswith("at the keyframe home; ENDS THE EPISODE AT ITS FIRST STEP")
    assert not checked.influences


def test_a_servo_without_a_control_range_has_its_joints(tmp_path):
    actions = robot_spaces(suite_of(tmp_path, quadruped(), 'action = { centre = "range" }')).action
    assert np.allclose([(one.low, one.high) for one in actions[:2]], [(-0.7, 2.5), (-2.7, -0.9)])


def test_actions_are_scaled_around_the_keyframe_and_clipped_at_the_range(tmp_path):
    suite = suite_of(tmp_path, quadruped(), 'action = { centre = "keyframe", scale = 0.25 }')
    control = engine_of(suite)._reader.control
    assert torch.allclose(control(torch.ones(1, 8))[0], torch.tensor(POSE + 0.25).double())
    spaces = robot_spaces(suite_of(tmp_path, quadruped(), "action = { scale = [1.0, 1.0, 1, 1, 1, 1, 1, 1] }"))
    ends = (
        spaces.in_actuator_units(np.ones(8)),
        spaces.in_actuator_units(-np.ones(8)),
        spaces.in_actuator_units(np.zeros(8)),
    )
    assert np.allclose([end[:2] for end in ends], [[1.9, -0.9], [-0.1, -2.7], [0.9, -1.8]])


@pytest.mark.parametrize(
    ("key", "told"),
    [
        ("action = { scale = [1.0, 2.0] }", "action.scale of robot.xml needs 1 number or 8"),
        ("action = { scale = 0 }", "scale must be above 0"),
        ('action = { centre = "middle" }', "centre must be one of keyframe, range"),
        ("action = { center = 1 }", "unknown key 'center'"),
        ("gains = { damping = 1 }", "stiffness is missing"),
        ("gains = { stiffness = [1, 2] }", "gains.stiffness of robot.xml needs 1 number or 8"),
        ("reset_joint_noise = -1", "must not be negative"),
        ('body = "lost"', "unknown body 'lost'"),
    ],
)
def test_a_wrong_key_is_told(tmp_path, key, told):
    with pytest.raises(UserError, match=told):
        CpuEngine(suite_of(tmp_path, quadruped(), key), 1, 1, threads=1)


def test_a_servos_rest_is_its_place_where_a_keyframe_has_no_controls(tmp_path):
    control = engine_of(suite_of(tmp_path, quadruped(ctrl="")))._reader.control
    assert control(torch.zeros(1, 8))[0].tolist() == pytest.approx(POSE.tolist())


def test_gains_make_servos_of_motors(tmp_path):
    xml = quadruped(kind="motor", more='gear="2" ctrlrange="-5 5"', ctrl="")
    engine = engine_of(suite_of(tmp_path, xml, STILL + "gains = { stiffness = 30.0, damping = 0.5 }"))
    model, data = engine.model, mujoco.MjData(engine.model)
    data.qpos[:] = model.key_qpos[0]
    data.qpos[7] += 0.1
    data.qvel[6] = 0.2
    data.ctrl[:] = engine._reader.control(torch.zeros(1, 8))[0].numpy()
    mujoco.mj_forward(model, data)
    assert data.qfrc_actuator[6] == pytest.approx(-30 * 0.1 - 0.5 * 0.2)
    data.qpos[7] -= 1
    mujoco.mj_forward(model, data)
    assert data.qfrc_actuator[6] == pytest.approx(10)  # what the motor gave at the end of its control's range


def test_gains_give_a_model_without_actuators_one_for_each_joint(tmp_path):
    xml = quadruped(ctrl="")
    bare = xml[: xml.index("<actuator>")] + xml[xml.index("</actuator>") + len("</actuator>") :]
    with pytest.raises(UserError, match=r"needs an actuator.*gains gives it servos"):
        CpuEngine(suite_of(tmp_path, bare), 1, 1, threads=1)
    engine = engine_of(suite_of(tmp_path, bare, "gains = { stiffness = 30.0, damping = 0.5, effort = 20.0 }"))
    assert [engine.model.actuator(index).name for index in range(2)] == ["FL_hip", "FL_knee"]
    assert engine.spaces.action == 8


SLED = (
    '<mujoco><option timestep="0.01"/><worldbody><geom type="plane" size="0 0 1"/>{above}<body name="torso" {pose}>'
    '{joints}<geom type="box" size="0.1 0.1 0.1" mass="1" friction="0 0 0"/></body>{below}</worldbody>'
    '<actuator><motor joint="x" gear="{gear}" ctrlrange="-1 1" ctrllimited="true"/></actuator></mujoco>'
)
SLIDES = '<joint name="x" type="slide" axis="{axis}" damping="1"/><joint name="z" type="slide" axis="0 0 1"/>'


@pytest.mark.parametrize(
    ("axis", "pose", "above", "below"),
    [
        ("1 0 0", 'pos="0 0 0.2"', "", ""),
        ("-1 0 0", 'pos="0 0 0.2"', "", ""),
        ("0 1 0", 'pos="0 0 0.2" euler="0 0 -90"', "", ""),
        ("1 1 0", 'pos="3 1 0.2"', "", ""),
        ("1 0 0", 'pos="3 1 0.2" euler="0 0 30"', "", ""),
        ("1 0 0", 'pos="0 0 0.2"', '<body pos="0 2 0" euler="0 0 45">', "</body>"),
    ],
)
def test_a_slide_is_measured_in_the_world(tmp_path, axis, pose, above, below):
    xml = SLED.format(above=above, pose=pose, joints=SLIDES.format(axis=axis), below=below, gear=5)
    suite = suite_of(tmp_path, xml, STILL + 'observe = ["velocities", "position"]\n')
    engine = engine_of(suite)
    start = place(engine, "torso")
    paid = sum(engine.step(torch.ones(1, 1, 1)).reward.item() for _ in range(10))
    outcome = engine.step(torch.ones(1, 1, 1))
    moved = place(engine, "torso") - start
    assert (paid + outcome.reward.item()) * engine.control_step == pytest.approx(moved[0], abs=1e-6)
    assert abs(moved[0]) > 1e-3
    assert (
        outcome.obs[0, 0, -2:].tolist() == pytest.approx(place(engine, "torso")[:2].tolist(), abs=1e-6)
        or "y" not in axis
    )


ARM = (
    '<mujoco><option timestep="0.005"/><worldbody><geom type="plane" size="0 0 1"/><body name="cart" pos="0 0 1">'
    '<joint name="x" type="slide" axis="1 0 0"/><geom size="0.1"/><body name="upper"><joint name="turn" axis="0 1 0"/>'
    '<geom type="capsule" fromto="0 0 0 0.4 0 0" size="0.03"/><body name="tip" pos="0.4 0 0"><geom size="0.02"/></body>'
    '</body></body></worldbody><actuator><motor joint="x" gear="10"/><motor joint="turn" gear="5"/></actuator></mujoco>'
)


def test_a_body_below_a_hinge_is_measured_after_the_step(tmp_path):
    suite = suite_of(tmp_path, ARM, 'body = "tip"\nheight = [0.7, 2.0]\n')
    engine = engine_of(suite)
    for step in range(60):
        before = place(engine, "tip")
        outcome = engine.step(torch.full((1, 1, 2), math.sin(0.1 * step)))
        if outcome.terminated:
            break
        speed = (place(engine, "tip") - before)[0] / engine.control_step
        assert outcome.reward.item() == pytest.approx(speed, abs=1e-5)
    assert outcome.terminated.item() == (before[2] < 0.75 or before[2] > 1.9)


def test_a_robot_without_a_floor_is_refused_and_can_be_given_one(tmp_path):
    with pytest.raises(UserError, match=r"robot\.xml has no floor, so that trunk falls for ever"):
        CpuEngine(suite_of(tmp_path, quadruped(floor="")), 1, 1, threads=1)
    engine = engine_of(suite_of(tmp_path, quadruped(floor=""), "floor = true"))
    for _ in range(100):
        engine.step(torch.zeros(1, 1, 8))
    assert place(engine, "trunk")[2] > 0.05


@pytest.mark.parametrize(
    "floor",
    [
        '<geom type="box" size="5 5 0.1" pos="0 0 -0.1"/>',
        '<geom type="hfield" hfield="hills"/></worldbody><asset>'
        '<hfield name="hills" nrow="3" ncol="3" size="5 5 0.05 0.1" '
        'elevation="0 1 0 1 0 1 0 1 0"/></asset><worldbody>',
    ],
)
def test_a_robot_stands_on_a_floor_that_is_no_plane(tmp_path, floor):
    engine = engine_of(suite_of(tmp_path, quadruped(floor=floor), STILL))
    data = mujoco.MjData(engine.model)
    data.qpos[:] = positions(engine)[0]
    assert max(depths(engine.model, data).values(), default=0.0) <= 2 * TOUCHING
    for _ in range(50):
        engine.step(torch.zeros(1, 1, 8))
    assert place(engine, "trunk")[2] > 0.15


def test_a_body_that_no_joint_carries_is_refused(tmp_path):
    xml = quadruped(floor=FLOOR + '<body name="post"><geom size="0.1" contype="0" conaffinity="0"/></body>')
    with pytest.raises(UserError, match=r"body 'post' of robot\.xml cannot move"):
        CpuEngine(suite_of(tmp_path, xml, 'body = "post"'), 1, 1, threads=1)


def test_one_free_joint_leaves_one_body_even_without_a_name(tmp_path):
    assert suite_of(tmp_path, quadruped()).robot.body == "trunk"
    unnamed = suite_of(tmp_path, quadruped().replace('name="trunk"', ""))
    assert unnamed.robot.body == "body-1"
    assert engine_of(unnamed).step(torch.zeros(1, 1, 8)).reward.isfinite().all()


def test_recent_models_are_kept_within_a_limit_of_bytes(tmp_path, monkeypatch):
    suite = suite_of(tmp_path, quadruped(), task="payload = { uniform = [0.0, 1.0] }", tasks=6)
    monkeypatch.setattr(models, "_kept", {})
    size = mujoco.mj_sizeModel(models.compiled(suite.robot)[0])
    monkeypatch.setattr(models, "MOST_KEPT", 3 * size + 100)
    first = models.varied(suite.train[0])
    assert models.varied(suite.train[0]) is first
    for task in suite.train:
        models.varied(task)
    assert len(models._kept) == 3
    assert models.varied(suite.train[0]) is not first


@pytest.mark.parametrize(
    ("old", "new", "robot", "told"),
    [
        ("</mujoco>", '<sensor><clock name="robometa/x"/></sensor></mujoco>', "", "begins with robometa/"),
        ("</mujoco>", '<sensor><clock name="robometa/feet/0"/></sensor></mujoco>', "", "begins with robometa/"),
        ('timestep="0.002"', 'timestep="1e-300"', "control_hz = 1e-100", "must be from 1e-06 to 1 s"),
        ('timestep="0.002"', 'timestep="1e5"', "control_hz = 1e-100", "must be from 1e-06 to 1 s"),
        ('range="-0.7 2.5"', 'range="-1e308 1e308"', "", "has a range beyond 1e+09"),
        ('qpos="0 0', 'qpos="1e308 0', "", "begin at numbers beyond 1e+09"),
    ],
)
def test_what_no_policy_can_work_with_is_told(tmp_path, old, new, robot, told):
    with pytest.raises(UserError) as error:
        robot_spaces(suite_of(tmp_path, quadruped().replace(old, new), robot))
    assert told in str(error.value)
