"""Iterations of each learner that fill the plan's budget."""

import pytest

from study.calibrate import main


@pytest.mark.parametrize(
    ("words", "said", "known"),
    [
        (["--suite", "rl2"], "suite 'rl2'", "half-cheetah-params"),
        (["--only", "point-robot"], "learner 'point-robot'", "rl2"),
        (["--suite", "half-cheetah-params", "--only", "rl2", "none"], "learner 'none'", "maml-trpo"),
    ],
)
def test_a_suite_is_no_learner_and_a_learner_no_suite(capsys, words, said, known):
    assert main(words) == 2
    shown = capsys.readouterr().err
    assert said in shown
    assert known in shown


def test_a_name_needs_an_option(capsys):
    with pytest.raises(SystemExit):
        main(["rl2"])
    assert "rl2" in capsys.readouterr().err
