"""The report of a search with several objectives, and of searches side by side; nothing is trained."""

import shutil
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from conftest import TINY_SUITE

from robometa.commands.main import main
from robometa.errors import UserError
from robometa.reports.gap import Reference, Sample
from robometa.reports.pooled import Interval
from robometa.search.budget import Budget
from robometa.search.drawing import COLOURS, Line, pareto
from robometa.search.finals import recorded_means
from robometa.search.objectives import front, gap
from robometa.search.page import front_rows, leading_preset, page, require_alike, verdicts
from robometa.search.record import Final, Generation, Result, State, Trial
from robometa.search.result import Result as Search
from robometa.search.run import planned, read
from robometa.search.work import Order, Searching

pytest.importorskip("optuna")
SCORES = ((-5.0, 30.0), (-6.0, 10.0), (-7.0, 20.0), (-4.0, 40.0))
"""Returns and parameters of trials; the third is on no front, the last reaches the first rung only."""


@pytest.fixture
def settings(tmp_path, monkeypatch):
    """Settings of a search with two objectives."""
    monkeypatch.chdir(tmp_path)
    Path("tiny.toml").write_text(TINY_SUITE, encoding="utf-8")
    objectives = ("return", "parameters")
    _, made, _ = planned("tiny.toml", ("maml-trpo",), budget="3000", training="120", rungs=2, objective=objectives)
    return made


@pytest.fixture
def state():
    """A search of one generation."""
    trials = []
    for number, (score, parameters) in enumerate(SCORES):
        result = Result(1, 3, 40.0, {"return": score, "parameters": parameters})
        results = [result] * (1 if number == len(SCORES) - 1 else 2)
        trials.append(Trial(number, "maml-trpo", {"discount": 0.9}, {"discount": 0.9}, results=results))
    return State([Generation("maml-trpo", trials, 2)], finalists=[1])


def test_the_front_is_a_table_with_every_objective(settings, state):
    rows = front_rows(state, settings)
    assert [row[:3] for row in rows] == [
        ("0000", "maml-trpo", ["-5", "30"]),
        ("0001, finalist 1", "maml-trpo", ["-6", "10"]),
    ]
    assert rows[0][3] == "discount 0.9"
    assert front_rows(state, replace(settings, objectives=("return",))) == []
    text = page(Path("s"), settings, state)
    assert "<td>0001, finalist 1</td>" in text
    assert "-6, 10" in text


def test_another_search_has_a_front_in_the_figure(settings, state):
    one = Line("tpe", state.trials, 2, 4)
    alone, both = pareto([one], settings), pareto([one, Line("random", state.trials, 2, 4)], settings)
    assert COLOURS[1] not in (alone or COLOURS[1])
    assert COLOURS[1] in (both or "")
    assert pareto([Line("tpe", [], 2, 4)], settings) is None
    other = replace(settings, sampler="random")
    assert "maml-trpo, random" in page(Path("s"), settings, state, [Search(Path("other"), other, state)])


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"objectives": ("latency",)}, "one set of objectives: other has latency, not return parameters"),
        ({"suite_hash": "5", "suite": "/tmp/wide.toml"}, "one suite: other has wide, not tiny"),
        ({"budget": Budget(1e9, "seconds")}, "one unit of budget: other has seconds, not steps"),
    ],
)
def test_searches_that_measure_something_else_are_not_shown_beside(settings, change, said):
    require_alike(settings, settings, Path("other"))
    with pytest.raises(UserError, match=said):
        require_alike(settings, replace(settings, **change), Path("other"))


def test_latency_counts_this_process_alone(monkeypatch):
    clocks = []

    class Measured:
        median_ms = 2.0

    monkeypatch.setattr("robometa.search.work.latency", lambda policy, clock: clocks.append(clock.__name__) or Measured)
    monkeypatch.setattr("robometa.search.work.load", lambda *given, **named: None)
    work = Searching(None, Budget(1.0, "steps"), ("return", "latency"))  # type: ignore[arg-type]
    assert work.latency_ms(Order("a", "tiny", "rl2", "gru", {}, 0, 1.0), None) == 2.0  # type: ignore[arg-type]
    assert clocks == ["process_time"]


def test_the_history_is_in_the_order_of_the_work(state):
    trials = state.trials + [replace(one, number=one.number + 4) for one in state.trials]
    one = Line("tpe", trials, 2, 4)
    assert [rung for rung, _ in one.results] == [0, 0, 0, 0, 1, 1, 1] * 2
    firsts = [trial.results[0] for trial in state.trials]
    assert [result for _, result in one.results][:5] == [*firsts, trials[0].results[1]]


def test_small_work_is_in_core_seconds():
    assert Budget(4.0, "seconds").words() == "4 core-seconds"
    assert Budget(90.0, "seconds").words() == "1.5 core-minutes"


