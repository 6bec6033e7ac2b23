"""Families of suites: each is in every room's table, and nobody else asks what kind a suite is."""

import dataclasses
import re
from pathlib import Path

import pytest

import robometa
from robometa import suites
from robometa.errors import UserError
from robometa.evaluation import protocols
from robometa.sim import postmortem, select, signals
from robometa.suites.family import Family
from robometa.suites.locomotion import LOCOMOTION, Locomotion
from robometa.suites.metaworld import MetaWorld
from robometa.suites.objectives import OBJECTIVES
from robometa.video import storyboard

FAMILIES = (Locomotion, MetaWorld)


def test_every_family_is_known_in_every_room():
    assert set(Family.__subclasses__()) == set(FAMILIES)
    names = {family.name for family in FAMILIES}
    assert len(names) == len(FAMILIES)
    for table in (select.CPU_ENGINES, signals.SIGNALS, postmortem.SIMULATIONS, storyboard.SUBJECTS):
        assert set(table) == names


@pytest.mark.parametrize(
    ("name", "family"), [("ant-goal", Locomotion), ("ml1/reach-v3", MetaWorld), ("mt10", MetaWorld)]
)
def test_a_suite_has_its_family(name, family):
    assert isinstance(suites.load(name).family, family)


def test_nobody_else_asks_what_kind_a_suite_is():
    """`suite.benchmark is None` was once asked in nine files."""
    package = Path(robometa.__file__).parent
    kinds = re.compile(r"\b(MetaWorld|Locomotion|LOCOMOTION)\b|benchmark is")
    asking = {
        path.relative_to(package).as_posix()
        for path in package.rglob("*.py")
        if kinds.search(path.read_text(encoding="utf-8"))
    }
    families = {"suites/locomotion.py", "suites/metaworld.py", "suites/parse.py"}
    own = {"sim/metaworld/engine.py", "video/metaworld_scene.py", "evaluation/protocols.py"}
    assert asking == families | own


def test_the_first_tasks_of_locomotion_are_the_first_of_the_list():
    suite = suites.load("ant-goal")
    assert suite.family.first(suite.test, 3) == suite.test[:3]
    for count in (0, len(suite.test) + 1):
        with pytest.raises(UserError, match=f"tasks must be from 1 to {len(suite.test)}, not {count}"):
            suite.family.first(suite.test, count)


def test_one_task_is_counted_as_one():
    suite = suites.load("ant-goal")
    assert suite.family.listing(suite.test[:1])[0] == "1 task"
    assert suite.family.listing(suite.test[:2])[0] == "2 tasks"


def test_the_first_tasks_of_meta_world_are_goals_of_each_name():
    suite = suites.load("mt10")
    first = suite.family.first(suite.train, 2)
    assert [task.objective for task in first[::2]] == list(dict.fromkeys(task.objective for task in suite.train))
    assert len(first) == 20
    with pytest.raises(UserError, match="goals of each task must be from 1 to 50, not 51"):
        suite.family.first(suite.train, 51)


def test_a_protocol_is_of_one_family():
    few_shot, finite, other = (suites.load(name) for name in ("ml10", "mt10", "ant-goal"))
    assert protocols.default(few_shot) is protocols.find("metaworld-few-shot-v1", few_shot)
    assert protocols.default(finite) is None
    assert protocols.of_family(finite.family)
    assert protocols.default(other) is None
    assert not protocols.of_family(other.family)
    with pytest.raises(UserError, match="is for Meta-World's suites, not for ant-goal"):
        protocols.find("metaworld-few-shot-v1", other)


def test_a_family_without_warp_says_why():
    assert LOCOMOTION.warp_obstacle is None
    assert "mujoco 3.3.0" in suites.load("ml10").family.warp_obstacle


@pytest.mark.parametrize("name", OBJECTIVES)
def test_an_objective_is_shown_by_numbers_that_it_has(name):
    objective = OBJECTIVES[name]
    display = objective.display
    assert (display.marker == "none") == (display.parameter is None)
    assert display.parameter is None or display.parameter in objective.parameters
    assert {display.tolerance, display.norm} - {None} <= set(objective.coefficients)
    assert display.words([1.0] * objective.parameters.get(display.parameter, 0))


def test_an_objective_of_ones_own_needs_no_other_change_to_be_shown(monkeypatch):
    """The film reads how to show an objective from the objective."""
    plain = OBJECTIVES["velocity"]
    display = dataclasses.replace(plain.display, words=lambda pace: f"pace {pace[0]:.0f}", parameter="pace")
    monkeypatch.setitem(OBJECTIVES, "pace", dataclasses.replace(plain, parameters={"pace": 1}, display=display))
    suite = suites.load("half-cheetah-velocity")
    task = dataclasses.replace(suite.test[0], objective="pace", parameters=(("pace", (2.0,)),))
    assert storyboard.in_words(task) == "pace 2"
    target = storyboard.subject(suite, task).target
    assert (target.kind, target.values, target.tolerance) == ("speed", (2.0,), 0.2)
