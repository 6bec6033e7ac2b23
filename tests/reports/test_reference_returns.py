"""What a return means on a suite: the fraction of the way from not adapting to the oracle."""

import json
from pathlib import Path

import pytest

from robometa import suites
from robometa.evaluation.evaluate import measure
from robometa.registry.options import read_config
from robometa.reports import reference_returns
from robometa.reports.terminal import print_report
from robometa.trials.make import build


@pytest.fixture
def measured(tmp_path, monkeypatch):
    """A point robot whose oracle was measured."""
    suite = suites.load("point-robot")
    path = tmp_path / "references.json"
    entry = {
        "suite_hash": suite.content_hash,
        "unadapted": -16.0,
        "oracle": -6.0,
        "random": -20.0,
        "tasks": len(suite.test),
    }
    path.write_text(json.dumps({"point-robot": entry}), encoding="utf-8")
    monkeypatch.setattr(reference_returns, "FILE", str(path))
    return suite


def test_the_gap_is_closed_from_not_adapting_to_the_oracle(measured):
    found = reference_returns.find(measured.content_hash)
    assert found.gap_closed(-16.0) == 0.0
    assert found.gap_closed(-6.0) == 1.0
    assert found.gap_closed(-11.0) == pytest.approx(0.5)


def test_a_suite_that_was_not_measured_has_no_reference(measured):
    assert reference_returns.find(suites.load("half-cheetah-terrain").content_hash) is None


@pytest.mark.parametrize(("oracle", "told"), [(-6.0, True), (-14.0, True), (-15.9, False), (-17.0, False)])
def test_an_oracle_that_is_hardly_better_tells_no_gap(measured, oracle, told):
    path = Path(reference_returns.FILE)
    entry = json.loads(path.read_text(encoding="utf-8"))["point-robot"] | {"oracle": oracle}
    path.write_text(json.dumps({"point-robot": entry}), encoding="utf-8")
    assert (reference_returns.find(measured.content_hash) is not None) == told


def test_a_report_on_held_out_tasks_says_it(measured, capsys):
    learner = build("random", read_config("random", {}), measured, seed=0)
    report = measure(learner, measured, shots=0, worlds=2)
    row = report.summary()[0]
    expected = (row["mean_action"]["interquartile_mean"] + 16.0) / 10.0
    assert row["gap_closed"] == pytest.approx(expected)
    print_report(report)
    printed = capsys.readouterr().out
    assert "gap: 0 % = no adaptation, 100 % = oracle" in " ".join(printed.split())
    assert f"{expected:.0%}" in printed
    # in 80 columns no figure is cut
    for scores in (report.mean_action, report.exploring):
        for value in scores.interquartile_mean(0):
            assert f"{value:.1f}" in printed
    for other in ({"split": "train"}, {"tasks": 3}):
        assert "gap_closed" not in measure(learner, measured, shots=0, worlds=2, **other).summary()[0]
