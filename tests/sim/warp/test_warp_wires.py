"""Wires on the GPU engine, on Warp's CPU device: those of the CPU engine, within what float32 holds."""

import numpy as np
import pytest
import torch

pytest.importorskip("mujoco_warp", reason="needs the gpu extra: make test-gpu")

from robometa import suites
from robometa.noise import Noise
from robometa.sim.locomotion.engine import CpuEngine
from robometa.sim.warp import engine as warp_engine
from robometa.sim.warp.engine import WarpEngine

TASKS, WORLDS = 2, 2
SUITE = """
horizon = 5
[objective]
track_velocity = 1.0
energy = -0.001
smoothness = -0.1
pose = -0.1
upright = 0.5
feet_air_time = 0.5
[command]
velocity = { uniform = [0.5, 1.0] }
lateral_velocity = { values = [-0.1, 0.0, 0.1] }
yaw_rate = { normal = [0.0, 0.2] }
resample = [0.1, 0.2]
[robot]
name = "ant"
feet = ["left_ankle_geom", "right_ankle_geom", "third_ankle_geom", "fourth_ankle_geom"]
observe = [
  { term = "base_angular_velocity", noise = 0.2 },
  { term = "base_linear_velocity", frame = "heading" },
  { term = "projected_gravity", noise = { normal = 0.05 } },
  { term = "joint_positions", bias = 0.02, history = 2 },
  { term = "joint_velocities", scale = 0.05, clip = 3.0, delay = 0.05 },
  "last_action", "command", "foot_contacts", "base_height", "base_orientation",
]
[sim_to_real]
action_delay = [0.0, 0.08]
motor_offset = 0.05
gain_error = 0.1
pushes = { every = [0.1, 0.2], speed = 0.5, turn = 0.3 }
[train]
tasks = 3
gravity = { uniform = [0.8, 1.2] }
[test]
tasks = 2
gravity = { uniform = [0.8, 1.2] }
"""


@pytest.fixture
def suite(tmp_path):
    """A suite with everything between policy and robot."""
    (tmp_path / "wired.toml").write_text(SUITE)
    return suites.load(str(tmp_path / "wired.toml"))


def noise():
    return Noise(0, ("wires",), TASKS, WORLDS)


def actions(steps):
    draws = torch.rand(steps, TASKS, WORLDS, 8, generator=torch.Generator().manual_seed(0))
    return 2 * draws - 1


def close(one, other):
    return torch.allclose(torch.as_tensor(one).double(), torch.as_tensor(other).double(), rtol=2e-3, atol=2e-3)


def test_a_step_is_that_of_the_cpu_engine(suite):
    """From the same state and memory, through resets, drawn commands and pushes."""
    exact = CpuEngine(suite, TASKS, WORLDS, threads=1)
    ours = WarpEngine(suite, TASKS, WORLDS, device="cpu")
    assert ours.spaces == exact.spaces
    assert close(exact.reset(noise()), ours.reset(noise()))
    assert close(exact.state().memory, ours.state().memory)
    assert close(exact.worst_reward, ours.worst_reward)
    for action in actions(11):
        ours.restore(exact.state())
        wanted, found = exact.step(action), ours.step(action)
        assert close(wanted.next_obs, found.next_obs)
        assert close(wanted.obs, found.obs)
        assert close(wanted.reward, found.reward)
        assert torch.equal(wanted.success, found.success)
        assert close(exact.state().memory, ours.state().memory)
        gains = torch.from_numpy(np.stack([model.actuator_gainprm[:, 0] for model in exact._models]))
        assert close(gains, ours._worlds.wires._on_device[0][..., 0])
    ours.assign(suite.train[1:])  # the nominal gains come from the models anew
    exact.assign(suite.train[1:])
    assert close(exact.reset(noise()), ours.reset(noise()))


def test_capturing_changes_nothing(suite, monkeypatch):
    """Capturing tries every part once: what it does to the memory is taken back."""

    def tried(work, device):
        work()
        return work

    for maker in ("torch_graph", "warp_graph"):
        monkeypatch.setattr(warp_engine, maker, tried)
    plain, captured = (WarpEngine(suite, TASKS, WORLDS, device="cpu") for _ in range(2))
    captured._graphs = True
    assert torch.equal(plain.reset(noise()), captured.reset(noise()))
    for step, action in enumerate(actions(7)):
        captured._worlds.starts.moved = step == 3
        for one, other in zip(plain.step(action), captured.step(action), strict=True):
            assert torch.equal(one, other)
    assert np.array_equal(plain.state().memory, captured.state().memory)
