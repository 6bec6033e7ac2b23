"""Meta-World's suites: which tasks stand on which side, that their goals are upstream's, and what mistakes are told."""

import subprocess
import sys

import numpy as np
import pytest

from robometa import suites
from robometa.errors import UserError
from robometa.sim.metaworld import upstream
from robometa.suites import metaworld as benchmarks
from robometa.suites.shipped import benchmark_names

TASKS = benchmarks.task_names(suites.folder())
SIZES = {
    "ml10": (10, 5, "337878ef3ca5005dc1cd34bb98e834437e914591955f64a671d0b51bba384c48"),
    "ml25": (24, 5, "ca14791ac4cb92bed9502eb347d0aa8898b03475c55da5e6fc8ee6e03f376b0c"),
    "ml45": (45, 5, "9629c1ffb3324b2edfff9409ba22bd743177337a0d7a379e09ba80a08ef821c3"),
    "mt10": (10, 10, "e9b18b23803ae73042a5a7bd53f9d98de5817548b77881966547be56f751cdc8"),
    "mt50": (50, 50, "ba8f06f214f56cbcd0e85218f13c259dc7dc3935dba7f341771041887b3f0895"),
    "ml1/reach-v3": (1, 1, "a94985e741a223843ec290d874034c489d43424d46d4a0548e8ca705f6ff664b"),
    "ml1/push-v3/v1": (1, 1, "787bbc384dceb883a7b2ea2138734da1c0e68942ab2c80a1af4955b1e2c166f1"),
    "ml10/v1": (10, 5, "11e8d99e41f0565d0e09fb5981ad9cd730410d84987d170b4326de9f74a47924"),
}
"""Task names to train on and held out, and the content's hash."""
HELD_OUT = {
    "ml10": {"drawer-open-v3", "door-close-v3", "shelf-place-v3", "sweep-into-v3", "lever-pull-v3"},
    "ml45": {"bin-picking-v3", "box-close-v3", "hand-insert-v3", "door-lock-v3", "door-unlock-v3"},
}
MINE = """
robot = "sawyer"
reward = "v1"
[train]
tasks = ["push-v3", "reach-v3"]
goals_per_task = 3
[test]
tasks = ["drawer-open-v3"]
goals_per_task = 2
"""


def names(tasks):
    """The names of tasks, each once."""
    return list(dict.fromkeys(task.objective for task in tasks))


def written(folder, text):
    """A suite's file."""
    path = folder / "mine.toml"
    path.write_text(text, encoding="utf-8")
    return path


@pytest.mark.parametrize("name", SIZES)
def test_a_suite_has_its_tasks_and_is_the_one_that_results_were_measured_on(name):
    suite, (train, test, content) = suites.load(name), SIZES[name]
    assert (len(names(suite.train)), len(names(suite.test))) == (train, test)
    assert (len(suite.train), len(suite.test)) == (50 * train, 50 * test)
    assert suite.content_hash == content
    assert suite.name == name
    assert suite.has_success
    assert {task.horizon for task in suite.train} == {500}
    for stem, held_out in HELD_OUT.items():
        if name.partition("/")[0] == stem:
            assert set(names(suite.test)) == held_out


@pytest.mark.parametrize("name", [*benchmark_names()])
def test_nothing_held_out_is_trained_on(name):
    for full in [f"ml1/{task}" for task in TASKS] if name == "ml1" else [name]:
        suite = suites.load(full)
        if suite.finite:
            assert suite.train == suite.test
        else:
            assert not set(suite.train) & set(suite.test)
        if not suite.finite and name != "ml1":
            assert not set(names(suite.train)) & set(names(suite.test))
        assert len(set(suite.train)) == len(suite.train)


