"""Search spaces, budgets, splits, objectives and rungs."""

import pytest
from conftest import TINY_SUITE

from robometa import registry, suites
from robometa.errors import Options, Search, UserError, searches_of
from robometa.registry.options import described, resolve
from robometa.search import halving
from robometa.search.budget import read_budget
from robometa.search.dimension import DEPTH, WIDTH
from robometa.search.objectives import front, gains, order
from robometa.search.space import space_of, tables_of
from robometa.search.split import validation_indices, write_validation_suite
from robometa.suites.toml_file import read_toml, written

SUITE = suites.load("half-cheetah-velocity")
SEARCHED = [name for name in registry.LEARNERS if name != "random"]


@pytest.mark.parametrize("learner", SEARCHED)
@pytest.mark.sample(8)
def test_every_learner_has_a_space_of_its_own_whose_ends_it_takes(learner):
    space = space_of(SUITE, learner, None, {}, "here")
    architecture = [one.name for one in space.dimensions if one.name.endswith((WIDTH, DEPTH)) or "memory" in one.name]
    assert architecture
    for choose in (min, max):
        parameters = {
            one.name: one.labels[choose(0, len(one.choices) - 1)] if one.choices else choose(one.low, one.high)
            for one in space.dimensions
        }
        parameters = {
            one.name: int(parameters[one.name]) if one.whole else parameters[one.name] for one in space.dimensions
        }
        options = space.options(parameters)
        config = resolve(SUITE, learner, options)
        assert space.parameters({name: getattr(config, name) for name in space.usual}) == parameters
    for name in ("iterations", "shots", "worlds"):
        assert name not in {one.name for one in space.dimensions}


def test_search_ranges_are_part_of_the_description():
    rates = {option.name: option.search for option in described(registry.find("promp").load().configuration)}
    assert rates["learning_rate"] == Search(3e-4, 3e-2, log=True)
    assert rates["iterations"] is None
    assert searches_of(Options) == {}


def test_a_table_fixes_and_varies():
    table = {"discount": 0.9, "hidden": {"width": [4, 8], "depth": [1, 2]}, "memory_size": {"choices": [32, 64]}}
    space = space_of(SUITE, "rl2", None, table, "here")
    known = {one.name: one for one in space.dimensions}
    assert "discount" not in known
    assert (known["hidden.width"].low, known["hidden.width"].high, known["hidden.depth"].high) == (4, 8, 2)
    assert known["memory_size"].choices == (32, 64)
    chosen = {one.name: one.labels[0] if one.choices else one.low for one in space.dimensions}
    chosen |= {"hidden.width": 5, "hidden.depth": 2}
    assert space.options(chosen)["hidden"] == [5, 5]
    assert space.options(chosen)["discount"] == 0.9
    assert tables_of({"discount": 0.9, "rl2": {"epochs": 2}}, ("rl2", "maml-trpo"), "here") == {
        "rl2": {"discount": 0.9, "epochs": 2},
        "maml-trpo": {"discount": 0.9},
    }


@pytest.mark.parametrize(
    ("table", "said"),
    [
        ({"iterations": 3}, "iterations cannot be searched"),
        ({"learning_rate": {"low": 1.0}}, "learning_rate needs low and high"),
        ({"learning_rate": {"low": 1.0, "high": 0.1}}, "low below high"),
        ({"learning_rate": {"low": 0.0, "high": 0.1}}, "must be above 0, not 0"),
        ({"epochs": {"low": 1.5, "high": 2}}, "whole numbers"),
        ({"hidden": {"depth": [1, 2]}}, "hidden needs width = [low, high]"),
        ({"hidden": {"low": 1, "high": 2}}, "unknown key 'low' in hidden"),
        ({"discount": {"low": 0.9, "high": 0.99, "depth": [1, 2]}}, "unknown key 'depth' in discount"),
        ({"hidden": {"width": [1, 2], "depth": [0, 2]}}, "depth of hidden must be from 1"),
        ({"memory": {"choices": ["gru", "xyz"]}}, "unknown memory 'xyz'"),
        ({"memory": {"choices": []}}, "needs a list of choices"),
        ({"memory": "xyz"}, "unknown memory 'xyz'"),
        ({"learning_rate": {"lower": 1.0}}, "unknown key 'lower'"),
        ({"learning_rat": 1.0}, "did you mean 'learning_rate'"),
    ],
)
def test_mistakes_of_a_table_are_named(table, said):
    with pytest.raises(UserError, match=said.replace("[", r"\[").replace("(", r"\(")):
        space_of(SUITE, "rl2", None, table, "here")


