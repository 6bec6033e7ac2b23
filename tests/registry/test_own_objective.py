"""Objectives in a user's own file: named on the command line, never by a suite or a policy."""

import os

import pytest
import torch

from robometa import suites
from robometa.commands.main import main
from robometa.errors import UserError
from robometa.noise import Noise
from robometa.registry import user_objective
from robometa.registry.given import REWARD
from robometa.sim.select import engine_of
from robometa.suites import objective_file

OWN = '''"""Objectives of a test."""


class Walk:
    """Walk, but gently."""

    parameters = {"velocity": 1}
    coefficients = {"cost": 0.5}
    senses = ("base",)
    has_success = True
    worst = -7.0

    def reward(self, quantity, parameter, weight):
        error = (quantity["forward_velocity"] - parameter["velocity"][:, 0]).abs()
        change = (quantity["action"] - quantity["last_action"]).square().sum(-1)
        return quantity["up"][:, 2] - error - weight["cost"] * change, error < 0.5


class Flat:
    """Pays one number for all worlds."""

    def reward(self, quantity, parameter, weight):
        return 1.0


class Nothing:
    """Pays nothing."""
'''
SUITE = """
objective = "walk.py:{name}"
robot = "ant"
{more}
[train]
tasks = 2
{hidden}
gravity = {{ uniform = [0.8, 1.2] }}
[test]
tasks = 1
{hidden}
gravity = {{ uniform = [0.8, 1.2] }}
"""


@pytest.fixture(autouse=True)
def forgotten(monkeypatch):
    """Lets nothing that a test names outlive it."""
    monkeypatch.setattr(objective_file, "OWN", {})
    monkeypatch.setattr(user_objective, "OWN", objective_file.OWN)
    monkeypatch.setenv(REWARD, "")


@pytest.fixture
def files(tmp_path):
    """Writes the objective's file and a suite's; returns both."""

    def write(name="Walk", more="", hidden="velocity = { uniform = [0, 1] }"):
        (tmp_path / "walk.py").write_text(OWN)
        suite = tmp_path / f"{name}-{len(list(tmp_path.iterdir()))}.toml"
        suite.write_text(SUITE.format(name=name, more=more, hidden=hidden))
        return f"{tmp_path}/walk.py:{name}", suite

    return write


def test_it_is_not_run_unasked(files):
    reference, suite = files()
    with pytest.raises(UserError, match=r"Walk of walk\.py, .* not run unasked.*--reward PATH/walk\.py.*give\("):
        suites.load(suite)
    user_objective.give(reference)
    assert suites.load(suite).objective == "walk.py:Walk"


def test_it_pays(files):
    reference, path = files(more="[coefficients]\ncost = 0.25")
    user_objective.give(reference)
    suite = suites.load(path)
    engine = engine_of(suite, 2, 2, threads=1)
    assert engine.worst_reward.tolist() == [-7.0, -7.0]
    assert suite.has_success
    engine.reset(Noise(0, ("own",), 2, 2))
    before = engine.state().physics[..., 1]
    action = torch.full((2, 2, 8), 0.5)
    outcome = engine.step(action)
    speed = torch.from_numpy(engine.state().physics[..., 1] - before) / 0.05
    asked = torch.tensor([dict(task.parameters)["velocity"] for task in suite.train])
    error = (speed - asked).abs()
    assert torch.allclose(outcome.reward.double(), 1 - error - 0.25 * 8 * 0.25, atol=0.05)
    assert torch.equal(outcome.success, error < 0.5)


def test_its_hash_is_the_suite_s(files, tmp_path):
    reference, path = files()
    user_objective.give(reference)
    first = suites.load(path).content_hash
    (tmp_path / "walk.py").write_text(OWN + "# changed\n")
    user_objective.give(reference)
    other = path.with_name("other.toml")
    other.write_text(path.read_text())
    assert suites.load(other).content_hash != first


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("Nothing", r"must be a class with the method reward\(quantity, parameter, weight\)"),
        ("Wlak", "unknown objective class 'Wlak'.*did you mean 'Walk'"),
    ],
)
def test_what_is_no_objective_is_told(files, name, told):
    reference, _ = files()
    with pytest.raises(UserError, match=told):
        user_objective.give(reference.replace("Walk", name))


def test_a_reward_of_another_shape_is_told(files):
    reference, path = files("Flat", hidden="")
    user_objective.give(reference)
    engine = engine_of(suites.load(path), 1, 2, threads=1)
    engine.reset(Noise(0, ("own",), 1, 2))
    with pytest.raises(UserError, match=r"the reward of Flat of .* must be a number for each of 2 worlds, not float"):
        engine.step(torch.zeros(1, 2, 8))


def test_a_suite_names_no_folder(files):
    _, path = files()
    path.write_text(path.read_text().replace("walk.py:", "../walk.py:"))
    with pytest.raises(UserError, match=r"has a folder|without a folder"):
        suites.load(path)


def test_the_command_line_names_it(files, capsys):
    reference, path = files()
    assert main(["suites", str(path)]) == 2
    assert "--reward" in capsys.readouterr().err
    assert main(["suites", str(path), "--reward", reference]) == 0
    assert "Walk, but gently." in capsys.readouterr().out


def test_no_variable_of_outside_names_it(files, monkeypatch):
    reference, path = files()
    monkeypatch.setenv(REWARD, reference)
    assert main(["suites", str(path)]) == 2
    assert REWARD not in os.environ


def test_the_commands_that_follow_name_it(files, tmp_path, monkeypatch, capsys):
    reference, path = files()
    monkeypatch.chdir(tmp_path)
    line = ["train", str(path), "random", "--iterations", "1", "--tasks", "1", "--worlds", "1", "--reward", reference]
    assert main([*line, "--folder", "run"]) == 0
    assert f"robometa evaluate run/policy --reward {reference}" in capsys.readouterr().out
    assert " --reward walk.py:Walk" in (tmp_path / "run" / "policy" / "README.md").read_text()
    assert main([*line, "--folder", "run"]) == 2
    assert f"`robometa resume run --reward {reference}`" in capsys.readouterr().err


@pytest.mark.slow
def test_processes_are_handed_it(files, tmp_path):
    reference, path = files()
    line = ["train", str(path), "maml-trpo", "--iterations", "1", "--tasks", "2", "--worlds", "2", "--hidden", "4"]
    line += ["--reward", reference, "--log", "none"]
    for who in ("here", "processes:2"):
        assert main([*line, "--collect", who, "--piece", "1", "--folder", str(tmp_path / who.partition(":")[0])]) == 0
    one, other = ((tmp_path / name / "policy" / "tensors.safetensors").read_bytes() for name in ("here", "processes"))
    assert one == other
    objective_file.OWN.clear()
    assert main(["evaluate", str(tmp_path / "here" / "policy"), "--worlds", "1", "--shots", "1"]) == 2  # not unasked