def test_every_suite_loads_with_the_standard_library_only():
    program = """
import sys
from robometa.suites import metaworld
from robometa.suites.shipped import benchmark_names
from robometa import suites
for name in [*benchmark_names(), *(f"ml1/{task}/v1" for task in metaworld.task_names(suites.folder()))]:
    if name != "ml1":
        assert suites.load(name).train
print(sorted({"numpy", "torch", "mujoco", "metaworld", "gymnasium"} & set(sys.modules)))
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.stdout.strip() == "[]", done.stderr


@pytest.mark.parametrize("name", ["reach-v3", "drawer-close-v3", "peg-insert-side-v3"])
@pytest.mark.sample(1)
def test_goals_are_those_that_upstream_draws(name):
    metaworld = pytest.importorskip("metaworld")
    from study.freeze_goals import goals_of

    before = np.random.get_state()[1].copy()  # noqa: NPY002 # whether it is left alone is what is looked at
    drawn = metaworld.ML1(name, seed=42)
    suite = suites.load(f"ml1/{name}")
    for ours, theirs in ((suite.train, drawn.train_tasks), (suite.test, drawn.test_tasks)):
        goals = [dict(task.parameters)["goal"] for task in ours]
        assert goals == [tuple(goal) for goal in goals_of(theirs)[name]]
    np.testing.assert_array_equal(np.random.get_state()[1], before)  # noqa: NPY002


def test_the_first_version_of_the_reward_is_another_suite_with_the_same_tasks():
    now, first = suites.load("ml10"), suites.load("ml10/v1")
    assert (now.family.reward, first.family.reward) == ("v2", "v1")
    assert first.train == now.train
    assert first.content_hash != now.content_hash


def test_only_multi_task_suites_show_the_goal():
    shown = {name for name in SIZES if suites.load(name).family.goal_visible}
    assert shown == {"mt10", "mt50"}


def test_a_selection_of_ones_own(tmp_path):
    suite = suites.load(written(tmp_path, MINE))
    assert [task.objective for task in suite.train] == ["push-v3"] * 3 + ["reach-v3"] * 3
    assert [task.objective for task in suite.test] == ["drawer-open-v3"] * 2
    assert suite.train[:3] == suites.load("ml1/push-v3").train[:3]
    assert suite.family.reward == "v1"
    assert suite.name == "mine"


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ('"push-v3"', '"pusj-v3"', r"unknown task 'pusj-v3' in \[train\] of mine.toml \(did you mean 'push-v3'\?\)"),
        ('"v1"', '"v3"', "unknown reward 'v3'.*known: v1, v2"),
        ("[train]", "[training]", "unknown key 'training'"),
        ("goals_per_task = 3", "goals_per_task = 51", "goals_per_task must be a whole number from 1 to 50, not 51"),
        ("goals_per_task = 3", "goals = 3", "unknown key 'goals'"),
        ('tasks = ["drawer-open-v3"]', "tasks = []", r"tasks must be a list of names of tasks, not \[\]"),
        ('tasks = ["drawer-open-v3"]', 'tasks = [["a"]]', "tasks must be a list of names of tasks"),
        ('reward = "v1"', "learner = 5", "learner must hold one table of options per learner"),
        ('reward = "v1"', "learner.pearl = 5", "learner must hold one table of options per learner"),
        ('reward = "v1"', "horizon = 200", "horizon must be 500, as upstream's, not 200"),
        ('reward = "v1"', 'goals = "ml11"', "unknown goals 'ml11'"),
        ('reward = "v1"', 'goal_visible = "yes"', "goal_visible must be true or false, not 'yes'"),
        ('reward = "v1"', 'finite = "no"', "finite must be true or false, not 'no'"),
        ('reward = "v1"', 'robot = "sawyer"', "is not a TOML file"),
    ],
)
def test_a_mistake_is_told(tmp_path, old, new, told):
    assert old in MINE
    with pytest.raises(UserError, match=told):
        suites.load(written(tmp_path, MINE.replace(old, new)))


def test_all_mistakes_are_told_at_once(tmp_path):
    wrong = MINE.replace('"v1"', '"v3"').replace("push", "pusj").replace("= 2", "= 0").replace('"drawer-', '"draw-')
    with pytest.raises(UserError) as error:
        suites.load(written(tmp_path, wrong))
    assert len(str(error.value).splitlines()) == 4


def test_a_task_on_both_sides_is_a_mistake_unless_the_file_says_so(tmp_path):
    both = 'robot = "sawyer"\ngoals = "mt10"\n[train]\ntasks = ["reach-v3"]\n[test]\ntasks = ["reach-v3"]\n'
    with pytest.raises(UserError):
        suites.load(written(tmp_path, both))
    allowed = suites.load(written(tmp_path, "finite = true\n" + both))
    assert allowed.train == allowed.test


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("ml1", "unknown task ''"),
        ("ml1/reech-v3", r"did you mean 'reach-v3'"),
        ("ml10/v3", "unknown reward 'v3'"),
        ("ml10/reach-v3", "unknown reward"),
        ("ml11", r"did you mean 'ml1'"),
        ("ml1/reach-v3/v2/v1", "unknown task"),
    ],
)
def test_a_name_that_is_none_is_told(name, told):
    with pytest.raises(UserError, match=told) as error:
        suites.load(name)
    assert "\n" not in str(error.value)


def absent(name):
    """What importlib.metadata says of a package that is not installed."""
    raise ModuleNotFoundError(name)


def test_without_the_extra_one_line_says_what_to_install(monkeypatch):
    monkeypatch.setattr(upstream, "version", absent)
    with pytest.raises(UserError, match=r"need the package metaworld: pip install 'robometa\[metaworld\]'") as error:
        upstream.check()
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("attribute", "value", "told"),
    [
        ("mujoco", "4.0.0", r"is that of mujoco 3\.3\.0, and here is 4\.0\.0: pip install"),
        ("metaworld", "3.0.0", r"are those of metaworld 3\.1\.1, and here is 3\.0\.0: pip install"),
    ],
)
def test_with_another_version_one_line_says_what_to_install(monkeypatch, attribute, value, told):
    installed = {"mujoco": benchmarks.MUJOCO, "metaworld": benchmarks.METAWORLD} | {attribute: value}
    monkeypatch.setattr(upstream.mujoco, "__version__", installed["mujoco"])
    monkeypatch.setattr(upstream, "version", lambda name: installed[name])
    with pytest.raises(UserError, match=told) as error:
        upstream.check()
    assert "\n" not in str(error.value)


def test_an_engine_says_so_too(monkeypatch):
    from robometa.sim.select import engine_of

    monkeypatch.setattr(upstream, "version", absent)
    with pytest.raises(UserError, match="need the package metaworld"):
        engine_of(suites.load("ml1/reach-v3"), 1, 1)
