"""Searches of spaces with few trials, short first rungs, one file of spaces for several searches."""

from pathlib import Path

import pytest
from conftest import TINY_SUITE

from robometa import suites
from robometa.commands.main import main
from robometa.search.record import Trial
from robometa.search.run import planned
from robometa.search.space import Dimension, Space
from robometa.search.suggest import Journal
from robometa.storage.open_folder import opened
from tests.search_in_process import Here

pytest.importorskip("optuna")
DISCOUNTS = [0.9, 0.95, 0.99]


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    """A working directory with the tiny suite, and work without processes."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("robometa.search.cluster.Pool", Here)
    Path("tiny.toml").write_text(TINY_SUITE, encoding="utf-8")


def small_space(**varied):
    usual = {"gae_lambda": 1.0, "initial_std": 0.5, "action_scale": 0.5, "kl_bound": 0.02, "value_weight": 0.0}
    usual |= {"last_layer_scale": 1.0, "inner_step_size": 0.1, "discount": 0.99, "tasks": 2, "hidden": [4]}
    return {"worlds": 2} | usual | varied


@pytest.mark.parametrize("sampler", ["tpe", "random"])
def test_a_small_space_is_tried_once_and_the_search_goes_to_its_finals(sampler):
    import robometa

    space = small_space(discount={"choices": DISCOUNTS})
    sizes = {"budget": "20000", "training": "60", "generation": 2, "rungs": 1, "finalists": 1, "seeds": 1}
    given = {"folder": "a", "jobs": 1, "silent": True, "space": space, "sampler": sampler, **sizes}
    state = robometa.search("tiny.toml", "maml-trpo", **given).state
    tried = [trial.parameters["discount"] for trial in state.trials if trial.parameters]
    assert sorted(tried) == DISCOUNTS
    assert state.trials[0].is_preset  # its tasks and layers are outside
    assert state.trials[0].parameters is None
    assert state.finals


def test_a_space_counts_and_lists_its_trials():
    dimensions = (Dimension("memory", choices=("gru", "lstm")), Dimension("epochs", 1, 3, whole=True))
    space = Space("rl2", "gru", {}, {}, dimensions)
    assert space.size == 6 == len(space.every())
    assert {"memory": "lstm", "epochs": 3} in space.every()
    assert space.has_untried([*space.every()[1:], *space.every()[1:], None])
    assert not space.has_untried(space.every())
    assert Space("rl2", "gru", {}, {}, (*dimensions, Dimension("discount", 0.9, 0.99))).size == float("inf")


def test_the_last_trials_of_a_space_are_found_where_suggestions_repeat(tmp_path):
    choices = [round(0.5 + one / 100, 2) for one in range(40)]
    _, settings, spaces = planned("tiny.toml", ("maml-trpo",), space=small_space(discount={"choices": choices}))
    journal = Journal(lambda: opened(tmp_path), settings, spaces, [])
    assert sorted(one["discount"] for one in journal.suggest("maml-trpo", 60, 0, [])) == choices
    assert journal.suggest("maml-trpo", 60, 0, []) == journal.suggest("maml-trpo", 60, 0, [])
    tried = [Trial(number, "maml-trpo", {"discount": one}, {}) for number, one in enumerate(choices)]
    assert journal.suggest("maml-trpo", 9, 1, tried[1:]) == [{"discount": choices[0]}]
    assert journal.suggest("maml-trpo", 9, 1, tried) == []


def test_a_file_serves_several_searches_and_is_named_in_messages(capsys):
    Path("spaces.toml").write_text("[search]\n[search.rl2]\nepochs = 2\n[search.maml-trpo]\ndiscount = 0.9\n")
    words = ["search", "tiny.toml", "maml-trpo", "--space", "spaces.toml", "--dry-run"]
    assert main(words) == 0
    assert "epochs" not in capsys.readouterr().out
    Path("spaces.toml").write_text("[search]\n[search.maml-trp]\ndiscount = 0.9\n")
    assert main(words) == 2
    assert "unknown option 'maml-trp' in [search] of spaces.toml (did you mean 'maml-trpo'?)" in capsys.readouterr().err


@pytest.mark.parametrize(("training", "told"), [("1.2e7", True), ("6e7", False)])
def test_a_plan_warns_of_a_first_rung_of_few_iterations(training, told, capsys):
    words = ["search", "half-cheetah-velocity", "maml-trpo", "--budget", "2e9", "--training", training, "--dry-run"]
    assert main(words) == 0
    shown = " ".join(capsys.readouterr().out.split())
    assert ("the first rung judges the preset of maml-trpo after 5 iterations of 38" in shown) == told
    assert ("warning" in shown) == told


def test_the_suite_of_these_tests_has_tasks_to_spare():
    assert len(suites.load("tiny.toml").train) > 2