def test_equal_points_are_all_on_the_front():
    assert front({0: (1.0, 2.0), 1: (1.0, 2.0)}) == [0, 1]


def test_a_verdict_says_how_many_seeds_its_intervals_are_of():
    def finals(label, low, high, seeds):
        return SimpleNamespace(label=label, intervals=[Interval((low + high) / 2, low, high)], measured=("",) * seeds)

    groups = [finals("rl2: finalist 1", -9.0, -8.0, 2), finals("rl2: hand-set preset", -13.0, -12.0, 3)]
    said = verdicts(State([Generation("rl2", [Trial(0, "rl2", {}, {})], 1)], finalists=[0]), groups)
    words = "by more than both intervals (2 and 3 seeds)"
    assert said == [f"rl2: finalist 1 scores 4 more than rl2: hand-set preset, {words}."]
    groups[0] = finals("rl2: finalist 1", -9.0, -8.0, 1)
    said = verdicts(State([Generation("rl2", [Trial(0, "rl2", {}, {})], 1)], finalists=[0]), groups)
    assert said[0].endswith("but one seed does not show which is better (1 and 3 seeds).")


def test_a_gap_is_between_means_as_the_return_that_is_scored_is_one(monkeypatch):
    unadapted, oracle = (Sample([np.array([low, low]), np.zeros(2), np.zeros(2)]) for low in (-9.0, -3.0))
    known = Reference(unadapted, oracle, random=None, tasks=3, source="")
    monkeypatch.setattr("robometa.reports.reference_returns.find", lambda suite_hash: known)
    assert gap(SimpleNamespace(content_hash=""), -2.0) == pytest.approx(0.5)


@pytest.mark.parametrize("name", ["puck-motors-learners", "rl2-architecture"])
def test_a_record_without_its_runs_is_shown_with_its_means(name, tmp_path, capsys):
    folder = tmp_path / name
    shutil.copytree(Path(__file__).parents[2] / "results" / "search" / name, folder)
    assert main(["search", "--show", str(folder)]) == 0
    state = read(folder).state
    trial = state.trials[state.finalists[0]]
    returns = [one.result.scores["return"] for one in state.finals if one.number == trial.number]
    assert len(returns) == 2
    words = f"{sum(returns) / 2:.4g} [{min(returns):.4g}, {max(returns):.4g}]"
    assert words in capsys.readouterr().out
    assert words in (folder / "report.html").read_text(encoding="utf-8")


def test_a_final_that_failed_has_no_part_in_the_mean():
    trials = [Trial(0, "rl2", {}, {}, is_preset=True, results=[Result(1, 1, 1.0, {"return": -1.0})])]
    trials.append(Trial(1, "rl2", {}, {}, results=[Result(1, 1, 1.0, {"return": -1.0})]))
    finals = [Final(1, 1, Result(1, 1, 1.0, {"return": -2.0})), Final(1, 2, Result(1, 1, 1.0, failure="broken"))]
    state = State([Generation("rl2", trials, 1)], finalists=[1], finals=finals)
    assert recorded_means(state) == [("rl2: finalist 1 (trial 0001)", "-2")]


def test_a_preset_that_leads_in_the_finals_is_the_one_to_train():
    def finals(label, middle):
        return SimpleNamespace(label=label, intervals=[Interval(middle, middle - 1, middle + 1)], measured=("",) * 3)

    result = Result(1, 7, 1.0, {"return": -1.0})
    trials = [Trial(0, "rl2", {}, {}, is_preset=True, results=[result]), Trial(1, "rl2", {}, {}, results=[result])]
    state = State([Generation("rl2", trials, 1)], finalists=[1])
    ahead, behind = (
        [finals("rl2: finalist 1 (trial 0001)", -9.0), finals("rl2: hand-set preset", one)] for one in (-8.0, -10.0)
    )
    assert leading_preset(state, ahead) is trials[0]
    assert leading_preset(state, behind) is None
    assert leading_preset(state, ahead[:1]) is None
    assert leading_preset(state, []) is None


def test_a_search_beside_names_what_is_other_about_it(settings, state, capsys):
    other = replace(settings, budget=Budget(9000.0, "steps"), training=60.0)
    text = page(Path("s"), settings, state, [Search(Path("other"), other, state)])
    assert "maml-trpo, tpe, budget 9,000 steps, trainings of 60 steps" in text
    assert "budget" not in pareto([Line("maml-trpo, tpe", state.trials, 2, 4)], settings)
    Path("a").mkdir()
    Path("a/search.json").write_text("{}")
    assert main(["search", "--show", "a", "--beside", "./a"]) == 2
    assert capsys.readouterr().err == "error: --beside needs another search than a\n"
