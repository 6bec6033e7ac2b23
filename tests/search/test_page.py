"""The report of a search with several objectives, and of searches side by side; nothing is trained."""

import shutil
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from conftest import TINY_SUITE

from robometa.commands import search as search_command
from robometa.commands.main import main
from robometa.errors import UserError
from robometa.reports.gap import Reference, Sample
from robometa.reports.pooled import Interval
from robometa.search import page as page_module
from robometa.search.budget import Budget
from robometa.search.drawing import COLOURS, Line, pareto
from robometa.search.finals import final_label, recorded_means
from robometa.search.objectives import front, gap
from robometa.search.page import front_rows, page, require_alike, verdicts
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

    groups = [finals("rl2: finalist 1 (trial 0000)", -9.0, -8.0, 2), finals("rl2: hand-set preset", -13.0, -12.0, 3)]
    said = verdicts(State([Generation("rl2", [Trial(0, "rl2", {}, {})], 1)], finalists=[0]), groups)
    words = "by more than both intervals (2 and 3 seeds)"
    assert said == [f"rl2: finalist 1 (trial 0000) scores 4 more than rl2: hand-set preset, {words}."]
    groups[0] = finals("rl2: finalist 1 (trial 0000)", -9.0, -8.0, 1)
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


@pytest.fixture
def finals():
    """A function that makes a search for the return with one finalist, and the groups of its finals."""

    def made(of_finalist, of_preset, failed=False):
        result = Result(1, 7, 1.0, {"return": -1.0})
        trials = [Trial(0, "rl2", {}, {}, is_preset=True, results=[result]), Trial(1, "rl2", {}, {}, results=[result])]
        scored = [(0, of_preset, ""), (1, of_finalist, "broken" if failed else "")]
        known = [Final(number, 1, Result(1, 7, 1.0, {"return": one}, failure)) for number, one, failure in scored]
        state = State([Generation("rl2", trials, 1)], finalists=[1], finals=known)
        groups = [
            SimpleNamespace(
                label=final_label(state, trial), intervals=[Interval(one, one - 1, one + 1)], measured=("",)
            )
            for trial, one in ((trials[1], of_finalist), (trials[0], of_preset))
        ]
        return state, groups[1:] if failed else groups

    return made


@pytest.mark.parametrize("with_runs", [True, False])
def test_a_preset_that_leads_in_the_finals_is_the_one_to_train(finals, settings, with_runs):
    settings = replace(settings, objectives=("return",))

    def leads(settings, *given, **named):
        state, groups = finals(*given, **named)
        return page_module.leading_preset(settings, state, groups if with_runs else []) is not None

    assert leads(settings, -9.0, -8.0)
    assert not leads(settings, -9.0, -10.0)
    assert leads(settings, -9.0, -10.0, failed=True)
    assert leads(replace(settings, objectives=("gap",)), -9.0, -8.0)
    assert not leads(replace(settings, objectives=("parameters",)), -9.0, -8.0)
    assert not leads(replace(settings, objectives=("return", "latency")), -9.0, -8.0)


def test_finals_that_all_failed_are_not_compared(finals):
    state, groups = finals(-9.0, -8.0, failed=True)
    assert verdicts(state, groups) == []
    assert len(verdicts(*finals(-9.0, -8.0))) == 1


@pytest.mark.parametrize(("of_preset", "said"), [(-8.0, "--iterations 7"), (-10.0, "--config a/best.toml")])
def test_the_last_line_trains_what_returns_more(finals, settings, monkeypatch, capsys, of_preset, said):
    state, groups = finals(-9.0, of_preset)
    Path("a").mkdir()
    Path("a/best.toml").write_text("")
    monkeypatch.setattr(search_command, "_print_result", lambda result: groups)
    made = replace(settings, objectives=("return",), learners=("rl2",))
    search_command._finish(Search(Path.cwd() / "a", made, state))
    shown = capsys.readouterr().out
    assert f"next: robometa train tiny.toml rl2 {said}\n" in shown
    assert ("the hand-set preset scores more in the finals than a/best.toml" in shown) == (of_preset == -8.0)


def test_a_search_beside_names_what_is_other_about_it(settings, state, capsys):
    other = replace(settings, budget=Budget(9000.0, "steps"), training=60.0)
    drawn = page(Path("s"), settings, state, [Search(Path("other"), other, state)])
    assert "maml-trpo, tpe, budget 9,000 steps, trainings of 60 steps" in drawn
    drawn = page(Path("s"), settings, state, [Search(Path("other"), replace(settings, sampler="random"), state)])
    assert "maml-trpo, random<" in drawn
    for name in ("a", "b"):
        Path(name).mkdir()
        Path(f"{name}/search.json").write_text("{}")
    for folders, named in ((["./a"], "a"), (["b", "./b"], "b")):
        assert main(["search", "--show", "a", "--beside", *folders]) == 2
        assert capsys.readouterr().err == f"error: --beside needs another search than {named}\n"
