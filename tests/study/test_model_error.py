"""How much of a step models explain on robots that they have never seen."""

import re
from types import SimpleNamespace

import pytest

from robometa import suites
from study.model_error import LEARNERS, TRANSITIONS, arguments, error_on, learner_of, main


def test_every_model_is_measured_on_equally_many_transitions():
    policy, asked = SimpleNamespace(suite=suites.load("half-cheetah-params")), arguments([])
    for name in LEARNERS:
        learner = learner_of(name, policy, asked)
        learner.model_error = lambda trial, windows, future=learner.future: windows * future
        assert error_on(None, learner) == TRANSITIONS


@pytest.mark.slow
def test_every_model_is_measured_on_seen_and_unseen_robots(capsys):
    assert main(["--worlds", "1", "--gradient-steps", "3"]) == 0
    said = capsys.readouterr().out
    assert "8000 steps of 40 robots, 2000 of 10 others" in said
    for name in ("pets", "cadm", "grbal"):
        found = re.search(rf"{name}: training robots ([\d.]+), held-out robots ([\d.]+); 3 gradient steps", said)
        assert 0 < float(found[2]) < 5


def test_a_policy_that_is_not_there_is_refused(capsys):
    assert main(["--policy", "policies/none"]) == 2
    assert "policies/none" in capsys.readouterr().err
