"""Suites with noise, delays, commands and pushes: the same bytes whoever collects."""

import pytest

from robometa.commands.main import main

SUITE = """
horizon = 8
objective = { track_velocity = 1.0, smoothness = -0.1 }
command = { velocity = { uniform = [0.5, 1.0] }, resample = 0.1 }
[robot]
name = "ant"
observe = [
  { term = "joint_positions", noise = 0.1, bias = 0.1, history = 2 },
  { term = "projected_gravity", delay = 0.05 }, "last_action", "command",
]
[sim_to_real]
action_delay = [0.0, 0.05]
motor_offset = 0.1
gain_error = 0.1
pushes = { every = 0.1, speed = 0.5 }
[train]
tasks = 6
gravity = { uniform = [0.8, 1.2] }
[test]
tasks = 2
gravity = { uniform = [0.8, 1.2] }
"""


@pytest.mark.slow
def test_processes_compute_the_same_bytes(tmp_path):
    """Two processes load torch each."""
    (tmp_path / "wired.toml").write_text(SUITE)
    line = ["train", str(tmp_path / "wired.toml"), "maml-trpo", "--iterations", "2", "--tasks", "4", "--worlds", "3"]
    line += ["--hidden", "8", "--piece", "1", "--log", "none"]
    for who in ("here", "processes:2"):
        assert main([*line, "--collect", who, "--folder", str(tmp_path / who.partition(":")[0])]) == 0
    one, other = ((tmp_path / name / "policy" / "tensors.safetensors").read_bytes() for name in ("here", "processes"))
    assert one == other
    policy = str(tmp_path / "here" / "policy")
    assert main(["evaluate", policy, "--worlds", "2", "--shots", "1", "--tasks", "1"]) == 0
    assert main(["verify", str(tmp_path / "here")]) == 0
