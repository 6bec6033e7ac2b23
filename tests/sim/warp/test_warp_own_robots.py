"""Robots of one's own on the GPU engine, on Warp's CPU device: they begin and are measured as on the CPU engine."""

import numpy as np
import pytest
import torch

pytest.importorskip("mujoco_warp", reason="needs the gpu extra: make test-gpu")

from robometa.noise import Noise
from robometa.sim.locomotion.engine import CpuEngine
from robometa.sim.warp.engine import WarpEngine
from tests.own_robots import compile_here, quadruped, suite_of

ARM = (
    '<mujoco><option timestep="0.005"/><worldbody><geom type="plane" size="0 0 1"/><body name="cart" pos="0 0 1">'
    '<joint name="x" type="slide" axis="-1 0 0"/><geom size="0.1"/><body name="upper"><joint name="turn" axis="0 1 0"/>'
    '<geom type="capsule" fromto="0 0 0 0.4 0 0" size="0.03"/><body name="tip" pos="0.4 0 0"><geom size="0.02"/></body>'
    '</body></body></worldbody><actuator><motor joint="x" gear="10"/><motor joint="turn" gear="5"/></actuator></mujoco>'
)


@pytest.mark.parametrize(
    ("xml", "robot"),
    [
        (quadruped(), "reset_joint_noise = 0.2\naction = { scale = 0.25 }"),
        (ARM, 'body = "tip"\nheight = [0.2, 2.0]'),
        (ARM, 'body = "cart"'),
    ],
)
def test_both_engines_agree(tmp_path, monkeypatch, xml, robot):
    compile_here(monkeypatch)
    robot += '\nobserve = ["joint_positions", "velocities", "position"]'
    suite = suite_of(tmp_path, xml, robot, "motor_strength = { uniform = [0.5, 1.0] }", tasks=2)
    engines = CpuEngine(suite, 2, 3, threads=1), WarpEngine(suite, 2, 3, device="cpu")
    first, second = (engine.reset(Noise(0, ("own",), 2, 3)) for engine in engines)
    assert torch.allclose(first, second, atol=1e-5)
    action = torch.full((2, 3, engines[0].spaces.action), 0.3)
    for _ in range(3):
        one, other = (engine.step(action) for engine in engines)
        # A foot that was lifted out of the floor is exactly on it: in float32 it may touch or not, in one world here.
        agree = (one.next_obs - other.next_obs).abs().amax(dim=-1) < 1e-3
        assert agree.sum() >= (6 if xml == ARM else 5)
        assert np.allclose(one.reward, other.reward, atol=2e-2)
        assert torch.equal(one.terminated, other.terminated)
