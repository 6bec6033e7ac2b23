"""The control of an evaluation: the same policy with its adaptation forgotten, in the same resets."""

import csv
import json

import numpy as np
import pytest
from conftest import SMALL_OPTIONS

from robometa.commands.report_output import keeps_report
from robometa.evaluation.evaluate import measure
from robometa.policies import card_tables
from robometa.registry.options import read_config
from robometa.reports import measured
from robometa.reports.compare import compare
from robometa.reports.statistics import mean, words_of_gain
from robometa.reports.terminal import print_report
from robometa.trials import make


def built(name, suite):
    return make.build(name, read_config(name, SMALL_OPTIONS[name]), suite, seed=0)


@pytest.fixture
def report(tiny_suite):
    return measure(built("maml-trpo", tiny_suite), tiny_suite, shots=2, worlds=4, name="maml-trpo", control=True)


def test_the_control_is_what_the_learner_does_where_adapting_changes_nothing(tiny_suite, report):
    learner = built("maml-trpo", tiny_suite)
    learner.adapt = lambda adaptation, rollout, noise: adaptation
    still = measure(learner, tiny_suite, shots=2, worlds=4)
    np.testing.assert_array_equal(report.control.returns, still.mean_action.returns)
    assert not np.array_equal(report.control.returns[1], report.mean_action.returns[1])


def test_a_policy_that_does_not_adapt_gains_exactly_nothing(tiny_suite):
    found = measure(built("no-adaptation", tiny_suite), tiny_suite, shots=2, worlds=3, control=True)
    assert found.gain(0) is None
    assert found.gain(1) == found.gain(2) == {"mean": 0.0, "low": 0.0, "high": 0.0}


def test_a_memory_is_emptied_before_every_rollout_and_nothing_else_of_the_report_changes(tiny_suite):
    learner = built("rl2", tiny_suite)
    plain = measure(learner, tiny_suite, shots=1, worlds=3)
    found = measure(learner, tiny_suite, shots=1, worlds=3, control=True)
    for name in ("mean_action", "exploring", "random"):
        np.testing.assert_array_equal(getattr(found, name).returns, getattr(plain, name).returns)
    np.testing.assert_array_equal(found.control.returns[0], found.mean_action.returns[0])
    assert not np.array_equal(found.control.returns[1], found.mean_action.returns[1])
    assert "control" not in plain.summary()[1]


def test_the_gain_is_the_mean_of_the_differences(report):
    difference = report.mean_action.returns[2] - report.control.returns[2]
    assert tuple(report.gain(2).values()) == pytest.approx(mean(list(difference)))


def test_report_card_and_comparison_show_it(report, tmp_path, capsys):
    report.save(tmp_path)
    described = json.loads((tmp_path / "report.json").read_text(encoding="utf-8"))
    words = words_of_gain(described["shots"][2]["after_minus_control"])
    with (tmp_path / "tasks.csv").open(encoding="utf-8", newline="") as file:
        acting = [row["acting"] for row in csv.DictReader(file)]
    assert acting.count("control") == acting.count("exploring") == report.exploring.returns.size
    np.testing.assert_allclose(measured.read(tmp_path).control, report.control.returns)
    print_report(report)
    assert words.partition(" ")[0] in capsys.readouterr().out
    assert f"| {words} |" in card_tables.returns(described)
    assert "adaptation forgotten" in card_tables.control(described)
    compared = compare(tmp_path)
    assert "after minus control" in compared.table()
    assert words.partition(" ")[0] in compared.table()
    assert "after_minus_control" in compared.table("csv").splitlines()[0]
    assert "After minus control" in compared.save(tmp_path / "page.html").read_text(encoding="utf-8")


def test_a_report_with_a_control_is_not_replaced_by_one_without(tiny_suite, report, tmp_path):
    report.save(tmp_path)
    learner = built("maml-trpo", tiny_suite)
    assert keeps_report(tmp_path, measure(learner, tiny_suite, shots=2, worlds=4))
    assert not keeps_report(tmp_path, report)
