"""A robot of one's own with a keyframe and an action scale, and wires with delays, noise, errors and a command."""

import numpy as np
import pytest
import torch

from robometa.commands.main import main
from robometa.noise import Noise
from robometa.sim.locomotion.engine import CpuEngine
from robometa.sim.signals import robot_spaces
from tests.own_robots import HOME, compile_here, quadruped, suite_of

POSE = np.array([float(number) for number in HOME.split()])
SCALE = 0.25
ROBOT = f"""
action = {{ scale = {SCALE} }}
reset_noise = 0.0
reset_velocity_noise = 0.0
feet = ["FL_shin", "FR_shin", "RL_shin", "RR_shin"]
observe = ["joint_positions", {{ term = "joint_velocities", noise = 0.1, delay = 0.02 }}, "command", "foot_contacts"]
control_hz = 50
[command]
velocity = {{ uniform = [0.5, 1.0] }}
[sim_to_real]
"""
DELAYED = "action_delay = 0.02\n"
ERRORS = "action_delay = [0.0, 0.04]\nmotor_offset = 0.05\ngain_error = 0.1\n"
TASK = "gravity = { uniform = [0.8, 1.2] }"


@pytest.fixture(autouse=True)
def _compile_here(monkeypatch):
    compile_here(monkeypatch)


@pytest.fixture
def load(tmp_path):
    return lambda real: suite_of(tmp_path, quadruped(), ROBOT + real, TASK, "velocity", tasks=4)


def engine_of(suite):
    engine = CpuEngine(suite, 2, 3, threads=1)
    seen = engine.reset(Noise(0, ("wired",), 2, 3))
    return engine, seen


def test_joint_positions_are_relative_to_the_keyframe(load):
    suite = load(DELAYED)
    assert suite.robot.frame_skip == 10
    engine, seen = engine_of(suite)
    assert torch.equal(seen[..., :8], torch.zeros(2, 3, 8))
    offsets = [one.offset for one in robot_spaces(suite).observation[:8]]
    assert offsets == POSE.tolist()
    assert len(robot_spaces(suite).observation) == engine.spaces.observation == 21


def test_a_late_action_is_first_the_keyframe_then_what_the_mapping_says(load):
    engine, _ = engine_of(load(DELAYED))
    action = torch.full((2, 3, 8), 0.4)
    engine.step(action)
    assert np.array_equal(engine._control, np.broadcast_to(POSE, engine._control.shape))
    engine.step(action)
    assert np.allclose(engine._control, POSE + 0.4 * SCALE)


def test_errors_of_motors_change_the_mapped_controls_and_the_servos(load):
    engine, _ = engine_of(load(ERRORS))
    gains = engine._wires.gains.numpy()
    assert len(np.unique(gains)) == gains.size
    assert np.allclose(engine._models[4].actuator_gainprm[:, 0], 60 * gains[4])
    assert np.allclose(engine._models[4].actuator_biasprm[:, 1], -60 * gains[4])
    engine.step(torch.zeros(2, 3, 8))
    error = engine._control[:, -1] - POSE
    assert 0 < np.abs(error).max() <= 0.05


def test_the_feet_of_a_robot_that_stands_touch(load):
    engine, _ = engine_of(load(DELAYED))
    for _ in range(40):
        seen = engine.step(torch.zeros(2, 3, 8)).obs
    assert seen[..., 17:].all()


@pytest.mark.slow
def test_it_is_trained_and_evaluated(load, tmp_path):
    path = load(ERRORS).path
    path.write_text(path.read_text(encoding="utf-8").replace("horizon = 200", "horizon = 10"), encoding="utf-8")
    line = ["train", str(path), "maml-trpo", "--iterations", "2", "--tasks", "2", "--worlds", "2"]
    line += ["--hidden", "8", "--log", "none", "--folder", str(tmp_path / "run")]
    assert main(line) == 0
    assert main(["evaluate", str(tmp_path / "run" / "policy"), "--worlds", "2", "--shots", "1", "--tasks", "1"]) == 0
