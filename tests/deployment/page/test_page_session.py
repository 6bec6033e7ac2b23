"""A policy at work as the page runs it, on every robot."""

import numpy as np
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
