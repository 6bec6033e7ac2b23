"""Searches of spaces with few trials, short first rungs, one file of spaces for several searches."""

from pathlib import Path

import pytest
from conftest import TINY_SUITE

import robometa
from robometa.commands.main import main
from robometa.search.dimension import Dimension
from robometa.search.record import Trial
from robometa.search.run import planned
from robometa.search.space import Space
from robometa.search.suggest import Journal
from robometa.storage.open_folder import opened
from robometa.suites.toml_file import written
from tests.search_in_process import SMALL, Here

pytest.importorskip("optuna")
DISCOUNTS = [0.9, 0.95, 0.99]
LEARNERS = ("maml-trpo", "promp")
SHARED = {"tasks": 2, "hidden": [4], "inner_step_size": 0.1, "initial_std": 1.0, "action_scale": 0.5, "gae_lambda": 0.9}
SHARED |= {"value_weight": 0.0, "last_layer_scale": 1.0}
FIXED = SHARED | {"kl_bound": 0.02}
"""What else MAML-TRPO searches, as its preset has it on the tiny suite below."""
PROMP = {"learning_rate": 0.001, "epochs": 2, "clip": 0.3, "kl_weight": 0.0005}


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    """A working directory with the tiny suite and small options, and work without processes."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("robometa.search.cluster.Pool", Here)
    Path("tiny.toml").write_text(TINY_SUITE + SMALL, encoding="utf-8")


@pytest.mark.parametrize(("sampler", "inside"), [("tpe", True), ("random", False)])
def test_a_small_space_is_tried_once_and_the_search_goes_to_its_finals(sampler, inside):
    space = {"discount": {"choices": DISCOUNTS}} | ({} if inside else {"tasks": 3})
    sizes = {"budget": "9000", "training": "60", "generation": 2, "rungs": 1, "finalists": 1, "seeds": 1}
    given = {"folder": "a", "jobs": 1, "silent": True, "space": FIXED | space, "sampler": sampler, **sizes}
    state = robometa.search("tiny.toml", "maml-trpo", **given).state
    tried = [trial.parameters["discount"] for trial in state.trials if trial.parameters]
    assert sorted(tried) == DISCOUNTS
    assert [len(one.trials) for one in state.generations] == ([2, 1] if inside else [2, 2])
    assert (state.trials[0].parameters is not None) == inside
    assert len(state.finals) == 2
    before = Path("a/search.jsonl").read_bytes()
    lines = before.splitlines(keepends=True)
    for kept in range(1, len(lines), 2):  # stopped anywhere, it ends in the same bytes
        Path("a/search.jsonl").write_bytes(b"".join(lines[:kept]))
        robometa.search.resume("a", jobs=1, silent=True)
        assert Path("a/search.jsonl").read_bytes() == before


def test_of_two_learners_the_one_with_more_to_try_goes_on():
    both = {"discount": {"choices": [0.9, 0.99]}, "promp": {"discount": {"choices": [0.8, 0.85, 0.9, 0.95, 0.97]}}}
    sizes = {"budget": "3000", "training": "60", "generation": 2, "rungs": 1, "finalists": 0, "seeds": 1}
    space = SHARED | both | {"maml-trpo": {"kl_bound": 0.02}}
    space["promp"] |= PROMP
    given = {"folder": "a", "jobs": 1, "silent": True, "space": space, **sizes}
    trials = robometa.search("tiny.toml", ("maml-trpo", "promp"), **given).state.trials
    by_learner = [
        [one.parameters["discount"] for one in trials if one.learner == name and one.parameters] for name in LEARNERS
    ]
    assert [sorted(some) for some in by_learner] == [[0.9, 0.99], [0.8, 0.85, 0.9, 0.95, 0.97]]


@pytest.mark.parametrize(
    ("choices", "size"), [([0, 0.0, 0.5], 2), ([True, False], 2), ([[4], [4.0]], 2), ([None, 1], 2)]
)
def test_equal_choices_count_once(choices, size):
    space = Space("rl2", "gru", {}, {}, (Dimension("value_weight", choices=tuple(choices)),))
    assert space.size == size
    assert len({frozenset(one.items()) for one in space.every()}) == size


def test_a_space_of_the_preset_alone_is_refused(capsys):
    Path("space.toml").write_text(written({"search": FIXED | {"discount": {"choices": [0.99]}}}), encoding="utf-8")
    assert main(["search", "tiny.toml", "maml-trpo", "--space", "space.toml", "--dry-run"]) == 2
    assert "[search] of space.toml leaves the hand-set preset alone" in capsys.readouterr().err


def test_a_plan_says_what_is_tried_and_what_is_left_out(capsys):
    space = FIXED | {"discount": {"choices": DISCOUNTS}, "rl2": {"epochs": 2}}
    Path("space.toml").write_text(written({"search": space}), encoding="utf-8")
    words = ["search", "tiny.toml", "maml-trpo", "--space", "space.toml", "--dry-run", "--budget"]
    assert main([*words, "8h"]) == 0
    shown = capsys.readouterr().out
    assert "maml-trpo has 3 different trials, and trains no more" in shown
    assert "left out, as they are not searched: rl2" in shown
    Path("space.toml").write_text(written({"search": space | {"discount": 2}}), encoding="utf-8")
    assert main([*words, "8h"]) == 2
    assert "option discount must be in (0, 1], not 2, in [search] of space.toml" in capsys.readouterr().err


def test_a_search_that_begins_warns_as_its_plan_does(monkeypatch, capsys):
    monkeypatch.setattr("robometa.search.run.begin", lambda *given: None)
    monkeypatch.setattr("robometa.commands.search._finish", lambda result: None)
    words = ["search", "half-cheetah-velocity", "maml-trpo", "--budget", "2e9", "--training", "1.2e7"]
    assert main(words) == 0
    assert "the first rung judges the preset" in capsys.readouterr().out


def test_a_space_counts_and_lists_its_trials():
    dimensions = (Dimension("memory", choices=("gru", "lstm")), Dimension("epochs", 1, 3, whole=True))
    space = Space("rl2", "gru", {}, {}, dimensions)
    assert space.size == 6 == len(space.every())
    assert {"memory": "lstm", "epochs": 3} in space.every()
    assert Space("rl2", "gru", {}, {}, (*dimensions, Dimension("discount", 0.9, 0.99))).size == float("inf")


def test_the_last_trials_of_a_space_are_found_where_suggestions_repeat(tmp_path):
    choices = [round(0.5 + one / 100, 2) for one in range(40)]
    _, settings, spaces = planned("tiny.toml", ("maml-trpo",), space=FIXED | {"discount": {"choices": choices}})
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
