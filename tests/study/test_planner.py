"""The planner's bound: plans in the simulator itself."""

import re

import pytest

from study.planner import main

SMALL = ["--suite", "point-robot", "--tasks", "2", "--plan-horizon", "5", "--candidates", "20", "--elites", "4"]


@pytest.mark.parametrize("kind", [[], ["--white"]])
def test_a_planner_with_the_true_model_goes_to_the_goal(capsys, kind):
    assert main([*SMALL, *kind]) == 0
    said = capsys.readouterr().out
    assert float(re.search(r"mean return (-[\d.]+)", said)[1]) > -8.0  # standing still earns -20
    assert "steps of the simulator an action" in said


def test_an_unknown_suite_is_refused(capsys):
    assert main(["--suite", "half-cheeta-params"]) == 2
    assert "did you mean" in capsys.readouterr().err
