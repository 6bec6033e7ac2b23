"""Diverged episodes in an evaluation: counted, shown, no success, and never better than random's worst."""

import csv
import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from conftest import record_of, reference_entry

from robometa import suites
from robometa.evaluation.evaluate import measure
from robometa.evaluation.protocols import Protocol
from robometa.policies import card
from robometa.registry.options import read_config
from robometa.reports import reference_returns
from robometa.reports.report import MAX_DIVERGED
from robometa.reports.scores import Scores, judged
from robometa.reports.terminal import print_report
from robometa.sim.locomotion.engine import CpuEngine
from robometa.trials.make import build

OPTIONS = {"worlds": 3, "hidden": (4,), "tasks": 2}


@pytest.fixture
def suite(tmp_path, monkeypatch):
    """A point robot with a reference, so that there is a gap."""
    suite = suites.load("point-robot")
    path = tmp_path / "references.json"
    path.write_text(json.dumps({"point-robot": reference_entry(suite, -16.0, -6.0, -20.0)}), encoding="utf-8")
    monkeypatch.setattr(reference_returns, "FILE", str(path))
    return suite


@pytest.fixture
def learner(suite):
    return build("maml-trpo", read_config("maml-trpo", OPTIONS), suite, seed=0)


def scores(returns, spoilt):
    """Scores of one shot. `[task, world]`."""
    returns = np.array([returns], dtype=float)
    ones = np.ones_like(returns)
    return Scores(returns, ones, ones, ones, np.array([spoilt], dtype=float), int(np.sum(spoilt)))


def test_a_diverged_episode_is_scored_as_the_worst_of_random_on_its_task():
    chance = scores([[-30, -20, -999], [-5, -7, -6], [-999, -998, -997]], [[0, 0, 1], [0, 0, 0], [1, 1, 1]])
    policy = scores([[0, -1, -2], [-3, -2000, -4], [-888, -1, -1]], [[1, 0, 0], [0, 1, 1], [1, 0, 0]])
    found = judged(policy, chance)
    # Where every random episode diverged, the charge of training stays.
    np.testing.assert_array_equal(found.returns[0], [[-30, -1, -2], [-3, -7, -7], [-888, -1, -1]])
    np.testing.assert_array_equal(
        judged(chance, chance).returns[0], [[-30, -20, -30], [-5, -7, -6], [-999, -998, -997]]
    )
    sound = scores([[-40.0, 3.0]], [[0, 0]])
    np.testing.assert_array_equal(judged(sound, sound).returns, sound.returns)


@pytest.mark.parametrize("attack", ["huge weights", "a share of the worlds"])
def test_a_policy_that_blows_up_has_no_gap_and_is_warned_of(suite, learner, monkeypatch, tmp_path, capsys, attack):
    if attack == "huge weights":
        learner.load_state_dict({"parameters": torch.full_like(learner.state_dict()["parameters"], 1e38)})
    else:
        step = CpuEngine.step

        def spoilt(self, action):
            self._before[:: self.worlds, 2] = 1e12  # the first world of each task, random's too
            return step(self, action)

        monkeypatch.setattr(CpuEngine, "step", spoilt)
    report = measure(learner, suite, shots=1, worlds=3, name="maml-trpo")
    worst = report.random.returns[0].min(axis=1)
    for kind in (report.mean_action, report.exploring):
        assert kind.spoilt[:, :, 0].all()
        assert not kind.success[kind.spoilt > 0].any()
        assert not kind.success_any_step[kind.spoilt > 0].any()
        np.testing.assert_array_equal(kind.returns[:, :, 0], np.stack([worst, worst]))
        assert (kind.spoilt[0].all()) == (attack == "huge weights")
    rows = report.summary()
    assert [row["gap_closed"] for row in rows] == [None, None]

    print_report(report)
    printed = " ".join(capsys.readouterr().out.split())
    assert "warning: Diverged episodes" in printed
    assert "No gap is reported where more than 1% of the episodes diverged" in printed
    assert "\N{EN DASH}" in printed

    report.save(tmp_path / "report")
    described = json.loads((tmp_path / "report" / "report.json").read_text(encoding="utf-8"))
    count = int(report.mean_action.spoilt.sum() + report.exploring.spoilt.sum())
    assert described["diverged_episodes"] == count
    assert described["episodes"] == 2 * 2 * len(suite.test) * 3
    assert described["shots"][0]["gap_closed"] is None
    assert described["shots"][0]["mean_action"]["diverged_episodes"] == report.mean_action.spoilt[0].sum()
    with (tmp_path / "report" / "tasks.csv").open(encoding="utf-8") as file:
        assert sum(int(row["diverged"]) for row in csv.DictReader(file)) == count

    text = card.text("maml-trpo", learner, suite, record_of("maml-trpo"), report.described())
    assert "**Warning:** Diverged episodes" in text
    assert "**Warning:** No gap is reported" in text


def test_a_policy_that_does_not_diverge_is_told_as_before(suite, learner, capsys):
    report = measure(learner, suite, shots=0, worlds=2, name="maml-trpo")
    assert report.warnings() == []
    assert report.summary()[0]["gap_closed"] is not None
    print_report(report)
    assert "warning" not in capsys.readouterr().out


def test_a_gap_is_told_up_to_one_per_cent(suite, learner):
    report = measure(learner, suite, shots=0, worlds=20)  # 20 tasks: 400 episodes of each kind
    assert MAX_DIVERGED == 0.01
    for count, told in ((0, True), (4, True), (5, False)):
        spoilt = np.zeros_like(report.mean_action.spoilt)
        spoilt.flat[:count] = 1
        changed = replace(report, mean_action=replace(report.mean_action, spoilt=spoilt))
        assert (changed.summary()[0]["gap_closed"] is not None) == told
    # Exploring episodes count too, among all: the adaptation comes from them.
    for count, told in ((8, True), (9, False)):
        spoilt = np.zeros_like(report.exploring.spoilt)
        spoilt.flat[:count] = 1
        changed = replace(report, exploring=replace(report.exploring, spoilt=spoilt))
        assert (changed.summary()[0]["gap_closed"] is not None) == told


def test_a_protocol_s_episodes_are_judged_alike(suite, learner, monkeypatch):
    step = CpuEngine.step

    def spoilt(self, action):
        self._before[0, 2] = 1e12
        return step(self, action)

    monkeypatch.setattr(CpuEngine, "step", spoilt)
    protocol = Protocol("p", type(suite.family), adaptation=3, evaluation=3, goals=2)
    report = measure(learner, suite, protocol=protocol)
    assert report.random.spoilt[0, 0].all()  # one world, spoilt in every episode
    assert report.mean_action.spoilt[:, 0, 0].all()
    assert not report.mean_action.spoilt[:, 1].any()
    assert not report.mean_action.success[:, 0, 0].any()
    # No random episode of that task is sound: what training charges is below all honest returns.
    assert (report.mean_action.returns[:, 0, 0] < report.mean_action.returns[:, 1].min()).all()
