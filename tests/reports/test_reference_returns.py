"""The meaning of a return on a suite: the fraction of the way from not adapting to the oracle, with its interval."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from conftest import reference_entry

from robometa import suites
from robometa.errors import UserError
from robometa.evaluation.evaluate import measure
from robometa.evaluation.reference import compared, labelled
from robometa.policies import card_tables
from robometa.registry.options import read_config
from robometa.reports import csv_tables, reference_returns
from robometa.reports.gap import Reference, Sample, words_of_gap
from robometa.reports.terminal import print_report
from robometa.trials.make import build


@pytest.fixture
def measured(tmp_path, monkeypatch):
    """A point robot whose references were measured."""
    suite = suites.load("point-robot")
    monkeypatch.setattr(reference_returns, "FILE", str(tmp_path / "references.json"))
    refer(suite)
    return suite


def refer(suite, unadapted=-16.0, oracle=-6.0, random=-20.0, spread=0.5):
    with Path(reference_returns.FILE).open("w", encoding="utf-8") as file:
        json.dump({suite.name: reference_entry(suite, unadapted, oracle, random, spread)}, file)


def of_seeds(*returns, tasks=4):
    return Sample([np.array(returns)] * tasks, together=True)


def reference(unadapted, oracle, random=None):
    return Reference(unadapted, oracle, random, tasks=4, source="a test")


def test_the_gap_is_closed_from_not_adapting_to_the_oracle(measured):
    found = reference_returns.find(measured.content_hash)
    for value, share in ((-16.0, 0.0), (-6.0, 1.0), (-11.0, 0.5)):
        row = found.gap_closed(Sample([np.array([value, value])] * 20))
        assert row["gap_closed"] == pytest.approx(share)
        assert row["gap_closed_by_means"] == pytest.approx(share)


def test_the_source_tells_how_many_seeds_each_reference_has(measured):
    assert reference_returns.find(measured.content_hash).source.startswith("3 training seeds each, mean actions, from ")
    path = Path(reference_returns.FILE)
    entry = json.loads(path.read_text(encoding="utf-8"))
    entry[measured.name]["unadapted"]["returns"].pop()
    path.write_text(json.dumps(entry), encoding="utf-8")
    source = reference_returns.find(measured.content_hash).source
    assert source.startswith("3 training seeds of the oracle and 2 without adaptation, mean actions, from ")


def test_the_interval_includes_the_uncertainty_of_both_references():
    policy = Sample([np.array([-10.0, -10.0])] * 4)
    sure = reference(of_seeds(-16.0, -16.0, -16.0), of_seeds(-6.0, -6.0, -6.0)).gap_closed(policy)
    assert (sure["gap_closed_low"], sure["gap_closed_high"]) == pytest.approx((0.6, 0.6))
    for unsure in (
        reference(of_seeds(-18.0, -16.0, -14.0), of_seeds(-6.0, -6.0, -6.0)),
        reference(of_seeds(-16.0, -16.0, -16.0), of_seeds(-7.0, -6.0, -5.0)),
    ):
        row = unsure.gap_closed(policy)
        assert row["gap_closed_low"] < 0.58 < row["gap_closed"] < 0.62 < row["gap_closed_high"] + 0.02
        assert row["gap_closed_by_means_low"] < row["gap_closed_by_means_high"]
    alone = sure | reference(of_seeds(-16.0, -15.0), of_seeds(-6.0, -5.0)).gap_closed(Sample([np.array([-10.0])] * 4))
    assert alone["gap_closed_low"] is None  # one episode has no interval


def test_means_and_interquartile_means_are_apart():
    # the middle half of the tasks follows the oracle, the others do not adapt
    strata = [np.full(2, value) for value in (0.0, 10.0, 10.0, 0.0)]
    zero, ten = Sample([np.zeros(2)] * 4, True), Sample([np.full(2, 10.0)] * 4, True)
    assert reference(zero, ten).gap_closed(Sample(strata))["gap_closed_by_means"] == pytest.approx(0.5)
    strata = [np.full(2, value) for value in (0.0, 10.0, 10.0, 10.0)]
    assert reference(zero, ten).gap_closed(Sample(strata))["gap_closed"] == pytest.approx(1.0)


@pytest.mark.parametrize(
    ("unadapted", "oracle", "random", "told"),
    [
        ((-16.0, -15.0), (-6.0, -5.0), -20.0, None),
        ((-6.5, -6.4), (-6.0, -5.9), -20.0, "hardly better than not adapting"),
        ((-6.0, -5.9), (-7.0, -6.9), -20.0, "no better than not adapting"),
        ((679.0, 728.0, 841.0), (880.0, 890.0, 900.0), -40.0, "is under 3 standard errors of "),
        ((-16.0,), (-6.0,), -20.0, "a single draw of a reference has no standard error"),
    ],
)
def test_where_the_references_do_not_part_no_gap_is_reported(unadapted, oracle, random, told):
    obstacle = reference(of_seeds(*unadapted), of_seeds(*oracle), random).obstacle()
    assert obstacle is None if told is None else told in obstacle


def test_the_standard_error_is_that_of_seeds_or_of_episodes():
    assert of_seeds(1.0, 2.0, 3.0).standard_error() == pytest.approx(1 / 3**0.5)
    episodes = Sample([np.array([1.0, 3.0]), np.array([10.0, 12.0])])
    assert episodes.standard_error() == pytest.approx((2 * 2 + 2 * 2) ** 0.5 / 4)


def test_a_suite_that_was_not_measured_has_no_reference(measured):
    assert reference_returns.find(suites.load("half-cheetah-terrain").content_hash) is None


def test_the_shipped_references_have_the_seeds_that_an_interval_needs():
    velocity = reference_returns.find(suites.load("half-cheetah-velocity").content_hash)
    assert velocity.obstacle() is None
    assert velocity.tasks == 30
    assert velocity.success[0] < velocity.success[1]
    assert "standard errors" in reference_returns.find(suites.load("half-cheetah-params").content_hash).obstacle()


def test_a_report_on_held_out_tasks_says_it(measured, capsys):
    learner = build("random", read_config("random", {}), measured, seed=0)
    report = measure(learner, measured, shots=0, worlds=2)
    row = report.summary()[0]
    expected = (row["mean_action"]["interquartile_mean"] + 16.0) / 10.0
    assert row["gap_closed"] == pytest.approx(expected)
    assert row["gap_closed_low"] < expected < row["gap_closed_high"]
    print_report(report)
    printed = capsys.readouterr().out
    assert "gap: 0 % = no adaptation" in " ".join(printed.split())
    assert words_of_gap(row) in printed
    assert "no adaptation" in printed.partition("return\n")[2]
    for scores in (report.mean_action, report.exploring):
        for value in scores.interquartile_mean(0):
            assert f"{value:.1f}" in printed
    for other in ({"split": "train"}, {"tasks": 3}):
        assert "gap_closed" not in measure(learner, measured, shots=0, worlds=2, **other).summary()[0]


def test_a_reference_has_no_gap_on_its_own_scale(measured, capsys):
    learner = build("random", read_config("random", {}), measured, seed=0)
    report = measure(learner, measured, shots=0, worlds=2, name="no-adaptation")
    assert report.summary()[0]["gap_closed"] is None
    print_report(report)
    assert "no-adaptation is one of the two references" in " ".join(capsys.readouterr().out.split())


def test_success_is_by_the_end_beside_that_at_any_step_and_randoms(measured, capsys):
    learner = build("random", read_config("random", {}), measured, seed=0)
    report = measure(learner, measured, shots=0, worlds=2)
    scores = replace(
        report.mean_action,
        success=np.zeros_like(report.mean_action.success),
        success_any_step=np.ones_like(report.mean_action.success),
    )
    report = replace(report, mean_action=scores, random=scores)
    row = report.described()
    for found in (row["shots"][0]["mean_action"], row["random"]):
        assert (found["success"], found["success_any_step"]) == (0.0, 1.0)
    print_report(report)
    printed = capsys.readouterr().out.partition("success of episodes, by their end")[2].partition("return\n")[0]
    lines = {line.split("  ")[0].split(" 0")[0].strip(): line for line in printed.splitlines()}
    assert "0.0% [0.0%, 0.0%] 100.0%" in lines["random"]
    assert not any(line.startswith("no adaptation") for line in printed.splitlines())  # the suite has no reference
    text = card_tables.successes(row)
    assert "| random | 0.0% [0.0%, 0.0%] | 100.0% |" in text
    assert "| no adaptation |" not in text


@pytest.fixture
def pair(measured):
    """An oracle and a policy that does not adapt, untrained, as `labelled` returns them."""
    names = ("oracle", "no-adaptation")
    return [(name, build(name, read_config(name, {"hidden": (4,)}), measured, seed=0)) for name in names]


def test_a_suite_of_ones_own_is_compared_with_two_policies(measured, pair, capsys):
    learner = build("random", read_config("random", {}), measured, seed=0)
    report = measure(learner, measured, shots=0, worlds=2, name="random", tasks=3)
    found = compared(report, measured, pair, worlds=2, tasks=3)
    known = found.reference()
    assert known.tasks == 3
    assert "one policy each" in known.source
    assert "gap_closed" in found.summary()[0]
    assert found.described()["references"]["no_adaptation"]["success"] == known.success[0]
    print_report(found)
    assert "oracle" in capsys.readouterr().out


def test_what_is_no_pair_of_references_is_told(pair):
    (_, oracle), (_, unadapted) = pair
    known, plain = (Path("a"), oracle, "oracle"), (Path("b"), unadapted, "no-adaptation")
    assert [label for label, _ in labelled(known, plain)] == ["oracle a", "no-adaptation b"]
    with pytest.raises(UserError, match="b is no oracle; its learner is no-adaptation"):
        labelled(plain, plain)
    with pytest.raises(UserError, match="a is no policy that does not adapt; its learner is oracle"):
        labelled(known, known)


def test_a_first_episode_that_holds_adaptation_is_called_so_and_shown_by_its_quarters(measured, capsys):
    options = {"worlds": 2, "tasks": 2, "memory_size": 4, "hidden": (4,), "minibatches": 2}
    learner = build("rl2", read_config("rl2", options), measured, seed=0)
    report = measure(learner, measured, shots=1, worlds=2, name="rl2")
    rows = report.summary()
    assert [row["label"] for row in rows] == ["first episode", "1"]
    first, last = (rows[0]["mean_action"][f"{part}_quarter"] for part in ("first", "last"))
    assert first == pytest.approx(report.mean_action.quarters[0, ..., 0].mean())
    assert first + last > rows[0]["mean_action"]["mean"]  # rewards are negative, and two quarters are half of them
    assert "first_quarter" not in rows[1]["mean_action"]
    print_report(report)
    printed = " ".join(capsys.readouterr().out.split())
    assert f"return {first:.1f} in its first quarter, {last:.1f} in its last" in printed
    assert f"return {first:.1f} in its first quarter" in card_tables.returns(report.described())


def test_the_returns_are_printed_below_the_tasks(measured, capsys):
    learner = build("random", read_config("random", {}), measured, seed=0)
    print_report(measure(learner, measured, shots=0, worlds=2, tasks=3))
    tasks, returns = capsys.readouterr().out.split("\nreturn\n")
    assert tasks.startswith("mean return of each task, mean action\n")
    assert returns.splitlines()[2].startswith("random")


@pytest.mark.parametrize("width", [30, 60, 100])
def test_a_task_takes_a_line_on_the_terminal_and_all_its_numbers_stand_in_the_file(
    measured, capsys, monkeypatch, width
):
    monkeypatch.setenv("COLUMNS", str(width))
    learner = build("random", read_config("random", {}), measured, seed=0)
    report = measure(learner, measured, shots=0, worlds=2, tasks=3)
    words = "body_mass 1.31 1.88 0.5 0.6 0.7 0.8 0.9, geom_friction " + " ".join(["1.25"] * 26 + ["0.75"])
    long = replace(report, tasks=(words, words, "gravity 1.5"))
    print_report(long)
    tasks = capsys.readouterr().out.partition("\n\n")[0].split("task hidden")[1].splitlines()[1:]
    assert [line[:13] for line in tasks[:3]] == ["0    body_mas", "1    body_mas", "2    gravity "]
    assert max(map(len, tasks)) <= width
    assert csv_tables.episodes(long).count(f'"{words}"') == 8


def test_hidden_numbers_that_fit_are_all_shown(measured, capsys):
    learner = build("random", read_config("random", {}), measured, seed=0)
    print_report(measure(learner, measured, shots=0, worlds=2, tasks=3))
    assert "tasks.csv" not in capsys.readouterr().out
