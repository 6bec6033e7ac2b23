"""The kept part of a gain: by hand, without a gain, and on a suite."""

import math

import numpy as np
import pytest
from conftest import SMALL_OPTIONS
from rich.progress import Progress

from robometa.deployment import kept as module
from robometa.deployment.forms import acting_parameters, require_enough, words_of
from robometa.deployment.kept import NO_ADAPTATION, RANDOM, Exam, kept_of
from robometa.errors import UserError
from robometa.registry.options import read_config
from robometa.reports.gap import Reference, Sample
from robometa.trials import make, trial

BASELINE = Sample([np.full(3, -100.0)] * 2, together=True)
WHOLE = Sample([np.array([-10.0, -14.0, -12.0, -8.0])] * 2)


def moved(sample, by):
    return Sample([row + by for row in sample.strata])


def test_equal_returns_keep_everything_and_lower_ones_their_part():
    same = kept_of(WHOLE, WHOLE, BASELINE, RANDOM)
    assert (same.share, same.low, same.high, same.by_means) == (1, 1, 1, 1)
    lower = kept_of(moved(WHOLE, -44.5), WHOLE, BASELINE, RANDOM)
    assert lower.share == pytest.approx(0.5)
    assert lower.low < lower.share < lower.high
    assert not lower.enough
    assert kept_of(moved(WHOLE, -1.7), WHOLE, BASELINE, RANDOM).enough
    with pytest.raises(
        UserError,
        match=r"int8 keeps 50\.0 % \[48\.9, 51\.1\] of the gain .* below 98 %; --force",
    ):
        require_enough(lower, "int8")
    require_enough(same, "int8")


def test_without_a_gain_nothing_is_kept():
    none = kept_of(WHOLE, moved(WHOLE, -200), BASELINE, RANDOM)
    assert math.isnan(none.share)
    assert not none.enough
    assert none.to_json()["share"] is None
    assert words_of(none) == ("none", "none")
    with pytest.raises(UserError, match="gains nothing over random actions"):
        require_enough(none, "int8")


def test_the_baseline_is_the_published_one_where_there_is_one(tiny_suite, monkeypatch):
    learner = make.build("rl2", read_config("rl2", SMALL_OPTIONS["rl2"]), tiny_suite, seed=0)
    explored = []

    def collect(*given, explore=True, **named):
        explored.append(explore)
        return trial.collect(*given, explore=explore, **named)

    monkeypatch.setattr(module, "collect", collect)
    exam = Exam(learner, tiny_suite)
    assert exam.over == RANDOM
    assert explored == [True]  # without noise, random actions are zeros
    own = exam.returns_of(learner)
    assert own.interquartile_mean == exam.returns_of(learner).interquartile_mean
    assert [len(row) for row in own.sample.strata] == [2 * module.WORLDS] * 3  # both episodes of a memory
    strata = [np.full(3, float(-place)) for place in range(3)]
    known = Reference(Sample(strata, together=True), BASELINE, None, 3, "")
    monkeypatch.setattr(module.reference_returns, "find", lambda content_hash: known)
    assert Exam(learner, tiny_suite).over == NO_ADAPTATION
    assert Exam(learner, tiny_suite, [2]).baseline == -2


@pytest.mark.parametrize("name", ["rl2", "pearl"])
def test_a_bar_counts_the_rollouts(tiny_suite, monkeypatch, name):
    learner = make.build(name, read_config(name, SMALL_OPTIONS[name]), tiny_suite, seed=0)
    exam, bars = Exam(learner, tiny_suite, [0]), list[Progress]()

    def silent():
        bars.append(Progress(disable=True))
        return bars[0]

    monkeypatch.setattr(module, "progress", silent)
    exam.returns_of(learner)
    (bar,) = bars[0].tasks
    assert bar.completed == bar.total == (3 if learner.adapts_within_episode else 2)


def test_weights_that_do_not_act_are_not_counted(tiny_suite):
    for name, others in (("rl2", "critic"), ("varibad", "critic")):
        learner = make.build(name, read_config(name, SMALL_OPTIONS[name]), tiny_suite, seed=0)
        critic = sum(one.numel() for key, one in learner.network.named_parameters() if key.startswith(others))
        whole = sum(one.numel() for one in learner.network.parameters())
        encoder = sum(one.numel() for one in learner.encoder.parameters()) if name == "varibad" else 0
        assert acting_parameters(learner) == whole - critic + encoder
