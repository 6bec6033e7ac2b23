"""The check of a suite's file finds what a training would find."""

import shutil
from pathlib import Path

import pytest

from robometa import suites
from robometa.commands.main import main
from robometa.errors import UserError
from robometa.sim.suite_check import check_suite
from robometa.suites.robots import gymnasium_asset
from tests.own_robots import compile_here, quadruped

HEAD = 'objective = "forward"\n'
TASKS = "[train]\ntasks = 1\ngravity = 1.0\n[test]\ntasks = 1\ngravity = 1.1\n"


@pytest.fixture
def shown(tmp_path, monkeypatch, capsys):
    """Shows a suite's file, and returns the exit code and all that is said."""
    monkeypatch.chdir(tmp_path)

    def show(text):
        Path("mine.toml").write_text(text, encoding="utf-8")
        code = main(["suites", "./mine.toml"])
        said = capsys.readouterr()
        return code, said.out + said.err

    return show


def test_a_body_and_a_sensor_that_are_not_there_are_both_named(shown):
    robot = '[robot]\nname = "hopper"\nbody = "nope"\nquantities = { forward_velocity = "no such sensor" }\n'
    code, said = shown(HEAD + robot + TASKS)
    assert code == 2
    assert "unknown body 'nope'" in said
    assert "unknown sensor 'no such sensor'" in said


def test_a_byte_order_mark_is_named(shown):
    code, said = shown("\ufeff" + HEAD + 'robot = "hopper"\n' + TASKS)
    assert code == 2
    assert "byte order mark" in said


@pytest.mark.parametrize(
    ("variation", "message"),
    [
        ("body_mass = { uniform = [-1.0, 0.0] }", "body_mass must be above 0, not -"),
        ("geom_friction = { uniform = [-1.0, -0.5] }", "geom_friction must be at least 0, not -"),
        ("joint_damping = -1.0", "joint_damping must be at least 0, not -1"),
        ("payload = -1000.0", "payload must be more than -"),
    ],
)
def test_a_variation_that_no_model_can_have_is_refused(shown, variation, message):
    code, said = shown(HEAD + 'robot = "hopper"\n' + TASKS.replace("gravity = 1.0", variation))
    assert code == 2
    assert message in said


def test_sizes_rate_and_the_order_of_actuators_are_shown(shown):
    code, said = shown(HEAD + 'robot = "half-cheetah"\n' + TASKS)
    words = " ".join(said.split())
    assert code == 0
    assert "observation 18 numbers:" in words
    assert "action 6 numbers: bthigh [120 N m], -1 to 1 bshin" in words
    assert "control rate 20 actions per second" in words


def test_a_model_is_shown_with_a_suite_that_passes_the_check(shown, tmp_path, capsys):
    shutil.copy(gymnasium_asset("hopper.xml"), tmp_path / "robot.xml")
    assert main(["suites", "./robot.xml"]) == 0
    said = capsys.readouterr().out
    assert "4 bodies: torso, thigh, leg, foot" in said
    code, checked = shown(said[said.index("objective =") :])
    assert code == 0, checked


def test_a_model_that_is_not_there_is_named(shown, capsys):
    assert main(["suites", "./gone.xml"]) == 2
    assert "no robot file 'gone.xml'" in capsys.readouterr().err


def test_a_model_is_shown_with_ranges_keyframes_and_a_suite_that_passes_the_check(shown, tmp_path, capsys, monkeypatch):
    compile_here(monkeypatch)
    (tmp_path / "parts").mkdir()
    (tmp_path / "parts" / "robot.xml").write_text(quadruped(floor=""), encoding="utf-8")
    assert main(["suites", "parts/robot.xml"]) == 0
    said = capsys.readouterr().out
    for words in (
        "9 bodies: trunk, FL,",
        "FL_hip (-0.7 to 2.5 rad)",
        "FL_knee (position servo, -2.7 to -0.9)",
        "1 keyframes: home",
        'mjcf = "parts/robot.xml"',
        'body = "trunk"',
        "frame_skip = 10",
        'keyframe = "home"',
        "floor = true",
    ):
        assert words in said
    code, checked = shown(said[said.index("objective =") :])
    words = " ".join(checked.split())
    assert code == 0, checked
    assert "begins at the keyframe home" in words
    assert "body_mass moves the body by up to" in words
    assert "motor_strength moves the body by up to" in words


def test_what_a_task_would_become_is_checked_too(tmp_path):
    file = tmp_path / "light.toml"
    payload = "payload = { uniform = [0, 1] }\n"
    file.write_text(
        'robot = "half-cheetah"\nobjective = "forward"\n'
        f"[train]\ntasks = 2\n{payload}[test]\ntasks = 2\n{payload}"
        "[change]\nevery = 5\ndrift = { payload = -0.1 }\nlimits = { payload = [-90, 1] }\n"
    )
    with pytest.raises(UserError, match="payload must be more than"):
        check_suite(suites.load(str(file)))
