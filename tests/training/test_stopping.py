"""Stopping: the first Ctrl-C is answered at once, a second one within an iteration loses nothing that is finished."""

import signal
import time

import pytest
from test_loggers import Listening
from test_train import assert_same_run, trained

from robometa import registry
from robometa.errors import Stopped
from robometa.policies.policy_folder import load_policy
from robometa.training import checkpoints
from robometa.training.run_folder import METRICS, RunFolder
from robometa.training.train import resume
from robometa.trials.collectors.here import Here


def twice():
    signal.raise_signal(signal.SIGINT)
    signal.raise_signal(signal.SIGINT)


def in_call(monkeypatch, owner, name, number, act):
    """Does something after the `number`th call of a method has done its work, from 1."""
    method, calls = getattr(owner, name), []

    def called(self, *arguments):
        result = method(self, *arguments)
        calls.append(True)
        if len(calls) == number:
            act()
        return result

    monkeypatch.setattr(owner, name, called)


@pytest.mark.parametrize("learner", ["maml-trpo", "pearl"])
@pytest.mark.parametrize("place", ["while it collects", "within an update"])
def test_a_second_ctrl_c_within_an_iteration_keeps_what_is_finished(
    tiny_file, tmp_path, monkeypatch, straight, learner, place
):
    whole, stopped = straight(learner), tmp_path / "stopped"
    owner, name = (Here, "collect") if place == "while it collects" else (registry.find(learner).load(), "update")
    with monkeypatch.context() as patched:
        in_call(patched, owner, name, 3, twice)
        with pytest.raises(KeyboardInterrupt, match="after 2 of 4 iterations, all saved; go on with: robometa resume"):
            trained(tiny_file, learner, stopped)
    assert RunFolder(stopped).newest_checkpoint().progress.iterations == 2
    resume(stopped)
    assert_same_run(whole, stopped)


def test_nothing_is_saved_before_the_first_iteration_is_finished(tiny_file, tmp_path, monkeypatch):
    in_call(monkeypatch, Here, "collect", 1, twice)
    with pytest.raises(KeyboardInterrupt, match="after 0 of 4 iterations, all saved"):
        trained(tiny_file, "maml-trpo", tmp_path / "run")
    assert RunFolder(tmp_path / "run").newest_checkpoint() is None


def test_experience_that_is_too_large_to_copy_is_not_and_the_message_says_so(
    tiny_file, tmp_path, monkeypatch, straight
):
    whole, stopped = straight("pearl"), tmp_path / "stopped"
    with monkeypatch.context() as patched:
        patched.setattr(checkpoints, "MAX_COPIED_BYTES", 0)
        in_call(patched, registry.find("pearl").load(), "update", 3, twice)
        with pytest.raises(KeyboardInterrupt, match="after 2 of 4 iterations, 0 of them saved"):
            trained(tiny_file, "pearl", stopped)
    resume(stopped)
    assert_same_run(whole, stopped)


def test_a_ctrl_c_in_the_last_iteration_lets_the_run_end(tiny_file, tmp_path, monkeypatch):
    in_call(monkeypatch, Here, "collect", 4, lambda: signal.raise_signal(signal.SIGINT))
    policy = trained(tiny_file, "maml-trpo", tmp_path / "run", loggers=())
    assert (policy / "manifest.json").is_file()


def test_a_ctrl_c_in_the_iteration_after_which_a_callback_ends_the_run_lets_it_end(tiny_file, tmp_path):
    def enough(done):
        if done.iteration == 1:
            signal.raise_signal(signal.SIGINT)
        return done.iteration < 1

    policy = trained(tiny_file, "maml-trpo", tmp_path / "run", callback=enough, loggers=())
    assert load_policy(policy)[2].training.iterations == len(RunFolder(tmp_path / "run").rows(METRICS)) < 4


def test_the_first_ctrl_c_is_answered_within_the_iteration(tiny_file, tmp_path, monkeypatch):
    answered = []

    def interrupted():
        signal.raise_signal(signal.SIGINT)
        end = time.monotonic() + 10
        while not answered and time.monotonic() < end:
            answered.extend(call for call in Listening.last.calls if call.startswith("stopping after this iteration"))
            time.sleep(0.01)

    in_call(monkeypatch, Here, "collect", 2, interrupted)
    with pytest.raises(Stopped, match="stopped by SIGINT after 2 of 4 iterations, all saved"):
        trained(tiny_file, "maml-trpo", tmp_path / "run", loggers=(Listening,))
    assert len(answered) == 1
    assert answered[0].endswith("Ctrl-C again stops at once and keeps what is finished")
