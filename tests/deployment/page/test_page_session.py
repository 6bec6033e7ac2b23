"""A policy at work as the page runs it, on every robot."""

import numpy as np
import own_robots
import pytest
from conftest import SMALL_OPTIONS
from node_tools import needs, node

from robometa import suites
from robometa.deployment.export import converted
from robometa.deployment.page.page import described_policy
from robometa.policies.policy import Policy
from robometa.registry.options import read_config
from robometa.trials import make

pytest.importorskip("onnx", reason="the extra onnx is not installed")


WALK = """horizon = 40
[objective]
track_velocity = { weight = 1.0, sigma = 0.25 }
energy = -0.002
feet_air_time = 0.5
[command]
velocity = { uniform = [0.5, 1.5] }
resample = [0.5, 1.0]
[robot]
mjcf = "robot.xml"
frame_skip = 10
floor = true
gains = { stiffness = 40, damping = 1 }
action = { scale = 0.3 }
feet = ["FL_shin", "FR_shin", "RL_shin", "RR_shin"]
observe = [{ term = "projected_gravity", noise = 0.05 }, { term = "joint_positions", history = 2 }, "command"]
[sim_to_real]
gain_error = 0.1
pushes = { every = [0.2, 0.3], speed = 0.3 }
"""


@needs("@mujoco/mujoco")
def test_a_legged_robot_runs_at_the_command_that_the_visitor_gives(tmp_path, monkeypatch):
    own_robots.compile_here(monkeypatch)
    (tmp_path / "robot.xml").write_text(own_robots.quadruped(floor=""), encoding="utf-8")
    path = tmp_path / "walk.toml"
    tasks = "".join(
        f"[{split}]\ntasks = 2\nseed = {seed}\npayload = {{ uniform = [0.0, 1.0] }}\n"
        for seed, split in enumerate(("train", "test"))
    )
    path.write_text(WALK + tasks, encoding="utf-8")
    suite = suites.load(path)
    policy = Policy(make.build("rl2", read_config("rl2", SMALL_OPTIONS["rl2"]), suite, seed=3), suite, "rl2")
    found = node("session.mjs", {"policy": described_policy("walk", policy, converted(policy)), "steps": 50})
    assert np.isfinite(np.array(found["numbers"], dtype=float)).all()
    assert found["wanted"] == 1.0
    assert found["asked"] == "1.00 m/s"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "asked", "base"),
    [
        ("ant-worn", "", ["joint_offset", "motor_strength"]),
        ("ant-goal", "m, ", []),
        ("ant-direction-2d", "\N{DEGREE SIGN}", []),
        ("walker2d-params", "", ["body_mass", "geom_friction", "joint_damping"]),
        ("hopper-params", "", ["body_mass", "geom_friction", "joint_damping"]),
        ("humanoid-direction-2d", "\N{DEGREE SIGN}", []),
        ("sparse-point-robot", "m, ", []),
        ("rover-goal", "m, ", []),
        ("half-cheetah-crippled", "", ["motor_strength"]),
    ],
)
@needs("@mujoco/mujoco")
def test_every_robot_runs_with_every_handle_at_its_ends(name, asked, base):
    suite = suites.load(name)
    policy = Policy(make.build("rl2", read_config("rl2", SMALL_OPTIONS["rl2"]), suite, seed=3), suite, "rl2")
    found = node("session.mjs", {"policy": described_policy(name, policy, converted(policy)), "steps": 30})
    numbers = np.array(found["numbers"], dtype=float)
    assert len(numbers) > 150
    assert np.isfinite(numbers).all()
    assert asked in found["asked"]
    assert sorted(found["base"]) == base
