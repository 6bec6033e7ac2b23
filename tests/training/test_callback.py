"""A user's function that is called after every iteration."""

import dataclasses

import pytest
from conftest import same_tensors
from test_train import assert_same_run, last_state, trained

from robometa.policies import policy_folder
from robometa.storage import sealed_folder
from robometa.training.run_folder import RunFolder
from robometa.training.train import resume


def test_it_gets_every_iteration_and_changes_nothing(tiny_file, tmp_path, capsys):
    plain, called, got = tmp_path / "plain", tmp_path / "called", []
    trained(tiny_file, "pearl", plain)
    capsys.readouterr()
    trained(tiny_file, "pearl", called, callback=got.append, loggers=())
    assert capsys.readouterr().out == ""
    assert [(one.iteration, one.iterations) for one in got] == [(1, 4), (2, 4), (3, 4), (4, 4)]
    assert [dict(one.metrics) for one in got] == RunFolder(called).rows("metrics.jsonl")
    assert got[-1].steps == got[-1].metrics["steps"]
    with pytest.raises(dataclasses.FrozenInstanceError):
        got[0].iteration = 5
    assert_same_run(plain, called)


def test_its_policy_is_a_copy(tiny_file, tmp_path):
    kept = []
    trained(tiny_file, "maml-trpo", tmp_path / "run", callback=lambda one: kept.append(one.policy()))
    states = [policy_folder.state_of(policy.learner) for policy in kept]
    assert not same_tensors(states[0], states[-1])
    assert same_tensors(states[-1], policy_folder.without_training(last_state(tmp_path / "run")))
    assert kept[0].act([0.0, 0.0]).shape == (2,)


def test_false_ends_the_training_with_a_policy_and_a_resume_goes_on(tiny_file, tmp_path, straight):
    whole, ended = straight("maml-trpo"), tmp_path / "ended"
    policy = trained(tiny_file, "maml-trpo", ended, callback=lambda one: one.iteration < 2)
    training = sealed_folder.load(policy, "policy")[1]["training"]
    assert (training["iterations"], training["begun_for"]) == (2, 4)
    resume(ended)
    assert_same_run(whole, ended)


def test_what_it_raises_reaches_the_caller_after_a_checkpoint(tiny_file, tmp_path, straight):
    whole, broken = straight("maml-trpo"), tmp_path / "broken"

    def mistaken(done):
        if done.iteration == 3:
            raise LookupError("mine")

    with pytest.raises(LookupError, match="mine"):
        trained(tiny_file, "maml-trpo", broken, callback=mistaken)
    assert RunFolder(broken).newest_checkpoint().progress.iterations == 3
    resume(broken)
    assert_same_run(whole, broken)
