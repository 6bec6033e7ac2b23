"""A suite's check measures that each variation changes the motion, and says so of one that does not."""

import pytest

from robometa.sim.influence import influences
from robometa.sim.suite_check import beginning_in_words
from tests.own_robots import compile_here, quadruped, suite_of

PAIRED = (
    '<mujoco><option timestep="0.005"/><worldbody>'
    '<geom name="floor" type="plane" size="0 0 1" contype="0" conaffinity="0"/>'
    '<body name="torso" pos="0 0 0.1"><joint name="x" type="slide" axis="1 0 0"/><joint type="slide" axis="0 0 1"/>'
    '<geom name="belly" type="box" size="0.2 0.2 0.1" mass="1" contype="0" conaffinity="0"/></body></worldbody>'
    '<contact><pair geom1="floor" geom2="belly"/></contact><actuator><motor joint="x" gear="20"/></actuator></mujoco>'
)


@pytest.fixture(autouse=True)
def _compile_here(monkeypatch):
    compile_here(monkeypatch)


@pytest.mark.parametrize(
    ("name", "values"),
    [("payload", "{ uniform = [0.0, 3.0] }"), ("motor_strength", "0.5"), ("geom_friction", "0.3"), ("slope", "0.1")],
)
def test_a_variation_that_matters_is_measured(tmp_path, name, values):
    (found,) = influences(suite_of(tmp_path, quadruped(), task=f"{name} = {values}", tasks=3))
    assert found.parameter == name
    assert found.moves
    assert 1e-4 < found.joints < 3
    assert f"{name} moves the body by up to" in str(found)


def test_a_variation_that_changes_nothing_is_told(tmp_path):
    undamped = quadruped().replace('damping="1"', 'damping="0"')
    (found,) = influences(suite_of(tmp_path, undamped, task="joint_damping = 2.0"))
    assert not found.moves
    assert "joint_damping CHANGES NOTHING" in str(found)


def test_friction_of_a_contact_pair_is_measured(tmp_path):
    (found,) = influences(suite_of(tmp_path, PAIRED, task="geom_friction = 0.0"))
    assert found.body > 0.01


def test_the_beginning_is_described(tmp_path):
    assert beginning_in_words(suite_of(tmp_path, quadruped())) == "at the keyframe home"
    drawn = beginning_in_words(suite_of(tmp_path, quadruped(), 'keyframe = "qpos0"'))
    assert drawn.startswith(
        "as the model is drawn; 100 mm in the ground, and begins that much higher; joint FL_knee outside"
    )
    assert drawn.endswith("keyframes: home")