def test_widths_alone_keep_the_depth_of_the_preset():
    space = space_of(SUITE, "maml-trpo", None, {"hidden": {"width": [4, 8]}}, "here")
    depth = next(one for one in space.dimensions if one.name == "hidden.depth")
    assert (depth.low, depth.high) == (len(space.usual["hidden"]),) * 2


def test_a_pruned_trial_is_told_by_its_rung_or_the_quick_ones_would_rank_first():
    optuna = pytest.importorskip("optuna")
    from robometa.search.record import Result, Trial
    from robometa.search.run import planned
    from robometa.search.suggest import Journal

    _, settings, spaces = planned("point-robot", ("rl2",), budget="8h")
    space = spaces["rl2"]
    known = space.parameters(space.usual)
    result = Result(700, 6300, 1.0, {"return": -5.0})
    journal = Journal.__new__(Journal)
    journal._settings, journal._spaces = settings, spaces
    study = optuna.create_study(direction="maximize")
    journal._add_to(study, Trial(0, "rl2", known, {}, results=[result, result]))
    assert study.trials[0].state == optuna.trial.TrialState.PRUNED
    assert study.trials[0].intermediate_values == {1: -5.0, 2: -5.0}


def test_budgets():
    assert (read_budget("1.5h").amount, read_budget("90m").unit) == (5400, "seconds")
    assert (read_budget("5e7").amount, read_budget("5e7").unit) == (5e7, "steps")
    for text in ("", "8 hours", "-1h", "0", "inf", "1.2.3h", "8w", "1e308d"):
        with pytest.raises(UserError, match="must be a processor time"):
            read_budget(text)


@pytest.mark.parametrize("name", ["half-cheetah-velocity", "rover-goal", "half-cheetah-direction", "ant-worn"])
def test_a_cut_suite_holds_the_tasks_to_the_last_bit(name, tmp_path):
    suite = suites.load(name)
    indices = validation_indices(suite, 0.2, 3)
    assert indices == validation_indices(suite, 0.2, 3)
    cut = suites.load(write_validation_suite(suite, tmp_path, indices))
    rest = [task for index, task in enumerate(suite.train) if index not in indices]
    assert [task.parameters for task in cut.train] == [task.parameters for task in rest]
    scored = [suite.train[index].parameters for index in indices] or [task.parameters for task in suite.train]
    assert [task.parameters for task in cut.test] == scored
    assert (cut.horizon, cut.objective, cut.learner) == (suite.horizon, suite.objective, suite.learner)
    assert cut.train[0].coefficients == suite.train[0].coefficients
    assert {task.parameters for task in suite.test}.isdisjoint(task.parameters for task in cut.test) or suite.finite


def test_toml_is_written_as_it_is_read(tmp_path):
    table = {"text": 'a "b"\n\\', "yes": True, "list": [1, 2.5, 1e-5], "t": {"x y": {"values": [[1.0]]}, "n": -3}}
    (tmp_path / "a.toml").write_text(written(table), encoding="utf-8")
    assert read_toml(tmp_path / "a.toml", tmp_path / "a.toml") == table


def test_halving_promotes_the_best_third_of_all_so_far():
    values = {number: (float(number),) for number in range(9)}
    assert halving.promoted(values, [*range(9)], 0, 9) == [6, 7, 8]
    later = values | {number: (float(number - 100),) for number in range(9, 18)}
    assert halving.promoted(later, [*range(9, 18)], 0, 9) == []
    better = values | {number: (float(number),) for number in range(9, 18)}
    assert halving.promoted(better, [*range(9, 18)], 0, 9) == [15, 16, 17]
    assert halving.promoted({0: (1.0,)}, [0], 0, 3) == [0]
    assert halving.cost(3, 9) == pytest.approx(9 / 9 + 3 * (1 / 3 - 1 / 9) + 1 * (1 - 1 / 3))


def test_several_objectives_are_ordered_by_fronts():
    points = {0: (1.0, 1.0), 1: (2.0, 0.0), 2: (0.0, 2.0), 3: (0.5, 0.5), 4: (2.0, 0.0)}
    assert front(points) == [1, 4, 0, 2]
    assert order(points) == [1, 4, 0, 2, 3]
    assert gains({"return": 3.0, "latency": 2.0}, ("return", "latency")) == (3.0, -2.0)


def test_a_suite_with_one_task_cannot_be_searched(tmp_path):
    path = tmp_path / "one.toml"
    path.write_text(TINY_SUITE.replace("tasks = 6", "tasks = 1"), encoding="utf-8")
    with pytest.raises(UserError, match="one training task"):
        validation_indices(suites.load(path), 0.2, 0)
